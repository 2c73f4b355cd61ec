"""Answers that come later, and ends with and without an answer."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Caller,
    CallTimeout,
    ExitReason,
    GenServer,
    ProcessDied,
    Stop,
    UsageError,
    handle_call,
    handle_cast,
    reply_later,
    stop_self,
)
from mabeam.kernel import Crashed, Killed, Normal, Shutdown, kill
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import Awaitable


def _answer_at_once(caller: Caller[str]) -> None:
    caller.reply("at once")


class Desk(GenServer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Caller[str]] = []
        self.log: list[Any] = []

    @handle_call
    def ask(self) -> str:
        return reply_later(self.waiting.append)

    @handle_call
    async def ask_slowly(self) -> str:
        await wait_until_idle()
        return reply_later(self.waiting.append)

    @handle_call
    def ask_and_answer(self) -> str:
        return reply_later(_answer_at_once)

    @handle_call
    def ask_but_return(self) -> str:
        reply_later(self.waiting.append)
        return "returned"

    @handle_call(raises=(ValueError,))
    def ask_but_raise(self) -> str:
        reply_later(self.waiting.append)
        raise ValueError("raised")

    @handle_call
    def answer(self, value: str) -> int:
        for caller in self.waiting:
            caller.reply(value)
        return len(self.waiting)

    @handle_cast
    def refuse(self) -> None:
        for caller in self.waiting:
            caller.fail(LookupError("no"))

    @handle_cast
    def no_caller(self) -> None:
        reply_later(self.waiting.append)

    @handle_call
    def stop_with_answer(self, reason: ExitReason) -> str:
        stop_self(reason)
        return "bye"

    @handle_call(raises=(LookupError,))
    def stop_with_error(self, reason: ExitReason) -> str:
        stop_self(reason)
        raise LookupError("declared")

    @handle_call
    async def stop_with_answer_slowly(self, reason: ExitReason) -> str:
        stop_self(reason)
        await wait_until_idle()
        return "bye"

    @handle_call
    def stop_and_answer_later(self, reason: ExitReason) -> str:
        stop_self(reason)
        return reply_later(self.waiting.append)

    @handle_call
    def stop_without_answer(self, reason: ExitReason) -> str:
        raise Stop(reason)

    @handle_cast
    def stop_in_cast(self, reason: ExitReason) -> None:
        raise Stop(reason)

    def terminate(self, reason: ExitReason) -> Awaitable[None] | None:
        self.log.append(reason)
        return None


ASKING = [Desk.ask, Desk.ask_slowly]


@pytest.mark.parametrize("ask", ASKING)
async def test_a_caller_can_be_answered_later_from_any_handler(ask: Any) -> None:
    """The handler has ended, the server serves others, the caller waits."""
    server = await Desk.start_link()
    asked = [await begun(server.call(ask)) for _ in range(2)]
    assert not any(task.done() for task in asked)
    assert await server.call(Desk.answer, "yes") == 2
    assert [await task for task in asked] == ["yes", "yes"]


@pytest.mark.parametrize("ask", ASKING)
async def test_a_caller_can_be_failed_later(ask: Any) -> None:
    """It gets the exception as it is; the server lives."""
    server = await Desk.start_link()
    asked = await begun(server.call(ask))
    server.cast(Desk.refuse)
    with pytest.raises(LookupError, match="no"):
        await asked
    assert await server.call(Desk.answer, "late") == 1


async def test_a_caller_is_answered_once_and_further_answers_are_dropped() -> None:
    """Of whatever kind the first and the second are."""
    server = await Desk.start_link()
    asked = await begun(server.call(Desk.ask))
    await server.call(Desk.answer, "first")
    await server.call(Desk.answer, "second")
    server.cast(Desk.refuse)
    assert await asked == "first"


@pytest.mark.parametrize("queued", [False, True])
async def test_an_answer_may_be_given_before_the_handler_returns(*, queued: bool) -> None:
    """Handed off or not."""
    server = await Desk.start_link()
    if queued:
        server.cast(Desk.refuse)
    assert await server.call(Desk.ask_and_answer) == "at once"


@pytest.mark.parametrize("queued", [False, True])
async def test_who_takes_the_caller_and_returns_all_the_same_has_answered(*, queued: bool) -> None:
    """What the kept caller is told later is dropped; nobody is left to hear it."""
    server = await Desk.start_link()
    if queued:
        server.cast(Desk.refuse)
    assert await server.call(Desk.ask_but_return) == "returned"
    if queued:
        server.cast(Desk.refuse)
    with pytest.raises(ValueError, match="raised"):
        await server.call(Desk.ask_but_raise)
    server.cast(Desk.refuse)
    assert await server.call(Desk.answer, "late") == 2


async def test_an_answer_after_the_timeout_is_dropped() -> None:
    """It can never be taken for the answer to a later call."""
    server = await Desk.start_link()
    with pytest.raises(CallTimeout) as caught:
        await server.options(timeout=2.0).call(Desk.ask)
    assert (caught.value.timeout, clock().time()) == (2.0, 2.0)
    asked = await begun(server.call(Desk.ask))
    state_of(server).waiting[0].reply("late")
    await wait_until_idle()
    assert not asked.done()
    state_of(server).waiting[1].reply("in time")
    assert await asked == "in time"


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Killed()])
async def test_a_caller_who_waits_hears_of_the_servers_end(ask: Any, reason: ExitReason) -> None:
    """Also when the end is a normal one."""
    server = await Desk.child_spec().start()
    asked = await begun(server.call(ask))
    if reason == Killed():
        kill(server)
    else:
        await server.stop(reason)
    with pytest.raises(ProcessDied) as caught:
        await asked
    assert (caught.value.operation, caught.value.reason) == ("call", reason)


async def test_answers_after_the_end_of_the_server_are_dropped() -> None:
    """The caller may be kept longer than its server."""
    server = await Desk.child_spec().start()
    asked = await begun(server.call(Desk.ask))
    (caller,) = state_of(server).waiting
    await server.stop()
    caller.reply("late")
    caller.fail(ValueError("late"))
    with pytest.raises(ProcessDied):
        await asked


async def test_reply_later_needs_a_caller() -> None:
    """In a cast there is none, and elsewhere there is no server."""
    with pytest.raises(UsageError, match="belongs in a GenServer"):
        reply_later(print)
    probe = Probe.start()
    server = await Desk.child_spec().start()
    probe.watch(server)
    server.cast(Desk.no_caller)
    reason = (await probe.next()).reason
    assert isinstance(reason.exception, UsageError)


@pytest.mark.parametrize("method", [Desk.stop_with_answer, Desk.stop_with_answer_slowly])
async def test_stop_self_answers_the_caller_when_terminate_has_run(method: Any) -> None:
    """So whoever has the answer knows that the clean-up is done."""

    class Slow(Desk):
        async def terminate(self, reason: ExitReason) -> None:
            gate = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(3, gate.set_result, None)
            await gate

    server = await Slow.child_spec().start()
    assert await server.call(method, Shutdown("done")) == "bye"
    assert clock().time() == 3.0
    await wait_until_idle()
    assert pid_of(server).is_alive is False


async def test_stop_self_holds_for_a_handler_that_answers_with_a_declared_error() -> None:
    """The caller has its error, and the server ends all the same."""
    probe = Probe.start()
    server = await Desk.child_spec().start()
    probe.watch(server)
    with pytest.raises(LookupError, match="declared"):
        await server.call(Desk.stop_with_error, Shutdown("done"))
    assert (await probe.next()).reason == Shutdown("done")


async def test_stop_self_with_an_answer_to_come_leaves_the_caller_without_one() -> None:
    """Nobody is there any more to give it."""
    server = await Desk.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Desk.stop_and_answer_later, Shutdown("done"))
    assert caught.value.reason == Shutdown("done")


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Crashed(ValueError("x"))])
async def test_stop_raised_in_a_handler_ends_the_server_without_an_answer(reason: ExitReason) -> None:
    """The caller gets ProcessDied with that reason, and terminate has run with it."""
    server = await Desk.child_spec().start()
    state = state_of(server)
    with pytest.raises(ProcessDied) as caught:
        await server.call(Desk.stop_without_answer, reason)
    assert caught.value.reason == reason
    assert state.log == [reason]


async def test_messages_behind_a_stop_are_not_taken() -> None:
    """Their callers are told, and casts become dead letters."""
    server = await Desk.child_spec().start()
    state = state_of(server)
    server.cast(Desk.stop_in_cast, Shutdown("x"))
    server.cast(Desk.refuse)
    with pytest.raises(ProcessDied) as caught:
        await server.call(Desk.answer, "?")
    assert caught.value.reason == Shutdown("x")
    assert state.log == [Shutdown("x")]


async def test_stop_self_belongs_in_a_server() -> None:
    """Elsewhere it says so."""
    with pytest.raises(UsageError, match="belongs in a GenServer"):
        stop_self(Normal())


class FromAThread(GenServer):
    """Answers those it has kept from a handler in a thread, which then waits for them to have heard it."""

    def __init__(self) -> None:
        self.waiting: list[Caller[str]] = []

    @handle_call
    def ask(self) -> str:
        return reply_later(self.waiting.append)

    @handle_call(thread=True)
    def answer(self, heard: threading.Event) -> bool:
        replied, failed = self.waiting
        replied.reply("answer")
        failed.fail(ValueError("failure"))
        return heard.wait(60)


@pytest.mark.real_time
async def test_who_is_answered_from_a_thread_hears_of_it_at_once() -> None:
    """A future belongs to its loop: set from elsewhere, it wakes nobody."""
    server = await FromAThread.start_link()
    asking = [await begun(server.call(FromAThread.ask)) for _ in range(2)]
    heard = threading.Event()
    answering = asyncio.create_task(server.options(timeout=90).call(FromAThread.answer, heard))
    assert await asking[0] == "answer"
    with pytest.raises(ValueError, match="failure"):
        await asking[1]
    heard.set()
    assert await answering
