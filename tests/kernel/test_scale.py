"""Many processes, long chains, many crashes: it stays quick, and nothing grows."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.kernel import Exited, Runtime, kill, link, receive, send, send_exit, spawn, whereis
from mabeam.otp import DynamicSupervisor, GenServer, Supervisor, handle_call, handle_cast, ref
from mabeam.testing import VirtualLoop, wait_until_idle
from tests.kernel._scenes import acting_as, never, process_of, reason_of, spawn_idle, wait_for_ever
from tests.kernel._why_scenes import asker

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 100_000


class Walked(dict[Any, Any]):
    """Tasks of a process, and how often somebody went through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[Any]:
        self.walks += 1
        return super().__iter__()


class Gathering(GenServer):
    """Waits for many tasks, each of which waits for another one."""

    @handle_call
    async def gather(self, count: int) -> None:
        await asyncio.gather(*(self._nested() for _ in range(count)))

    @handle_call
    def ping(self) -> None: ...

    async def _nested(self) -> None:
        await asyncio.create_task(never())


async def test_a_call_goes_through_the_tasks_of_the_callee_at_most_once() -> None:
    """However many of them wait for others: once for each of them would block the loop."""
    server = await Gathering.child_spec().start()
    asker(server, Gathering.gather, 100)
    await wait_until_idle()
    assert server.pid is not None
    process = process_of(server.pid)
    process.tasks = walked = Walked(process.tasks or {})
    assert len(walked) == 200
    asker(server, Gathering.ping)
    await wait_until_idle()
    assert walked.walks <= 1
    kill(server)


@pytest.mark.timeout(120)
def test_a_hundred_thousand_processes_are_spawned_sent_to_and_stopped() -> None:
    """Each gets its message, and each is stopped with the Runtime."""
    got: list[object] = []

    async def main() -> int:
        async with Runtime() as runtime:
            pids = [spawn_idle(take=got.append) for _ in range(MANY)]
            for number, pid in enumerate(pids):
                send(pid, number)
            await wait_until_idle()
            assert len(got) == MANY
            assert runtime.statistics().processes == MANY
        assert not any(pid.is_alive for pid in pids)
        return runtime.statistics().dead_letters

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 0


@pytest.mark.timeout(120)
async def test_a_chain_of_a_hundred_thousand_links_dies_without_recursion() -> None:
    """One death causes the next, not inside of it."""
    pids = [spawn_idle() for _ in range(MANY)]
    await wait_until_idle()
    for left, right in itertools.pairwise(pids):
        acting_as(left, link, right)
    send_exit(pids[0], Exited("end of the chain"))
    assert not any(pid.is_alive for pid in pids)
    assert reason_of(pids[-1]) == Exited("end of the chain")


async def test_a_hub_with_very_many_links_dies_with_all_of_them() -> None:
    """And cutting them one by one is quick as well."""
    hub, spokes = spawn_idle(), [spawn_idle() for _ in range(20_000)]
    await wait_until_idle()
    for spoke in spokes:
        acting_as(spoke, link, hub)
    for spoke in spokes[::2]:
        kill(spoke)
        break
    assert not any(spoke.is_alive for spoke in spokes)
    assert not process_of(hub).links


async def test_a_long_chain_of_plain_processes_dies_turn_by_turn() -> None:
    """Each has its clean-up."""
    ended: list[int] = []

    async def body(number: int) -> None:
        try:
            await wait_for_ever()
        finally:
            ended.append(number)

    pids = [spawn(body, number) for number in range(2_000)]
    await wait_until_idle()
    for left, right in itertools.pairwise(pids):
        acting_as(left, link, right)
    kill(pids[0])
    await wait_until_idle()
    assert ended == list(range(2_000))


class Crasher(GenServer):
    """Crashes when told to."""

    @handle_cast
    def crash(self) -> None:
        raise ValueError("again")

    @handle_cast
    async def crash_later(self) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        await asyncio.wait((task,), timeout=0)
        raise ValueError("again")


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Ten thousand crash reports say no more than one, and pytest would keep them all."""
    logger = logging.getLogger("mabeam")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


def _blocks() -> int:
    """Everything that Python has allocated, by number; quicker than tracemalloc, and nothing escapes it."""
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("_quiet")
async def test_ten_thousand_crashes_and_restarts_leave_nothing_behind(
    runtime: Runtime, virtual_loop: VirtualLoop
) -> None:
    """Neither memory, nor links, watchers and timers of those that are still there."""
    await Supervisor.start_link(
        [Crasher.child_spec().named("crasher")], strategy="one_for_one", max_restarts=1_000, max_seconds=0.5
    )
    supervisor = process_of(runtime.processes()[0])
    crasher = ref("crasher", Crasher)

    async def cycles(count: int) -> None:
        for number in range(count):
            pid = whereis("crasher")
            assert pid is not None
            crasher.cast(Crasher.crash if number % 10 else Crasher.crash_later)
            await wait_until_idle()
            assert whereis("crasher") != pid
            if number % 100 == 99:
                await virtual_loop.advance(1)  # the supervisor forgets its restarts

    await cycles(1_000)
    before = _blocks()
    await cycles(9_000)
    assert _blocks() - before < 1_000
    assert len(supervisor.links) == 2
    assert not supervisor.watchers
    assert not supervisor.timers
    assert len(runtime.processes()) == 2


@pytest.mark.usefixtures("_quiet")
async def test_a_dead_process_is_freed_without_the_garbage_collector() -> None:
    """No cycle keeps it: restarts do not depend on when the collector runs."""

    class Body:
        pass

    gc.collect()
    gc.disable()
    try:
        found: list[weakref.ref[Body]] = []

        async def body(held: Body) -> None:
            await receive()

        held = pid = None
        for _ in range(10):
            held = Body()
            found.append(weakref.ref(held))
            pid = spawn(body, held)
            await wait_until_idle()
            kill(pid)
            await wait_until_idle()
        del held, pid
        assert [reference() for reference in found] == [None] * 10
    finally:
        gc.enable()


class Cell(GenServer):
    """One of very many."""

    def __init__(self, number: int) -> None:
        self.number = number

    @handle_call
    def read(self) -> int:
        return self.number


@pytest.mark.timeout(120)
async def test_a_hundred_thousand_servers_are_started_called_and_stopped() -> None:
    """Under one supervisor, which stops them all."""
    cells = await DynamicSupervisor.start_link()
    refs = [
        await cells.call(DynamicSupervisor.start_child, Cell.child_spec(number)) for number in range(MANY)
    ]
    assert [await each.call(Cell.read) for each in refs] == list(range(MANY))
    await cells.stop()
    assert not any(each.pid is not None and each.pid.is_alive for each in refs)
