"""Code of a process that a signal has ended goes on until it waits, and does nothing more for the dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Down,
    Exited,
    GenServer,
    Killed,
    NoSuchProcess,
    ProcessDied,
    get_state,
    handle_call,
    handle_cast,
    handle_stream,
    kill,
    link,
    receive,
    ref,
    register,
    replace_state,
    self_pid,
    send,
    send_exit,
    spawn_monitor,
    suspend,
    whereis,
)
from tests.otp._servers import begun, pause, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mabeam import Ref


class Server(GenServer):
    """Counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    @handle_call
    def ask(self) -> None:
        self.asked += 1

    @handle_cast
    def tell(self) -> None:
        self.asked += 1

    @handle_stream
    async def items(self) -> AsyncIterator[int]:
        self.asked += 1
        yield 1


async def _read(server: Ref[Server]) -> None:
    async with server.stream(Server.items):
        pass


@pytest.mark.parametrize("whom", ["dead", "dead by name", "other"])
@pytest.mark.parametrize(
    "what",
    [
        lambda server: server.call(Server.ask),
        lambda server: server.cast_wait(Server.tell),
        lambda server: server.stop(),
        lambda server: _read(server),
        lambda server: get_state(server),
        lambda server: suspend(server),
        lambda _server: receive(),
        lambda _server: receive(timeout=0),
        lambda _server: Server.start_link(),
    ],
    ids=["call", "cast_wait", "stop", "stream", "get_state", "suspend", "receive", "look", "start"],
)
async def test_whoever_was_ended_by_a_link_does_not_come_back_from_what_would_have_waited(
    what: Callable[[Ref[Server]], Awaitable[Any]], whom: str
) -> None:
    """The exit signal of the other was on its way before anything that could be said of its end."""
    dead = await Server.child_spec().named("server").start()
    other = await Server.child_spec().start()
    went_on: list[object] = []
    named = ref("server", Server)

    async def body() -> None:
        pid = whereis("server")
        assert pid is not None
        link(pid)
        send(self_pid(), "message")
        kill(pid)
        try:
            await what({"dead": dead, "dead by name": named, "other": other}[whom])
        except Exception as error:
            went_on.append(error)
        went_on.append("went on")

    pid, monitor = spawn_monitor(body)
    assert await receive(Down) == Down(monitor, pid, Killed())
    assert went_on == []
    assert state_of(other).asked == 0


class Lingering(Server):
    """Takes its time to clean up."""

    @handle_call
    async def hang(self) -> None:
        try:
            await pause(100)
        finally:
            await pause(0.5)


async def _register(server: Ref[Server]) -> None:
    register("late", server)


@pytest.mark.parametrize(
    "what",
    [
        lambda server: server.call(Server.ask),
        lambda server: server.stop(),
        lambda server: _read(server),
        lambda server: get_state(server),
        lambda server: replace_state(server, lambda state: state),
        lambda server: suspend(server),
        lambda server: _register(server),
    ],
    ids=["call", "stop", "stream", "get_state", "replace_state", "suspend", "register"],
)
async def test_a_process_whose_end_is_settled_is_not_there_for_anybody(
    what: Callable[[Ref[Server]], Awaitable[Any]],
) -> None:
    """As in OTP, where it would be dead; its code still cleans up."""
    server = await Lingering.child_spec().start()

    async def caller() -> None:
        with pytest.raises(ProcessDied):
            await server.call(Lingering.hang)

    waiting = await begun(caller())
    send_exit(server, Exited("boom"))
    with pytest.raises(NoSuchProcess):
        await what(server)
    await waiting
    assert whereis("late") is None
