"""Names: one process each, one a process, free again at death before anybody hears of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import (
    Down,
    Killed,
    Pid,
    Runtime,
    kill,
    receive,
    register,
    self_pid,
    send,
    spawn,
    spawn_monitor,
    unregister,
    whereis,
)
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import acting_as, spawn_two, wait_for_ever


async def test_a_name_leads_to_its_process() -> None:
    """Until it is taken back."""
    pid = spawn(wait_for_ever)
    assert whereis("server") is None
    register("server", pid)
    assert whereis("server") == pid
    assert "'server'" in repr(pid._process.describe() if pid._process else "")
    unregister("server")
    assert whereis("server") is None
    register("other", pid)
    assert whereis("other") == pid


async def test_a_process_can_name_itself() -> None:
    """Without saying who it is."""
    pid = spawn(wait_for_ever)
    acting_as(pid, register, "self")
    assert whereis("self") == pid


async def test_a_name_has_one_process_and_a_process_one_name() -> None:
    """The error says who has it."""
    one, other = spawn_two()
    register("taken", one)
    with pytest.raises(UsageError, match=rf"taken by .*pid {one.serial}"):
        register("taken", other)
    with pytest.raises(UsageError, match="one name"):
        register("second", one)
    with pytest.raises(UsageError, match="one name"):
        register("taken", one)
    assert whereis("second") is None


@pytest.mark.parametrize("name", ["", 42, None, b"bytes"], ids=["empty", "int", "None", "bytes"])
async def test_what_is_no_name_is_refused(name: Any) -> None:
    """And nothing is registered."""
    with pytest.raises(UsageError, match="name"):
        register(name, spawn(wait_for_ever))


async def test_only_the_living_are_named() -> None:
    """And what nobody is called cannot be taken back."""
    pid = spawn(lambda: None)
    await wait_until_idle()
    with pytest.raises(NoSuchProcess):
        register("dead", pid)
    with pytest.raises(UsageError, match="nobody"):
        unregister("nobody")


async def test_a_name_is_free_before_anybody_hears_of_the_death() -> None:
    """Whoever is told can take it at once."""
    got: list[Pid | None] = []

    async def heir() -> None:
        from mabeam.kernel import monitor

        monitor("server")
        await receive(Down)
        got.append(whereis("server"))
        register("server")
        await receive()

    pid = spawn(wait_for_ever)
    register("server", pid)
    following = spawn(heir)
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert got == [None]
    assert whereis("server") == following


async def test_a_process_keeps_its_name_until_it_is_dead() -> None:
    """Also while its end is wound up."""
    from mabeam.kernel import Exited, send_exit

    async def slow() -> None:
        try:
            await receive()
        finally:
            await receive(str)

    pid = spawn(slow)
    register("slow", pid)
    await wait_until_idle()
    send_exit(pid, Exited("end"))
    await wait_until_idle()
    assert whereis("slow") == pid
    send("slow", "go")
    await wait_until_idle()
    assert whereis("slow") is None


async def test_names_belong_to_their_runtime() -> None:
    """Two Runtimes can use the same ones."""
    register("server", spawn(wait_for_ever))
    async with Runtime():
        assert whereis("server") is None
        other = spawn(wait_for_ever)
        register("server", other)
        assert whereis("server") == other
    assert whereis("server") != other


class _Stubborn:
    """A via name that fails to forget."""

    def register_name(self, pid: Pid) -> Pid:
        return pid

    def whereis_name(self) -> Pid | None:
        return None

    def unregister_name(self, pid: Pid) -> None:
        raise ValueError("cannot forget")


async def test_a_via_name_that_fails_to_forget_keeps_nobody_from_hearing_of_a_death(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the death goes its way."""
    pid, ref = spawn_monitor(wait_for_ever)
    register(_Stubborn(), pid)
    linked = Probe.start()
    linked.link(pid)
    await wait_until_idle()
    with caplog.at_level(logging.ERROR, logger="mabeam"):
        kill(pid)
        assert await receive() == Down(ref, pid, Killed())
    assert (await linked.next()).reason == Killed()
    assert "failed to forget" in caplog.text
    assert self_pid().is_alive
