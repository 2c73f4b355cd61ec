"""``why`` of a process that waits for tasks: its own, those of a supervisor, a stream of them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    GenServer,
    Runtime,
    TaskSupervisor,
    handle_call,
    handle_stream,
    kill,
    receive,
    ref,
    spawn,
    why,
)
from mabeam.kernel import _why, waiting_for
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn, process_of
from tests.kernel._why_scenes import Worker, asker, busy, kinds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


@pytest.mark.parametrize("in_group", [False, True], ids=["gather", "group"])
async def test_of_several_tasks_one_that_waits_for_a_process_leads_on(*, in_group: bool) -> None:
    worker, _ = await busy()

    async def body() -> None:
        waits = [never(), worker.options(timeout=None).call(Worker.ping), never()]
        if not in_group:
            await asyncio.gather(*waits)
        async with asyncio.TaskGroup() as group:
            for each in waits:
                group.create_task(each)

    async def never() -> None:
        await asyncio.Event().wait()

    pid = spawn(body)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["task", "call", "outside_lock"]
    assert "and 2 more" in answer.chain[0].what
    kill(pid)
    await wait_until_idle()


async def test_tasks_whose_first_result_a_process_waits_for() -> None:
    async def part() -> None:
        await worker.options(timeout=None).call(Worker.hold)

    async def whole() -> None:
        for each in asyncio.as_completed([part()]):
            await each

    worker = await Worker.start_link()
    pid = spawn(whole)
    await wait_until_idle()
    assert kinds(why(pid))[:2] == ["task", "call"]


async def test_a_task_that_a_process_waits_for() -> None:
    async def part() -> None:
        await asyncio.Event().wait()

    async def whole() -> None:
        await asyncio.create_task(part())

    pid = spawn(whole)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["task", "outside_lock"]
    assert str(answer).count("\n  ") == 1


async def test_a_task_of_a_supervisor_that_a_process_awaits() -> None:
    tasks = await TaskSupervisor.start_link()

    async def whole() -> None:
        await (await TaskSupervisor.start_task(tasks, receive))

    pid = spawn(whole)
    await wait_until_idle()
    assert kinds(why(pid)) == ["await", "empty_mailbox"]
    assert why(pid).root.process.startswith("receive")


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_stream_of_tasks_that_a_process_reads(ordered: bool) -> None:  # noqa: FBT001  (a parameter)
    tasks = await TaskSupervisor.start_link()

    async def part(_item: int) -> None:
        await receive()

    async def whole() -> None:
        options: dict[str, Any] = {"max_concurrency": 2, "timeout": None, "ordered": ordered}
        async with TaskSupervisor.async_stream(tasks, part, [1, 2, 3], **options) as outcomes:
            await anext(outcomes)

    pid = spawn(whole)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["await", "empty_mailbox"]
    assert ": to end, in async_stream of" in str(answer)
    assert answer.root.process.partition(" (")[0].endswith("part")


@pytest.mark.parametrize("source", ["sync", "async"])
async def test_a_stream_of_tasks_that_waits_for_room(source: str) -> None:
    """For any of the tasks that have it: the first is named."""
    tasks = await TaskSupervisor.start_link(max_children=1)

    async def items() -> AsyncIterator[int]:
        yield 1

    async def whole() -> None:
        given: Any = [1] if source == "sync" else items()
        async with TaskSupervisor.async_stream(tasks, str, given, max_concurrency=2) as outcomes:
            await anext(outcomes)

    await TaskSupervisor.start_child(tasks, receive)
    pid = spawn(whole)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == [*(["stream"] if source == "async" else []), "await", "empty_mailbox"]
    assert answer.root.process.startswith("receive")


async def test_the_items_of_a_stream_of_tasks_that_do_not_come() -> None:
    tasks = await TaskSupervisor.start_link()

    async def items() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    async def whole() -> None:
        async with TaskSupervisor.async_stream(tasks, str, items(), max_concurrency=2) as outcomes:
            await anext(outcomes)

    pid = spawn(whole)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["stream", "outside_lock"]
    assert "to take the next item of async_stream of str" in str(answer)


class room_service(GenServer):
    """Is busy, and would have a stream."""

    @handle_call
    async def be_busy(self) -> None:
        await asyncio.Event().wait()

    @handle_stream
    async def items(self) -> AsyncIterator[int]:
        yield 1


async def test_a_stream_that_is_not_open_yet() -> None:
    """Told from a wait for room by what it is, and not by how the class is called."""
    server = await room_service.start_link()
    first = asker(server, room_service.be_busy)

    async def read() -> None:
        async with server.options(timeout=None).stream(room_service.items) as items:
            await anext(items)

    pid = spawn(read)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["await", "outside_lock"]
    assert answer.chain[0].what.endswith("waits for room_service (pid 1): room_service.items")
    for each in (pid, first):
        kill(each)
    await wait_until_idle()


async def test_the_waits_of_the_processes_of_a_runtime_are_told_in_words(runtime: Runtime) -> None:
    """As they stand in the report of a program that hangs."""
    tasks = await TaskSupervisor.start_link()

    async def whole() -> None:
        await (await TaskSupervisor.start_task(tasks, receive))

    pid = spawn(whole)
    await wait_until_idle()
    assert any(": to end since" in line for line in runtime.describe_blocked())
    kill(pid)
    await wait_until_idle()


async def test_tasks_of_which_one_has_to_end() -> None:
    """What it has begun beside is none of them."""

    async def whole() -> None:
        beside = asyncio.create_task(never())
        one = asyncio.create_task(asyncio.Event().wait(), name="one")
        await asyncio.wait([one], return_when=asyncio.FIRST_COMPLETED)
        await beside

    async def never() -> None:
        with waiting_for(process_of(target), "something"):
            await asyncio.Event().wait()

    target = spawn(receive)
    pid = spawn(whole)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["task", "outside_lock"]
    assert "task one" in str(answer)


async def test_a_process_that_sleeps_waits_for_none_of_its_tasks() -> None:
    """It has begun something beside, which is a matter of its own."""

    async def body() -> None:
        beside = asyncio.create_task(never())
        await asyncio.sleep(1_000.0)  # noqa: TID251  (it is looked at)
        await beside

    async def never() -> None:
        with waiting_for(process_of(target), "something"):
            await asyncio.Event().wait()

    target = spawn(receive)
    pid = spawn(body)
    await wait_until_idle()
    assert kinds(why(pid)) == ["timer"]


async def sleeps() -> None:
    await asyncio.sleep(1_000.0)  # noqa: TID251  (it is looked at)


@pytest.mark.parametrize("how", ["gather", "group", "wait"])
@pytest.mark.parametrize("is_first", [False, True], ids=["last", "first"])
async def test_of_all_that_must_end_the_one_is_told_that_is_stuck_worst(how: str, *, is_first: bool) -> None:
    """Not a timer that will be over, wherever it stands, nor how deep the other is."""
    worker, _ = await busy()

    async def asks() -> None:
        await asyncio.wait_for(worker.options(timeout=None).call(Worker.ping), None)

    async def body() -> None:
        parts = [asks(), sleeps()] if is_first else [sleeps(), asks()]
        match how:
            case "gather":
                await asyncio.gather(*parts)
            case "group":
                async with asyncio.TaskGroup() as group:
                    for each in parts:
                        group.create_task(each)
            case _:
                await asyncio.wait([asyncio.create_task(each) for each in parts])

    pid = spawn(body)
    await wait_until_idle()
    assert kinds(why(pid)) == ["task", "call", "outside_lock"]
    kill(pid)
    await wait_until_idle()


class Racer(GenServer):
    @handle_call
    def ping(self) -> None:
        pass

    @handle_call
    async def race(self, is_first: bool) -> None:  # noqa: FBT001  (asked for by position)
        """Wait for whichever comes first, which is not the task that asks this very server."""
        parts = [ref("racer", Racer).options(timeout=None).call(Racer.ping), sleeps()]
        tasks = [asyncio.create_task(each) for each in (parts if is_first else reversed(parts))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    @handle_call
    async def look(self) -> None:
        asking = asyncio.create_task(ref("racer", Racer).options(timeout=None).call(Racer.ping))
        await asyncio.wait([asking], timeout=1_000.0)

    @handle_call(concurrent=2)
    async def serve(self, *, asks: bool) -> None:
        await (ref("racer", Racer).options(timeout=None).call(Racer.serve, asks=False) if asks else sleeps())


@pytest.mark.parametrize("is_first", [False, True], ids=["last", "first"])
async def test_of_any_that_would_do_the_one_is_told_that_will_go_on(*, is_first: bool) -> None:
    """A call of its own server does not, and yet there is no cycle."""
    racer = await Racer.child_spec().named("racer").start()
    pid = asker(racer, Racer.race, is_first)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["call", "task", "timer"]
    assert "waits for any of 2 tasks" in answer.chain[1].what


async def test_a_task_that_is_looked_for_a_while_makes_no_cycle() -> None:
    racer = await Racer.child_spec().named("racer").start()
    pid = spawn(racer.options(timeout=None).call, Racer.look)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["call", "timer"]
    assert "for a limited time only" in answer.root.what


async def test_a_place_that_another_will_leave_makes_no_cycle() -> None:
    """The first of those who have one asks for another itself."""
    racer = await Racer.child_spec().named("racer").start()
    pid = spawn(racer.options(timeout=None).call, Racer.serve, asks=True)
    spawn(racer.options(timeout=None).call, Racer.serve, asks=False)
    await wait_until_idle()
    assert kinds(why(pid)) == ["call", "call", "timer"]


@pytest.mark.parametrize("how", ["gather", "wait", "first"])
async def test_whose_tasks_have_just_ended_is_ready(how: str) -> None:
    """Only that it hears of it is left to be done."""
    gate = asyncio.Event()

    async def body() -> None:
        parts = [asyncio.create_task(gate.wait()) for _ in range(2)]
        if how == "gather":
            await asyncio.gather(*parts)
        else:
            when = asyncio.ALL_COMPLETED if how == "wait" else asyncio.FIRST_COMPLETED
            await asyncio.wait(parts, return_when=when)
        await receive()

    pid = spawn(body)
    await wait_until_idle()
    gate.set()
    seen: list[str] = []
    while not seen or seen[-1] != "empty_mailbox":
        await Turn()
        seen.append(why(pid).root.kind)
    assert set(seen) <= {"ready", "running", "outside_lock", "empty_mailbox"}
    assert "ready" in seen
    kill(pid)
    await wait_until_idle()


async def test_ways_that_fork_again_and_again_are_tried_up_to_a_number() -> None:
    """Else a few that wait for many would take seconds, in the turn of whoever asks."""

    async def whole(depth: int) -> None:
        if depth == 0:
            await asyncio.Event().wait()
        await asyncio.gather(*(whole(depth - 1) for _ in range(12)))

    pid = spawn(whole, 4)
    await wait_until_idle()
    looked = 0
    follow = _why._Way.followed

    def count(way: Any, place: Any) -> Any:
        nonlocal looked
        looked += 1
        return follow(way, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_why._Way, "followed", count)
        assert why(pid).root.kind == "outside_lock"
    assert looked < 330
    kill(pid)
    await wait_until_idle()


async def test_of_thousands_of_tasks_one_that_waits_for_a_process_is_tried() -> None:
    """Wherever it stands among them."""
    worker, _ = await busy()

    async def body() -> None:
        asking = worker.options(timeout=None).call(Worker.ping)
        await asyncio.gather(*(sleeps() for _ in range(1_000)), asking, *(sleeps() for _ in range(1_000)))

    pid = spawn(body)
    await wait_until_idle()
    assert kinds(why(pid)) == ["task", "call", "outside_lock"]
    kill(pid)
    await wait_until_idle()


@pytest.mark.parametrize("others", [0, 1])
async def test_a_thread_among_what_must_end_is_told(others: int) -> None:
    """One of an executor, which is no task."""
    release = threading.Event()

    async def body() -> None:
        job = asyncio.get_running_loop().run_in_executor(None, release.wait)
        await asyncio.gather(job, *(sleeps() for _ in range(others)))

    pid = spawn(body)
    loop: Any = asyncio.get_running_loop()
    await loop.advance(1.0)
    answer = why(pid)
    assert kinds(answer) == ["thread"]
    assert "OS thread that has not returned" in answer.root.what
    kill(pid)
    release.set()
    await wait_until_idle()


class Opening(GenServer):
    async def lifespan(self) -> AsyncGenerator[None, None]:
        await asyncio.Event().wait()
        yield


async def test_a_start_that_hangs_in_lifespan_is_said_to_be_there() -> None:
    """And not in ``init``, which has not begun."""

    async def body() -> None:
        await Opening.child_spec().start()

    pid = spawn(body)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["start", "outside_lock"]
    assert answer.root.what.startswith("(in lifespan) waits for")
    kill(pid)
    await wait_until_idle()
