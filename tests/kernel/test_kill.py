"""Kill: ``CancelledError`` is thrown in once; what waits again is frozen, and never stepped again by anybody."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.kernel import (
    Down,
    Exited,
    ExitSignal,
    Killed,
    Runtime,
    kill,
    link,
    receive,
    send_exit,
    spawn,
    spawn_monitor,
)
from mabeam.otp import GenServer
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import (
    acting_as,
    assert_nothing_is_held,
    never,
    reason_of,
    swallow_for_ever,
    wait_for_ever,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator


async def _hold_lock() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    async with lock:
        pass


async def _in_timeout() -> None:
    async with asyncio.timeout(60), asyncio.timeout(None):
        await never()


async def _in_shield() -> None:
    await asyncio.shield(never())


async def _in_gather() -> None:
    await asyncio.gather(never(), asyncio.gather(never(), never()))


async def _in_queue() -> None:
    await asyncio.Queue[int]().get()


async def _in_event() -> None:
    await asyncio.Event().wait()


async def _in_another_task() -> None:
    await asyncio.create_task(never())


async def _in_wait() -> None:
    await asyncio.wait([asyncio.create_task(never()), asyncio.create_task(never())])


async def _in_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        await never()
        yield 1

    async for _ in numbers():
        pass


WAITS = [
    never,
    wait_for_ever,
    _hold_lock,
    _in_timeout,
    _in_shield,
    _in_gather,
    _in_queue,
    _in_event,
    _in_another_task,
    _in_wait,
    _in_generator,
]


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
async def test_kill_ends_whatever_the_code_waits_for(
    wait: Callable[[], Awaitable[None]], runtime: Runtime
) -> None:
    """Its ``finally`` blocks run; those who watch are told at once; nothing is frozen, and no task is left."""
    log: list[str] = []

    async def body() -> None:
        try:
            await wait()
        finally:
            log.append("finally")

    pid, ref = spawn_monitor(body)
    await wait_until_idle()
    kill(pid)
    assert await receive() == Down(ref, pid, Killed())
    assert log == ["finally"]
    assert runtime.statistics().frozen == 0
    await wait_until_idle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert_nothing_is_held(pid)


async def test_a_killed_task_group_is_frozen_where_it_waits_for_its_tasks(runtime: Runtime) -> None:
    """The group waits again after its cancellation, and a kill waits for nobody; its tasks end with the process."""
    log: list[str] = []

    async def child() -> None:
        try:
            await never()
        finally:
            log.append("child")

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    pid = spawn(body)
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert reason_of(pid) == Killed()
    assert log == ["child"]
    assert runtime.statistics().frozen == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_swallows_its_cancellation_is_frozen_and_never_goes_on(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Not when what it waits for comes; it is reported once, with its stack."""
    steps: list[str] = []
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def stubborn() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            steps.append("swallowed")
        try:
            await gate
            steps.append("went on")
        finally:
            steps.append("finally")

    pid, ref = spawn_monitor(stubborn)
    await wait_until_idle()
    with caplog.at_level(logging.ERROR, logger="mabeam"):
        kill(pid)
        assert await receive() == Down(ref, pid, Killed())
    gate.set_result(None)
    await wait_until_idle()
    gc.collect()
    assert steps == ["swallowed"]
    assert runtime.statistics().frozen == 1
    (record,) = caplog.records
    assert "frozen" in record.getMessage()
    assert "stubborn" in record.getMessage()
    ((label, stack),) = runtime.kernel.incidents.frozen
    assert "stubborn" in label
    assert [place.function.rpartition(".")[2] for place in stack] == ["stubborn", "never"]


class Payload:
    """What a process works on."""


async def test_what_is_frozen_lets_go_of_what_it_worked_on() -> None:
    """In all frames that wait for each other; what others may use as well, and what would be closed, stays as it is."""
    steps: list[str] = []
    seen: list[weakref.ref[Payload]] = []
    readers: list[Callable[[], Payload]] = []

    def payload() -> Payload:
        made = Payload()
        seen.append(weakref.ref(made))
        return made

    def generator() -> Generator[int]:
        try:
            yield 1
        finally:
            steps.append("generator closed")

    async def inner(_argument: Payload, *_more: Payload, **_named: Payload) -> None:
        _local = payload()
        async with asyncio.TaskGroup() as group:
            group.create_task(never())

    async def body() -> None:
        shared, begun = payload(), generator()
        next(begun)
        readers.append(lambda: shared)
        await inner(payload(), payload(), named=payload())

    pid = spawn(body)
    await wait_until_idle()
    assert len(seen) == 5
    kill(pid)
    await wait_until_idle()
    gc.collect()
    assert [kept() is not None for kept in seen] == [True, False, False, False, False]
    assert readers[0]() is seen[0]()
    assert steps == []


