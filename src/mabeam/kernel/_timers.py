"""Messages that are sent later."""

from __future__ import annotations

from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any

from mabeam.kernel._activation import here
from mabeam.kernel._current import find, refuse_left_behind
from mabeam.kernel._pid import Pid
from mabeam.kernel._process import Process
from mabeam.telemetry import current_trace, enter_trace

if TYPE_CHECKING:
    import asyncio

    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._names import Name

__all__ = ("TimerRef", "start_timer")


class TimerRef:
    """A message that will be sent. It belongs to its receiver: when that ends, the timer is gone."""

    __slots__ = ("_due", "_handle", "_is_ours", "_kernel", "_message", "_target")

    def __init__(
        self, kernel: Kernel, target: Process | Pid | Name, message: Any, *, is_ours: bool = False
    ) -> None:
        """Made by ``send_after`` and by processes of ours for themselves."""
        self._kernel = kernel
        self._target = target
        self._message = message
        self._is_ours = is_ours
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self, seconds: float) -> None:
        """Begin to wait."""
        # The handle would know, but not on uvloop: what is due within half a millisecond has no time there.
        self._due = self._kernel.loop.time() + seconds
        self._handle = self._kernel.loop.call_later(seconds, self._fire, context=_context_here())

    def read(self) -> float | None:
        """Seconds until the message is sent; ``None`` when it was sent or cancelled."""
        return None if self._handle is None else max(0.0, self._due - self._kernel.loop.time())

    @property
    def due(self) -> float:
        """When the message is sent, in loop time."""
        return self._due

    def cancel(self) -> float | None:
        """Do not send it. Seconds that were left; ``None`` when it was sent or cancelled before. Threads may do it, too.

        Raises:
            NoSuchProcess: this is a thread of a process that was left behind.
        """
        if get_ident() != self._kernel.scheduler.thread:
            return self._cancel_in_thread()
        left = self.read()
        if self._handle is not None:
            self._handle.cancel()
            self._forget()
        return left

    def _cancel_in_thread(self) -> float | None:
        refuse_left_behind("send")
        left, handle = self.read(), self._handle
        if handle is not None:
            self._handle = (
                None  # it sends nothing any more, even if the loop comes to it before it is dropped
            )
            self._kernel.hand_over(self._drop, handle)
        return left

    def _drop(self, handle: asyncio.TimerHandle) -> None:
        handle.cancel()
        self._forget()

    def _forget(self) -> None:
        self._handle = None
        if isinstance(self._target, Process) and self._target.timers is not None:
            self._target.timers.pop(self, None)

    def _fire(self) -> None:
        if self._handle is None:
            return  # a thread has just cancelled it
        self._forget()
        target = self._target
        process = target if isinstance(target, Process) else find(self._kernel, target)
        if process is not None and process.kernel.loop is not self._kernel.loop:
            if not process.kernel.hand_over(process.kernel.send, process, self._message):
                process.kernel.dead_letters.add(process.describe(), self._message, "dead")
        elif process is not None and self._is_ours:
            process.kernel.enqueue_or_return(process, self._message)
        elif process is not None:
            process.kernel.send(process, self._message)
        else:
            why = "dead" if isinstance(target, Pid) else "no_name"  # a pid without a process was pickled
            self._kernel.dead_letters.add(repr(target), self._message, why)

    def __repr__(self) -> str:
        """Show what is left."""
        left = self.read()
        return "<timer, over>" if left is None else f"<timer, {left:.3g} s left>"


def _context_here() -> Context:
    """A context that says who sends, and in which trace. What else the sender has in its own must not live as long as the timer."""
    context = Context()
    owner, trace = here.get(None), current_trace()
    if owner is not None:
        context.run(here.set, owner.process)
    if trace is not None:
        context.run(enter_trace, trace)
    return context


def start_timer(
    kernel: Kernel, target: Process | Pid | Name, seconds: float, message: Any, *, is_ours: bool = False
) -> TimerRef:
    """Send ``message`` to ``target`` in ``seconds``; a name is looked up when the time has come.

    Args:
        kernel: that of the Runtime whose loop waits.
        target: the receiver.
        seconds: how long.
        message: what is sent.
        is_ours: a process of ours reminds itself: it comes however full the mailbox is.
    """
    timer = TimerRef(kernel, target, message, is_ours=is_ours)
    timer.start(seconds)
    if isinstance(target, Process) and target.is_alive and target.kernel is kernel:
        if target.timers is None:
            target.timers = {}
        target.timers[timer] = None
    return timer
