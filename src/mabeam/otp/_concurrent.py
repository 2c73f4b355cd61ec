"""Handlers that run beside the server, each in a task of its own."""

from __future__ import annotations

from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from mabeam.errors import CallCycle, HandlerFailed
from mabeam.kernel import (
    SUSPENDED,
    Activation,
    Behaviour,
    Stop,
    activate,
    check_place_cycle,
    in_trace,
    mailbox_is_full,
    trace_of,
)
from mabeam.otp._asides import LATER, asides_of
from mabeam.otp._deadlines import has_expired, is_over_for_nobody
from mabeam.otp._mistakes import bad_call, forgotten_await, forgotten_return, is_forgotten
from mabeam.otp._requests import StopRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.kernel import Process
    from mabeam.otp._requests import Call

__all__ = ("ConcurrentHandlers",)


class ConcurrentHandlers(Behaviour):
    """The part of a server that runs handlers declared with ``concurrent=N``: at most N of each, the rest in a queue.

    They are of calls; a cast is always handled by the server itself.
    """

    __slots__ = ()

    def start_concurrent(self, process: Process, message: Call) -> None:
        asides, handler = asides_of(process), message.handler
        name = handler.what
        running = asides.running.get(name)
        if running is None:
            running = asides.running[name] = {}
        if len(running) >= handler.concurrent:
            self._wait_for_place(process, message, running)
            return
        caller = message.caller
        caller.hold()
        try:
            coroutine = handler.function(process.body, *message.args, **message.kwargs)
        except TypeError as error:
            # Calling an async def runs none of it, so this is about the arguments.
            caller.fail(bad_call(handler, error))
            return
        activation = activate(process, coroutine, message, self._concurrent_over)
        running[activation] = None
        process.kernel.scheduler.woken += 1
        caller.answerer = activation
        if caller.deadline is not None:
            activation.caller = caller
        caller.needs_place, caller.detached = False, ""

    def place_holders(self, process: Process, what: str) -> Iterable[Activation]:
        """Those that run a concurrent handler."""
        return asides_of(process).running.get(what, ())

    def _wait_for_place(self, process: Process, message: Call, running: dict[Activation, None]) -> None:
        """Queue a message for a handler of which as many run as may; a call that waits for itself is refused."""
        try:
            check_place_cycle(message.caller.asker, running)
        except CallCycle as error:
            message.caller.fail(error)
            return
        waiting = asides_of(process).waiting.setdefault(message.handler.what, deque())
        is_full = len(waiting) >= self.mailbox_limit
        if is_full and not self._make_place(process, waiting):
            self.drop(process, message, mailbox_is_full(process))
            return
        waiting.append(message)
        message.caller.hold()
        message.caller.needs_place = True
        if is_full and self.on_full == "block":
            message.caller.detached = "it waits for room"

    def _make_place(self, process: Process, waiting: deque[Any]) -> bool:
        """Whether one more may wait, though as many do as the mailbox may hold: its policy holds for them, too."""
        if self.on_full == "drop_oldest":
            oldest = waiting.popleft()
            self.drop(process, oldest, mailbox_is_full(process, ": it was dropped for a newer message"))
            return True
        if self.on_full != "block":
            return False
        # Its caller waits here as others do in front of a full mailbox: whoever gives up has asked for nothing. They are
        # looked for now and then only, so that a flood of callers is not looked through for each of them.
        if len(waiting) % self.mailbox_limit == 0:
            there = [
                each for at, each in enumerate(waiting) if at < self.mailbox_limit or each.caller.is_waiting
            ]
            waiting.clear()
            waiting.extend(there)
        return True

    def _concurrent_over(self, activation: Activation, value: object, error: BaseException | None) -> None:
        process, message = activation.process, activation.message
        if process.ending is not None:
            return
        asides, handler = asides_of(process), message.handler
        running = asides.running[handler.what]
        del running[activation]
        self.answer_concurrent(process, message, value, error)
        self._give_places(process, handler.what)

    def resumed(self, process: Process) -> None:
        """Those for whom a place came free while it was suspended begin now."""
        for what in tuple(process.extra.waiting if process.extra is not None else ()):
            self._give_places(process, what)

    def _give_places(self, process: Process, what: str) -> None:
        asides = asides_of(process)
        waiting, running = asides.waiting.get(what), asides.running.get(what, ())
        while waiting and len(running) < waiting[0].handler.concurrent and not process.status & SUSPENDED:
            message = waiting.popleft()
            if has_expired(process, message.caller):
                process.kernel.incidents.expired(process, what, "dropped")
            elif message.caller.is_waiting or not message.caller.detached:
                in_trace(process, trace_of(message), self.start_concurrent, process, message)

    def answer_concurrent(
        self, process: Process, message: Any, value: object, error: BaseException | None
    ) -> None:
        """A concurrent handler has ended."""
        caller, handler = message.caller, message.handler
        if error is None and type(value) is CoroutineType:
            error = forgotten_await(handler.what, value)
        elif error is None and value is None and is_forgotten(caller):
            error = forgotten_return(caller)
        if isinstance(error, Stop):
            process.kernel.scheduler.enqueue(process, StopRequest(error.reason))
        elif error is None:
            if value is not LATER:
                caller.reply(value)
        elif isinstance(error, handler.raises):
            caller.fail(error)
        elif is_over_for_nobody(error, process, caller):
            process.kernel.incidents.expired(process, handler.what, "ended")
            caller.fail(error)
        else:
            failure = HandlerFailed(handler.what, error)
            failure.__cause__ = error
            process.kernel.incidents.failure(process, error, handler.what)
            caller.fail(failure)
