"""``why`` of a process that waits for tasks: its own, those of a supervisor, a stream of them."""

from __future__ import annotations

import asyncio
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
    spawn,
    why,
)
from mabeam.kernel import waiting_for
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import process_of
from tests.kernel._why_scenes import Worker, asker, busy, kinds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
