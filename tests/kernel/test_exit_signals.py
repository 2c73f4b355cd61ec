"""Exit signals sent on purpose: trapped, ignored, deadly, and to oneself."""

from __future__ import annotations

import asyncio

import pytest

from mabeam.kernel import (
    Crashed,
    Exited,
    ExitReason,
    ExitSignal,
    Killed,
    NoProcess,
    Normal,
    Shutdown,
    is_abnormal,
    kill,
    receive,
    self_pid,
    send,
    send_exit,
    spawn,
    trap_exit,
)
from mabeam.otp import GenServer, handle_call
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import acting_as, process_of, reason_of, spawn_idle, wait_for_ever


@pytest.mark.parametrize(
    "reason",
    [Shutdown(), Shutdown(1), Killed(), NoProcess(), Crashed(KeyError("k")), Exited("x")],
    ids=repr,
)
async def test_a_signal_that_is_not_trapped_ends_with_its_reason(reason: ExitReason) -> None:
    """``Killed()`` is an ordinary one."""
    pid = spawn(wait_for_ever)
    send_exit(pid, reason)
    await wait_until_idle()
    assert reason_of(pid) == reason


async def test_normal_from_another_is_ignored() -> None:
    """It does not even wake the receiver."""
    pid = spawn(wait_for_ever)
    send_exit(pid, Normal())
    await wait_until_idle()
    assert pid.is_alive


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Killed(), Exited("x")], ids=repr)
async def test_who_traps_gets_every_signal_as_a_message(reason: ExitReason) -> None:
    """From the sender, with the reason; ``Killed()`` as a reason can be trapped."""
    probe, sender = Probe.start(), spawn(wait_for_ever)
    acting_as(sender, send_exit, probe.pid, reason)
    assert await probe.next() == ExitSignal(sender, reason)
    assert probe.pid.is_alive


async def test_kill_cannot_be_trapped() -> None:
    """And the reason is ``Killed``."""
    pid = spawn(_trap_and_go_on)
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert reason_of(pid) == Killed()


async def _trap_and_go_on() -> None:
    trap_exit()
    while True:
        await receive()


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Exited("x")], ids=repr)
async def test_a_signal_to_itself_ends_the_code_right_there(reason: ExitReason, *, is_async: bool) -> None:
    """``Normal`` too, and the reason is the one sent."""
    steps: list[str] = []

    def plain() -> None:
        steps.append("before")
        send_exit(self_pid(), reason)
        steps.append("after")

    async def asynchronous() -> None:
        plain()

    pid = spawn(asynchronous if is_async else plain)
    await wait_until_idle()
    assert steps == ["before"]
    assert reason_of(pid) == reason


async def test_kill_of_itself_ends_the_code_right_there() -> None:
    """However deep it is in calls and tasks."""
    steps: list[str] = []

    async def inner() -> None:
        steps.append("before")
        kill(self_pid())
        steps.append("after")

    async def body() -> None:
        await asyncio.create_task(inner())
        steps.append("after the task")

    direct, nested = spawn(inner), spawn(body)
    await wait_until_idle()
    assert steps == ["before", "before"]
    assert reason_of(direct) == Killed()
    assert reason_of(nested) == Killed()


async def test_code_that_swallows_its_own_end_ends_where_it_waits_next() -> None:
    """The reason stays the one sent."""
    steps: list[str] = []

    async def stubborn() -> None:
        try:
            send_exit(self_pid(), Exited("x"))
        except asyncio.CancelledError:
            steps.append("swallowed")
        await asyncio.get_running_loop().create_future()
        steps.append("never")

    pid = spawn(stubborn)
    await wait_until_idle()
    assert steps == ["swallowed"]
    assert reason_of(pid) == Exited("x")


async def test_a_trapped_signal_to_itself_is_a_message() -> None:
    """The code goes on."""
    got: list[object] = []

    async def body() -> None:
        trap_exit()
        send_exit(self_pid(), Normal())
        got.append(await receive())

    pid = spawn(body)
    await wait_until_idle()
    assert got == [ExitSignal(pid, Normal())]


async def test_trapping_can_be_ended_and_says_what_it_was() -> None:
    """From then on signals act again."""
    answers: list[bool] = []

    async def body() -> None:
        answers.extend([trap_exit(), trap_exit(), trap_exit(False), trap_exit(False)])
        await receive()

    pid = spawn(body)
    await wait_until_idle()
    assert answers == [False, True, True, False]
    send_exit(pid, Exited("x"))
    await wait_until_idle()
    assert reason_of(pid) == Exited("x")


async def test_a_trapped_signal_cancels_nothing() -> None:
    """The handler that runs is left to end; the message is taken after it."""
    log: list[object] = []

    class Server(GenServer):
        def init(self) -> None:
            trap_exit()

        @handle_call
        async def work(self) -> str:
            log.append("begun")
            async with asyncio.timeout(None):
                await gate
            log.append("done")
            return "reply"

        def handle_info(self, message: object, /) -> None:
            log.append(message)

    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server = await Server.start_link()
    call = asyncio.create_task(server.call(Server.work))
    await wait_until_idle()
    stranger = spawn_idle()
    acting_as(stranger, send_exit, server, Exited("x"))
    await wait_until_idle()
    assert log == ["begun"]
    gate.set_result(None)
    assert await call == "reply"
    await wait_until_idle()
    assert log == ["begun", "done", ExitSignal(stranger, Exited("x"))]


async def test_signals_to_the_dead_and_to_nobody_are_nothing() -> None:
    """Neither error nor dead letter."""
    pid = spawn(lambda: None)
    await wait_until_idle()
    send_exit(pid, Exited("x"))
    send_exit("nobody", Exited("x"))
    kill(pid)
    kill("nobody")


async def test_the_first_reason_holds() -> None:
    """A second signal changes nothing; a kill hurries the end, but in OTP it would find nobody."""

    async def slow() -> None:
        try:
            await receive()
        finally:
            await receive(str)

    first, killed = spawn(slow), spawn(slow)
    await wait_until_idle()
    for pid in (first, killed):
        send_exit(pid, Exited("first"))
        send_exit(pid, Exited("second"))
    kill(killed)
    send(first, "go")
    await wait_until_idle()
    assert reason_of(first) == Exited("first")
    assert reason_of(killed) == Exited("first")


def test_reasons_are_values() -> None:
    """``Crashed`` by type and arguments of its exception."""
    assert Crashed(ValueError("x")) == Crashed(ValueError("x"))
    assert Crashed(ValueError("x")) != Crashed(ValueError("y"))
    assert Crashed(ValueError("x")) != Crashed(TypeError("x"))
    assert len({Crashed(ValueError([])), Crashed(ValueError([]))}) == 1
    assert Shutdown() != Shutdown("detail")
    assert Exited(1) == Exited(1)
    assert [is_abnormal(reason) for reason in (Normal(), Shutdown(), Shutdown(1), Killed(), Exited(1))] == [
        False,
        False,
        False,
        True,
        True,
    ]


async def test_an_unborn_process_can_be_ended() -> None:
    """Its function never runs."""
    ran: list[bool] = []
    for end in (kill, lambda pid: send_exit(pid, Exited("x"))):
        pid = spawn(lambda: ran.append(True))
        end(pid)
        await wait_until_idle()
        assert not process_of(pid).is_alive
    assert ran == []
