"""The deadline of a caller rides on its message: work that nobody waits for any more is not begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    DeadlineExceeded,
    DynamicSupervisor,
    GenServer,
    Ref,
    Runtime,
    Supervisor,
    TaskOk,
    TaskSupervisor,
    handle_call,
    handle_cast,
    kill,
    ref,
    spawn,
    spawn_supervised,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, for_ever, pause, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Worker(GenServer):
    """Notes what it has done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.errors: list[BaseException] = []

    @handle_call
    async def work(self, name: str, seconds: float) -> str:
        await pause(seconds)
        self.done.append(name)
        return name

    @handle_call(concurrent=1)
    async def beside(self, name: str, seconds: float) -> str:
        return await self.work(name, seconds)

    @handle_call
    def note(self, name: str) -> None:
        self.done.append(name)

    @handle_cast
    def note_later(self, name: str) -> None:
        self.done.append(name)

    @handle_call
    async def ask(self, other: Ref[Worker], seconds: float) -> None:
        """Take its time, then call another."""
        await pause(seconds)
        await other.call(Worker.note, "asked")

    @handle_call
    def ask_by_coroutine(self, other: Ref[Worker], seconds: float) -> Coroutine[Any, Any, None]:
        """What an async handler is below a decorator that knows nothing of coroutines."""
        return self.ask(other, seconds)

    @handle_call(concurrent=2)
    async def ask_beside(self, other: Ref[Worker], seconds: float) -> None:
        await self.ask(other, seconds)

    @handle_call
    async def ask_in_task(self, other: Ref[Worker], seconds: float) -> None:
        await pause(seconds)
        await asyncio.wait_for(other.call(Worker.note, "asked"), 9.0)

    @handle_call
    async def ask_in_group(self, other: Ref[Worker], seconds: float) -> None:
        await pause(seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.wait_for(other.call(Worker.note, "asked"), 9.0))
            group.create_task(other.call(Worker.note, "asked"))

    @handle_call(concurrent=2)
    async def ask_in_group_beside(self, other: Ref[Worker], seconds: float) -> None:
        await self.ask_in_group(other, seconds)

    @handle_call
    async def ask_behind(self, other: Ref[Worker], seconds: float) -> None:
        """Leave a task that calls another later, and one that it makes itself then."""

        async def later() -> None:
            await self.ask(other, seconds)
            await asyncio.wait_for(self.ask(other, seconds), 9.0)

        self.task = asyncio.get_running_loop().create_task(later())
        await pause(seconds / 2)

    @handle_call
    async def ask_carefully(self, other: Ref[Worker], seconds: float) -> None:
        try:
            await self.ask(other, seconds)
        except DeadlineExceeded as error:
            self.errors.append(error)
            other.cast(Worker.note_later, "cast")

    @handle_call
    async def ask_for_long(self, other: Ref[Worker]) -> str:
        return await other.options(timeout=10.0).call(Worker.work, "long", 3.0)


async def test_a_message_whose_caller_has_timed_out_is_dropped_when_it_is_taken(runtime: Runtime) -> None:
    """And counted; the handler of the one before goes on, for it had begun."""
    worker = await Worker.start_link()
    events: list[dict[str, object]] = []
    runtime.bus.attach(
        lambda _event, _numbers, metadata: events.append(dict(metadata)), events=["call.expired"]
    )
    first = await begun(worker.options(timeout=1.0).call(Worker.work, "begun", 2.0))
    second = await begun(worker.options(timeout=1.5).call(Worker.work, "late", 1.0))
    third = await begun(worker.options(timeout=9.0).call(Worker.work, "in time", 1.0))
    assert await third == "in time"
    for call in (first, second):
        with pytest.raises(CallTimeout):
            await call
    assert state_of(worker).done == ["begun", "in time"]
    assert runtime.statistics().expired == 1
    assert events == [{"pid": pid_of(worker).serial, "handler": "Worker.work", "why": "dropped"}]


async def test_one_that_waits_for_a_place_among_concurrent_handlers_is_dropped_too() -> None:
    worker = await Worker.start_link()
    first = await begun(worker.call(Worker.beside, "first", 2.0))
    with pytest.raises(CallTimeout):
        await worker.options(timeout=1.0).call(Worker.beside, "late", 1.0)
    assert await first == "first"
    await wait_until_idle()
    assert await worker.call(Worker.beside, "next", 0.5) == "next"
    assert state_of(worker).done == ["first", "next"]


@pytest.mark.parametrize(
    "handler",
    [
        Worker.ask,
        Worker.ask_beside,
        Worker.ask_by_coroutine,
        Worker.ask_in_task,
        Worker.ask_in_group,
        Worker.ask_in_group_beside,
    ],
    ids=["serial", "concurrent", "handed off", "task", "group", "concurrent group"],
)
async def test_a_nested_call_under_an_expired_deadline_ends_the_handler_but_not_the_server(
    handler: Any, runtime: Runtime
) -> None:
    """Nothing has crashed, so nothing is reported; the callee never hears of it."""
    asker, other = await Worker.start_link(), await Worker.start_link()
    with pytest.raises(CallTimeout):
        await asker.options(timeout=1.0).call(handler, other, 2.0)
    await pause(2.0)
    assert pid_of(asker).is_alive
    assert state_of(other).done == []
    assert runtime.statistics().expired == 1
    await asker.call(Worker.note, "still there")


async def test_a_handler_may_catch_it_and_casts_carry_no_deadline() -> None:
    asker, other = await Worker.start_link(), await Worker.start_link()
    with pytest.raises(CallTimeout):
        await asker.options(timeout=1.0).call(Worker.ask_carefully, other, 2.0)
    await pause(2.0)
    (error,) = state_of(asker).errors
    assert "whose deadline passed 1 s ago" in str(error)
    assert state_of(other).done == ["cast"]


