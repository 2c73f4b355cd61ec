"""Death is one step with a fixed order, and leaves no loose ends; orphans live on until the Runtime stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.kernel import (
    Down,
    ExitSignal,
    Killed,
    Pid,
    Registration,
    Runtime,
    kill,
    receive,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
    spawn_link,
    whereis,
)
from mabeam.otp import GenServer, Supervisor
from mabeam.telemetry import Bus
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import acting_as, process_of, reason_of, spawn_idle, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.kernel import Pid, Process


async def test_at_death_names_go_then_registrations_then_the_event_then_links_and_monitors(
    runtime: Runtime,
) -> None:
    """Each of them finds the ones before it done."""
    log: list[object] = []

    class Entry(Registration):
        def process_ended(self, pid: Pid) -> None:
            log.append(("entry", whereis("victim"), pid.is_alive))

    def heard(event: str, _measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        if metadata["pid"] == victim.serial:
            log.append(event)

    def told(message: object) -> None:
        log.append(type(message).__name__)

    victim, linked, watcher = spawn_idle(), spawn_idle(take=told), spawn_idle(take=told)
    await wait_until_idle()
    from mabeam.kernel import link, monitor, trap_exit

    register("victim", victim)
    process_of(victim).registrations = {Entry(): None}
    acting_as(watcher, monitor, victim)
    acting_as(linked, trap_exit)
    acting_as(linked, link, victim)
    with runtime.bus.attach(heard, events=["process.exited"]):
        kill(victim)
        assert log == [("entry", None, False), "process.exited"]
        await wait_until_idle()
    assert log[2:] == ["ExitSignal", "Down"]


async def test_a_restart_finds_the_name_of_the_dead_one_free() -> None:
    """Its supervisor is told after the name has gone."""

    class Server(GenServer):
        pass

    await Supervisor.start_link([Server.child_spec().named("server")], strategy="one_for_one")
    first = whereis("server")
    assert first is not None
    kill(first)
    await wait_until_idle()
    second = whereis("server")
    assert second is not None
    assert second != first


async def test_deaths_that_cause_each_other_follow_one_after_the_other() -> None:
    """The first is told to all before the second begins."""
    log: list[object] = []

    def told(message: object) -> None:
        assert isinstance(message, ExitSignal)
        log.append(message.pid)

    hub, spoke, rim = spawn_idle(), spawn_idle(), spawn_idle(take=told)
    await wait_until_idle()
    from mabeam.kernel import link, trap_exit

    acting_as(rim, trap_exit)
    acting_as(hub, link, spoke)
    acting_as(spoke, link, rim)
    acting_as(hub, link, rim)
    kill(hub)
    await wait_until_idle()
    assert log == [hub, spoke]


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
async def test_a_death_that_fails_keeps_no_other_from_its_end(
    runtime: Runtime, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """What stops the loop goes on its way when all are dead; anything else is a fault of ours, and logged."""
    hub, spoke, other, rim = spawn_idle(), spawn_idle(), spawn_idle(), spawn_idle()
    await wait_until_idle()
    from mabeam.kernel import link, monitor

    acting_as(hub, link, spoke)
    acting_as(hub, link, other)
    acting_as(other, link, rim)
    down = monitor(rim)
    ended = process_of(spoke).on_death = [asyncio.get_running_loop().create_future()]

    def fails(process: Process, _reason: object) -> None:
        if process.pid == spoke:
            raise error

    runtime.kernel.on_exit = fails
    stops_loop = isinstance(error, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt) if stops_loop else contextlib.nullcontext():
        kill(hub)
    assert await receive(Down) == Down(down, rim, Killed())
    assert all(not pid.is_alive for pid in (hub, spoke, other))
    assert ended[0].done()
    assert ("internal error" in caplog.text) is not stops_loop


async def test_what_outlives_its_parent_is_an_orphan(runtime: Runtime) -> None:
    """Listed as long as it lives."""
    probe = Probe.start()

    async def parent() -> None:
        send(probe.pid, spawn(wait_for_ever))

    spawn(parent)
    child = await probe.next()
    await wait_until_idle()
    assert runtime.orphans() == (child,)
    kill(child)
    await wait_until_idle()
    assert runtime.orphans() == ()


async def test_orphans_are_stopped_with_the_runtime() -> None:
    """In their place in the order: the latest first."""
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await wait_for_ever()
        finally:
            ended.append(name)

    async def parent() -> None:
        spawn(child, "orphan")

    bus, told = Bus(), list[object]()
    bus.attach(lambda _event, _measured, metadata: told.append(metadata["pid"]), events=["process.orphaned"])
    async with Runtime(bus=bus) as runtime:
        spawn(child, "first")
        spawn(parent)
        await wait_until_idle()
        spawn(child, "last")
        await wait_until_idle()
        (orphan,) = runtime.orphans()
    assert ended == ["last", "orphan", "first"]
    assert told == [orphan.serial]


async def test_nothing_can_be_done_in_the_name_of_the_dead() -> None:
    """A callback that outlives its process finds no process to act for."""
    import asyncio

    import pytest

    from mabeam.errors import NoSuchProcess

    outcomes: list[type] = []

    def late() -> None:
        for act in (self_pid, lambda: register("late"), lambda: spawn(wait_for_ever)):
            with pytest.raises(NoSuchProcess) as caught:
                act()
            outcomes.append(caught.type)

    async def body() -> None:
        asyncio.get_running_loop().call_later(1, late)

    spawn(body)
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2, passed.set_result, None)
    await passed
    assert outcomes == [NoSuchProcess] * 3


async def test_a_linked_orphan_ends_with_what_it_is_linked_to() -> None:
    """Having lost its parent it still has its links."""
    probe = Probe.start()

    async def parent() -> None:
        send(probe.pid, spawn_link(wait_for_ever))
        await receive()

    first = spawn(parent)
    child = await probe.next()
    other = spawn(wait_for_ever)
    from mabeam.kernel import Exited, link

    acting_as(child, link, other)
    send(first, "end")
    await wait_until_idle()
    assert child.is_alive
    send_exit(other, Exited("x"))
    await wait_until_idle()
    assert reason_of(child) == Exited("x")
    assert Killed() != reason_of(child)


async def test_a_living_process_keeps_no_row_of_dead_ancestors() -> None:
    """Each starts its successor and ends: a program that hands on a job for days."""
    last: list[Pid] = []

    async def generation(left: int) -> None:
        last[:] = [self_pid()]
        if left:
            spawn(generation, left - 1)
        else:
            await receive()

    spawn(generation, 20)
    await wait_until_idle()
    ancestors, above = [], process_of(last[0]).parent
    while above is not None:
        ancestors.append(above.is_alive)
        above = above.parent
    assert ancestors == [False, True]  # the one that started it, and the root
