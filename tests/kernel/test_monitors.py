"""Monitors: told once, one way, each by itself."""

from __future__ import annotations

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import (
    Down,
    Exited,
    Killed,
    NoProcess,
    Normal,
    demonitor,
    kill,
    monitor,
    receive,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
    spawn_monitor,
)
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import acting_as, assert_nothing_is_held, process_of, spawn_two, wait_for_ever


async def test_the_watcher_is_told_the_reason_once() -> None:
    """And then the monitor is over."""
    pid, ref = spawn_monitor(wait_for_ever)
    send_exit(pid, Exited("why"))
    assert await receive() == Down(ref, pid, Exited("why"))
    await wait_until_idle()
    with pytest.raises(TimeoutError):
        await receive(timeout=0)
    assert not process_of(self_pid()).monitors
    assert_nothing_is_held(pid)


async def test_a_monitor_works_one_way() -> None:
    """The end of the watcher is nothing to the watched."""
    watched, watcher = spawn_two()
    acting_as(watcher, monitor, watched)
    kill(watcher)
    await wait_until_idle()
    assert watched.is_alive
    assert not process_of(watched).watchers


async def test_each_monitor_is_a_monitor_of_its_own() -> None:
    """Two on one process give two messages; ending one leaves the other."""
    pid = spawn(wait_for_ever)
    refs = [monitor(pid) for _ in range(3)]
    demonitor(refs[1])
    kill(pid)
    downs = [await receive(), await receive()]
    assert [down.ref for down in downs] == [refs[0], refs[2]]
    await wait_until_idle()
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


async def test_monitoring_the_dead_tells_at_once() -> None:
    """``NoProcess``, whatever it once died of."""
    pid = spawn(wait_for_ever)
    kill(pid)
    await wait_until_idle()
    ref = monitor(pid)
    assert await receive(timeout=0) == Down(ref, pid, NoProcess())


async def test_monitoring_a_name_that_leads_nowhere_tells_at_once() -> None:
    """There is no pid to tell."""
    ref = monitor("nobody")
    assert await receive(timeout=0) == Down(ref, None, NoProcess())
    assert "nobody" in repr(ref)


async def test_monitoring_a_name_watches_the_process_that_has_it_now() -> None:
    """A later one of that name is another."""
    pid = spawn(wait_for_ever)
    register("server", pid)
    ref = monitor("server")
    kill(pid)
    assert await receive() == Down(ref, pid, Killed())
    register("server", spawn(wait_for_ever))
    await wait_until_idle()
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


async def test_demonitor_leaves_what_has_arrived_unless_flushed() -> None:
    """Only its own, and in no other order."""
    first, second = spawn_two()
    kept, flushed = monitor(first), monitor(second)
    kill(first)
    kill(second)
    await wait_until_idle()
    send(self_pid(), "last")
    demonitor(kept)
    demonitor(flushed, flush=True)
    assert await receive() == Down(kept, first, Killed())
    assert await receive() == "last"


async def test_demonitor_of_what_is_over_changes_nothing() -> None:
    """It can be said twice."""
    pid, ref = spawn_monitor(lambda: None)
    assert await receive() == Down(ref, pid, Normal())
    demonitor(ref)
    demonitor(ref, flush=True)


async def test_only_the_watcher_can_end_its_monitor() -> None:
    """And the error says who that is."""
    ref = monitor(spawn(wait_for_ever))
    with pytest.raises(UsageError, match="watcher only"):
        acting_as(spawn(wait_for_ever), demonitor, ref)


async def test_all_watchers_are_told_in_the_order_of_watching() -> None:
    """After the death, before anything else they are sent."""
    order: list[int] = []

    async def watch(number: int) -> None:
        monitor(pid)
        await receive(Down)
        order.append(number)

    pid = spawn(wait_for_ever)
    for number in range(20):
        spawn(watch, number)
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert order == list(range(20))


async def test_a_process_can_watch_itself_and_will_never_know() -> None:
    """A message to the dead is no dead letter when nobody sent it."""
    pid = spawn(wait_for_ever)
    acting_as(pid, monitor, pid)
    kill(pid)
    await wait_until_idle()
    assert_nothing_is_held(pid)


async def test_down_comes_behind_what_the_dead_sent_before() -> None:
    """Signals between two processes keep their order."""
    probe = Probe.start()

    async def talk() -> None:
        send(probe.pid, "last words")

    ref = probe.watch(pid := spawn(talk))
    assert [await probe.next(), await probe.next()] == ["last words", Down(ref, pid, Normal())]
