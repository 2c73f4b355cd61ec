"""Names that are keys of a registry, as values and as what the kernel asks of a name."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from typing import Any

import pytest

from mabeam import (
    CallTimeout,
    Down,
    GenServer,
    Killed,
    NoProcess,
    NoSuchProcess,
    Pid,
    ProcessDied,
    Ref,
    Registry,
    RegistryName,
    UsageError,
    handle_call,
    handle_cast,
    kill,
    link,
    receive,
    self_pid,
    spawn,
    spawn_monitor,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import clock, for_ever, pid_of


def copied(pid: Pid) -> Pid:
    """A pid that names its process and does not reach it."""
    again = pickle.loads(pickle.dumps(pid))
    assert isinstance(again, Pid)
    return again


def test_a_name_is_a_value_of_registry_and_key() -> None:
    """What it registers a process with is no part of it."""
    name: Any = RegistryName("agents", "ann")
    assert name.value is None
    assert name == RegistryName("agents", "ann", 7)
    assert hash(name) == hash(RegistryName("agents", "ann", 7))
    assert name != RegistryName("agents", "bob")
    assert name != RegistryName("rooms", "ann")
    with pytest.raises(dataclasses.FrozenInstanceError):
        name.key = "bob"


async def test_a_name_shows_registry_and_key() -> None:
    """Child ids are made of this."""
    assert repr(RegistryName("agents", "ann")) == "agents['ann']"
    assert str(RegistryName("agents", 7)) == "agents[7]"
    assert repr(RegistryName(self_pid(), "ann")) == f"{self_pid()!r}['ann']"
    assert repr(RegistryName(RegistryName("tops", 1), "ann")) == "tops[1]['ann']"


class _Detached:
    """A key that can be shown only as long as it is ``attached``, as an object of a database session."""

    attached = True

    def __repr__(self) -> str:
        if not self.attached:
            raise RuntimeError("detached")
        return "key"


class _Named(GenServer):
    @handle_call
    async def hang(self) -> None:
        await for_ever()

    @handle_call
    async def crash(self) -> None:
        raise ValueError("crash")

    @handle_cast
    async def work(self) -> None:
        await for_ever()


async def _named_by_what_cannot_be_shown(key: _Detached) -> Ref[_Named]:
    registry = Registry.at(await Registry.start_link(keys="unique"))
    server = await _Named.child_spec().named(registry.via(key)).options(id="named").start()
    key.attached = False
    return server


async def test_a_name_that_cannot_be_shown_keeps_no_caller_waiting() -> None:
    """Neither those of the server that has it nor others that wait as long."""
    server = await _named_by_what_cannot_be_shown(_Detached())
    other = await _Named.child_spec().start()
    waits = [asyncio.create_task(each.options(timeout=0.3).call(_Named.hang)) for each in (server, other)]
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    assert clock().time() == pytest.approx(0.3)
    assert all(isinstance(outcome, CallTimeout) for outcome in outcomes)
    assert "RegistryName whose repr raised RuntimeError" in str(outcomes[0])


async def test_a_name_that_cannot_be_shown_keeps_no_crash_from_ending_its_server() -> None:
    server = await _named_by_what_cannot_be_shown(_Detached())
    with pytest.raises(ProcessDied, match="whose repr raised RuntimeError"):
        await server.call(_Named.crash)
    assert not pid_of(server).is_alive


async def test_a_name_that_cannot_be_shown_keeps_nobody_from_hearing_of_a_death() -> None:
    """Its mail becomes dead letters, which say whom they were for."""
    server = await _named_by_what_cannot_be_shown(_Detached())
    server.cast(_Named.work)
    await wait_until_idle()
    server.cast(_Named.work)

    async def be_linked() -> None:
        link(pid_of(server))
        await for_ever()

    linked, ref = spawn_monitor(be_linked)
    await wait_until_idle()
    kill(pid_of(server))
    assert await receive(Down) == Down(ref, linked, Killed())


async def test_a_name_of_a_registry_that_does_not_run_says_how_to_start_it() -> None:
    """By its name; by the example's, when it was made for a pid."""
    pid = (await Registry.child_spec(keys="unique").start()).pid
    assert pid is not None
    kill(pid)
    await wait_until_idle()
    for address, called in (("crew", "'crew'"), (pid, "'agents'")):
        with pytest.raises(NoSuchProcess, match=rf"no registry running there.*named\({called}\)") as caught:
            RegistryName(address, "ann").register_name(self_pid())
        assert caught.value.operation == "call"
        assert RegistryName(address, "ann").whereis_name() is None
        RegistryName(address, "ann").unregister_name(self_pid())


async def test_only_a_process_that_can_be_reached_is_registered() -> None:
    """And taking a key from one that cannot, or never had it, takes it from nobody."""
    registry = Registry.at(await Registry.start_link(keys="unique"))
    name = registry.via("ann", "value")
    one = spawn(for_ever)
    with pytest.raises(NoSuchProcess):
        name.register_name(copied(one))
    assert name.whereis_name() is None
    assert name.register_name(one) is one
    assert name.register_name(spawn(for_ever)) == one
    assert registry.lookup("ann") == [(one, "value")]
    name.unregister_name(copied(one))
    name.unregister_name(spawn(for_ever))
    assert name.whereis_name() == one
    name.unregister_name(one)
    assert name.whereis_name() is None


async def test_the_dead_are_not_registered() -> None:
    """Nobody would ever remove them."""
    registry = Registry.at(await Registry.start_link(keys="unique"))
    dead = spawn(for_ever)
    kill(dead)
    await wait_until_idle()
    with pytest.raises(NoSuchProcess) as caught:
        registry.via("ann").register_name(dead)
    assert (caught.value.operation, caught.value.pid) == ("link", dead)
    assert caught.value.reason == NoProcess()
    assert registry.count() == 0


async def test_keys_that_may_lead_to_several_are_no_names() -> None:
    """The message says what to use."""
    registry = Registry.at(await Registry.start_link(keys="duplicate"))
    name = registry.via("ann")
    with pytest.raises(UsageError, match=r"the name .*\['ann'\] needs unique keys.*dispatch"):
        name.register_name(self_pid())
    with pytest.raises(UsageError, match=r"the name .*\['ann'\] needs unique keys"):
        name.whereis_name()


async def test_a_registry_behind_a_key_that_leads_to_several_forgets_quietly() -> None:
    """The kernel asks while a process dies: nothing may be raised."""
    registry = await Registry.start_link(keys="duplicate")
    behind = RegistryName(Registry.at(registry).via("agents"), "ann")
    behind.unregister_name(self_pid())
