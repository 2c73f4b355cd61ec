"""The link between a registry and those who are in it: there from the first entry to the last, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mabeam import (
    GenServer,
    NoSuchProcess,
    Pid,
    Registry,
    RegistryRef,
    UsageError,
    kill,
    link,
    register,
    spawn,
    unlink,
    unregister,
)
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import acting_as, process_of
from tests.otp._servers import for_ever

if TYPE_CHECKING:
    from typing import Any


async def start(keys: Any = "unique") -> tuple[RegistryRef[Any, Any], Pid]:
    """A registry that nobody is linked with."""
    ref = await Registry.child_spec(keys=keys).start()
    assert ref.pid is not None
    return Registry.at(ref), ref.pid


def are_linked(one: Pid, other: Pid) -> bool:
    return process_of(other) in process_of(one).links


async def test_taking_back_nothing_leaves_a_link_of_ones_own() -> None:
    """Whoever was never registered has no link that was the registry's to cut."""
    registry, pid = await start()
    one = spawn(for_ever)
    acting_as(one, link, pid)
    acting_as(one, registry.unregister, "never")
    assert are_linked(one, pid)


async def test_a_link_that_is_asked_for_while_registered_goes_with_the_last_key() -> None:
    """It is the one that is there already, and Elixir's registry cuts it, too."""
    registry, pid = await start()
    one = spawn(for_ever)
    for key in ("key", "other"):
        acting_as(one, registry.register, key)
    acting_as(one, link, pid)
    acting_as(one, registry.unregister, "key")
    assert are_linked(one, pid)
    acting_as(one, registry.unregister, "other")
    assert not are_linked(one, pid)


async def test_a_link_of_ones_own_outlives_the_registration_once() -> None:
    """When it is cut, the next registration makes one that goes with it."""
    registry, pid = await start()
    one = spawn(for_ever)
    acting_as(one, link, pid)
    acting_as(one, registry.register, "key")
    acting_as(one, registry.unregister, "key")
    assert are_linked(one, pid)
    acting_as(one, unlink, pid)
    acting_as(one, registry.register, "key")
    assert are_linked(one, pid)
    acting_as(one, registry.unregister, "key")
    assert not are_linked(one, pid)


async def test_a_registry_may_be_in_itself_and_leave(caplog: pytest.LogCaptureFixture) -> None:
    """It goes on to be told of its own end: those who are in it must not keep what they know of it."""
    registry, pid = await start()
    register(registry.via("itself"), pid)
    assert registry.whereis("itself") == pid
    assert not are_linked(pid, pid)
    unregister(registry.via("itself"))
    one = spawn(for_ever)
    acting_as(one, registry.register, "key")
    acting_as(one, registry.register, "another")
    process = process_of(one)
    acting_as(one, unlink, pid)  # or it would end as well
    assert process.registrations
    kill(pid)
    await wait_until_idle()
    assert process.is_alive
    assert not process.registrations
    assert caplog.messages == []


async def test_a_registry_that_has_ended_is_not_asked_any_more() -> None:
    """Its pid leads to it, but nobody is in it, and nobody gets in."""
    registry, pid = await start()
    assert registry.keys(spawn(for_ever)) == []
    kill(pid)
    with pytest.raises(NoSuchProcess):
        registry.keys(spawn(for_ever))


async def test_what_has_registrations_of_another_kind_is_no_registry() -> None:
    """An attribute of that name is nobody's privilege."""

    class Office(GenServer):
        def __init__(self) -> None:
            self.registrations = ["a letter"]

    office = await Office.start_link()
    with pytest.raises(UsageError, match=r"expected a Registry at .*, and there is .*Office"):
        Registry.at(office).register("key")