class SlowStart(GenServer):
    """Takes a second to start."""

    async def init(self) -> None:
        await pause(1.0)


class Starter(GenServer):
    """Starts something when its caller has gone."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    @handle_call
    async def start(self, how: str) -> None:
        await pause(1.0)
        worker = Worker.child_spec().named("started")
        try:
            match how:
                case "task":
                    await TaskSupervisor.start_task_nolink("tasks", for_ever)
                case "task without an owner":
                    await TaskSupervisor.start_child("tasks", for_ever)
                case "spawn_supervised":
                    await spawn_supervised(for_ever, supervisor="tasks")
                case "stream":
                    async with TaskSupervisor.async_stream_nolink(
                        "tasks", str, [1], max_concurrency=1
                    ) as read:
                        assert [outcome async for outcome in read] == [TaskOk("1")]
                case "child":
                    await ref("static", Supervisor).call(Supervisor.start_child, worker)
                case "dynamic child":
                    await ref("dynamic", DynamicSupervisor).call(DynamicSupervisor.start_child, worker)
                case _:
                    await Worker.start_link()
        except BaseException as error:
            self.errors.append(error)
            raise


@pytest.mark.parametrize(
    "how", ["task", "task without an owner", "spawn_supervised", "stream", "child", "dynamic child", "link"]
)
async def test_what_only_starts_a_process_carries_no_deadline(how: str) -> None:
    """It is where that belongs which must be done in any case."""
    await TaskSupervisor.child_spec().named("tasks").start()
    await DynamicSupervisor.child_spec().named("dynamic").start()
    await Supervisor.child_spec([], strategy="one_for_one").named("static").start()
    starter: Ref[Any] = await Starter.child_spec().start()
    with pytest.raises(CallTimeout):
        await starter.options(timeout=0.5).call(Starter.start, how)
    await pause(1.0)
    await wait_until_idle()
    assert state_of(starter).errors == []


async def test_a_child_that_was_asked_for_in_vain_is_started_all_the_same(runtime: Runtime) -> None:
    """Whoever asked has given up when the supervisor comes to it; others may want the child."""
    supervisor = await Supervisor.start_link([], strategy="one_for_one")
    slow = asyncio.create_task(supervisor.call(Supervisor.start_child, SlowStart.child_spec()))
    await wait_until_idle()
    with pytest.raises(CallTimeout):
        await supervisor.options(timeout=0.5).call(Supervisor.start_child, Worker.child_spec())
    await slow
    await wait_until_idle()
    children = await supervisor.call(Supervisor.which_children)
    assert [child.id for child in children] == ["SlowStart", "Worker"]
    assert runtime.statistics().expired == 0


async def test_a_nested_timeout_is_never_shortened() -> None:
    """The nested call was begun in time, so it has the time that was said there."""
    asker, other = await Worker.start_link(), await Worker.start_link()
    with pytest.raises(CallTimeout):
        await asker.options(timeout=1.0).call(Worker.ask_for_long, other)
    await pause(4.0)
    assert state_of(other).done == ["long"]
    assert pid_of(asker).is_alive


async def test_a_cancelled_caller_has_not_timed_out() -> None:
    """Its request is carried out, as in OTP."""
    worker = await Worker.start_link()
    first = await begun(worker.call(Worker.work, "first", 1.0))
    second = await begun(worker.call(Worker.work, "second", 1.0))
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await pause(2.0)
    assert state_of(worker).done == ["first", "second"]


async def test_a_caller_that_was_cancelled_before_its_deadline_has_not_timed_out_after_it() -> None:
    """Neither where its request waited, nor in what is done for it."""
    worker, other = await Worker.start_link(), await Worker.start_link()
    first = await begun(worker.call(Worker.work, "first", 2.0))
    waiting = await begun(worker.options(timeout=1.0).call(Worker.ask, other, 2.0))
    beside = [
        await begun(other.options(timeout=1.0).call(Worker.beside, name, 1.5)) for name in ("one", "two")
    ]
    await pause(0.5)
    for call in (waiting, *beside):
        call.cancel()
    await asyncio.gather(first, waiting, *beside, return_exceptions=True)
    await pause(5.0)
    assert state_of(other).done == ["one", "two", "asked"]


async def test_a_request_of_a_process_that_was_killed_is_carried_out() -> None:
    worker = await Worker.start_link()
    first = await begun(worker.call(Worker.work, "first", 2.0))

    async def ask() -> None:
        await worker.options(timeout=1.0).call(Worker.note, "of the dead")

    asking = spawn(ask)
    await wait_until_idle()
    kill(asking)
    await first
    await wait_until_idle()
    assert state_of(worker).done == ["first", "of the dead"]


async def test_a_task_that_a_handler_has_left_behind_has_no_deadline() -> None:
    worker, other = await Worker.start_link(), await Worker.start_link()
    await worker.options(timeout=3.0).call(Worker.ask_behind, other, 2.0)
    await pause(9.0)
    assert state_of(other).done == ["asked", "asked"]


async def test_a_runtime_may_do_without_deadlines() -> None:
    """As OTP does."""
    async with Runtime(deadline_stamps=False):
        worker = await Worker.start_link()
        first = await begun(worker.call(Worker.work, "first", 2.0))
        with pytest.raises(CallTimeout):
            await worker.options(timeout=1.0).call(Worker.work, "late", 1.0)
        await first
        await pause(2.0)
        assert state_of(worker).done == ["first", "late"]
