"""What a server takes, and in which order: calls, casts, raw messages."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from mabeam import (
    GenServer,
    handle_call,
    handle_cast,
    send,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, pid_of, state_of

if TYPE_CHECKING:
    from mabeam.kernel import Runtime


class Recorder(GenServer):
    """Records what it is given, and can be held up."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.gate = asyncio.Event()

    @handle_call
    def note(self, item: object) -> int:
        self.log.append(item)
        return len(self.log)

    @handle_call
    async def hold(self, item: object) -> str:
        self.log.append(("begin", item))
        await self.gate.wait()
        self.log.append(("end", item))
        return "held"

    @handle_cast
    def put(self, item: object) -> None:
        self.log.append(item)

    @handle_cast
    async def put_slowly(self, item: object) -> None:
        await self.gate.wait()
        self.log.append(item)

    def handle_info(self, message: object) -> None:
        self.log.append(("info", message))

    @handle_call
    def read(self) -> list[Any]:
        return list(self.log)


async def test_a_call_returns_what_its_handler_returns() -> None:
    """Positional and keyword arguments arrive as written."""
    server = await Recorder.start_link()
    assert await server.call(Recorder.note, "a") == 1
    assert await server.call(Recorder.note, item="b") == 2
    assert await server.call(Recorder.read) == ["a", "b"]


async def test_calls_casts_and_messages_of_one_sender_are_taken_in_the_order_sent() -> None:
    """Whatever kind they are, they share one mailbox."""
    server = await Recorder.start_link()
    server.cast(Recorder.put, 1)
    send(pid_of(server), 2)
    server.cast(Recorder.put, 3)
    assert await server.call(Recorder.note, 4) == 4
    assert await server.call(Recorder.read) == [1, ("info", 2), 3, 4]


async def test_a_server_takes_one_message_at_a_time() -> None:
    """While an async handler waits, later messages wait too; a plain call to it does not overtake."""
    server = await Recorder.start_link()
    held = await begun(server.call(Recorder.hold, 1))
    noted = await begun(server.call(Recorder.note, 2))
    server.cast(Recorder.put, 3)
    await wait_until_idle()
    assert state_of(server).log == [("begin", 1)]
    state_of(server).gate.set()
    assert (await held, await noted) == ("held", 3)
    assert await server.call(Recorder.read) == [("begin", 1), ("end", 1), 2, 3]


async def test_an_async_cast_holds_up_what_comes_after_it() -> None:
    """A cast is a message like any other."""
    server = await Recorder.start_link()
    server.cast(Recorder.put_slowly, 1)
    server.cast(Recorder.put, 2)
    await wait_until_idle()
    assert state_of(server).log == []
    state_of(server).gate.set()
    assert await server.call(Recorder.read) == [1, 2]


async def test_a_message_that_nobody_has_a_use_for_becomes_a_dead_letter(runtime: Runtime) -> None:
    """The default handle_info ends nothing."""

    class Quiet(GenServer):
        @handle_call
        def ping(self) -> str:
            return "pong"

    server = await Quiet.start_link()
    send(pid_of(server), "what")
    assert await server.call(Quiet.ping) == "pong"
    (letter,) = runtime.dead_letters.latest
    assert (letter.message, letter.why) == ("what", "not_understood")


async def test_each_handler_has_a_fresh_copy_of_its_processs_context() -> None:
    """What __init__ sets is seen by all; what a handler or the caller sets is seen by none."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    class Scoped(GenServer):
        def __init__(self) -> None:
            variable.set("init")

        @handle_call
        def swap(self, value: str) -> str:
            before = variable.get()
            variable.set(value)
            return before

        @handle_call
        async def swap_slowly(self, value: str) -> str:
            before = variable.get()
            variable.set(value)
            return before

    variable.set("caller")
    server = await Scoped.start_link()
    for number in range(2):
        assert await server.call(Scoped.swap, str(number)) == "init"
        assert await server.call(Scoped.swap_slowly, str(number)) == "init"
    assert variable.get() == "caller"