async def test_a_killed_server_is_let_go_of_though_its_lifespan_is_left_behind() -> None:
    steps: list[str] = []
    seen: list[weakref.ref[Payload]] = []

    class Server(GenServer):
        def __init__(self) -> None:
            self.payload = Payload()
            seen.append(weakref.ref(self.payload))

        async def lifespan(self) -> AsyncGenerator[None, None]:
            connection = Payload()
            seen.append(weakref.ref(connection))
            try:
                yield
            finally:
                steps.append("left")

    kill(await Server.child_spec().start())
    await wait_until_idle()
    gc.collect()
    assert [kept() for kept in seen] == [None, None]
    assert steps == []


def test_a_frozen_coroutine_is_not_stepped_when_its_loop_is_closed() -> None:
    """Neither by the loop, nor by closing its generators, nor by the garbage collector."""
    steps: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            steps.append("generator closed")

    async def stubborn() -> None:
        try:
            async for _ in endless():
                try:
                    await never()
                except asyncio.CancelledError:
                    await never()
        finally:
            steps.append("finally")

    async def inside() -> AsyncIterator[int]:
        try:
            try:
                await never()
            except asyncio.CancelledError:
                await never()
            yield 1
        finally:
            steps.append("inner generator closed")

    async def stubborn_inside() -> None:
        async for _ in inside():
            pass

    problems: list[Any] = []

    async def main() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        async with Runtime() as runtime:
            pids = [spawn(stubborn), spawn(stubborn_inside)]
            await wait_until_idle()
            for pid in pids:
                kill(pid)
            await wait_until_idle()
            return runtime.statistics().frozen

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 2
    gc.collect()
    assert steps == []
    assert problems == []


async def test_the_clean_up_of_a_lifespan_never_runs_after_a_kill() -> None:
    """Neither at the kill, nor when the garbage collector finds what is left of it."""
    log: list[str] = []

    class Holder(GenServer):
        async def lifespan(self) -> AsyncGenerator[None]:
            try:
                yield
            finally:
                log.append("clean-up")

    pid = (await Holder.child_spec().start()).address()
    assert not isinstance(pid, str)
    kill(pid)
    await wait_until_idle()
    gc.collect()
    assert log == []


async def test_kill_before_the_first_step_runs_nothing(runtime: Runtime) -> None:
    """Not even the clean-up, and no coroutine is left that was never awaited."""
    ran: list[str] = []

    async def body() -> None:
        ran.append("body")

    def kill_it_first() -> None:
        kill(pids[1])

    pids = [spawn(kill_it_first), spawn(body), spawn(body)]
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: None)
    kill(pids[2])
    await wait_until_idle()
    assert ran == []
    assert runtime.processes() == ()


async def test_a_process_that_is_already_ending_can_be_killed() -> None:
    """Its grace is over then; its reason is the one that was decided on."""
    pid, ref = spawn_monitor(swallow_for_ever)
    await wait_until_idle()
    send_exit(pid, Exited("slowly"))
    await wait_until_idle()
    assert pid.is_alive
    kill(pid)
    kill(pid)
    assert await receive() == Down(ref, pid, Exited("slowly"))
    assert asyncio.get_running_loop().time() == 0.0


async def test_an_exception_in_the_clean_up_of_a_killed_process_is_nothing() -> None:
    """The reason is ``Killed``, and nobody is told of another."""

    async def body() -> None:
        try:
            await never()
        finally:
            raise ValueError("in finally")

    pid, ref = spawn_monitor(body)
    await wait_until_idle()
    kill(pid)
    assert await receive() == Down(ref, pid, Killed())


async def test_clean_up_of_a_killed_process_can_still_use_its_loop_and_kernel() -> None:
    """It runs as the process it belongs to, in its task."""
    probe = Probe.start()

    async def body() -> None:
        from mabeam.kernel import self_pid, send

        task = asyncio.current_task()
        try:
            await never()
        finally:
            send(probe.pid, (self_pid(), asyncio.current_task() is task))

    pid = spawn(body)
    await wait_until_idle()
    kill(pid)
    assert await probe.next() == (pid, True)


async def test_all_tasks_of_a_killed_process_end_with_it(runtime: Runtime) -> None:
    """Those that swallow are frozen, each reported."""
    log: list[str] = []

    async def gentle() -> None:
        try:
            await never()
        finally:
            log.append("gentle")

    async def body() -> None:
        tasks = [asyncio.create_task(gentle()), asyncio.create_task(swallow_for_ever())]
        await asyncio.wait(tasks)

    pid = spawn(body)
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert log == ["gentle"]
    assert runtime.statistics().frozen == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_killer_does_not_wait_and_kill_is_told_to_links() -> None:
    """Links hear ``Killed``, which is an ordinary reason to them."""
    victim, probe = spawn(wait_for_ever), Probe.start()
    probe.link(victim)
    linked = spawn(wait_for_ever)
    acting_as(linked, link, victim)
    await wait_until_idle()
    kill(victim)
    assert await probe.next() == ExitSignal(victim, Killed())
    await wait_until_idle()
    assert reason_of(linked) == Killed()
