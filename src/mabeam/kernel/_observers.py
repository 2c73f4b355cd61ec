"""Watching one process at work: ``trace`` and ``statistics``.

A process that is watched has a behaviour of its own that reports what it takes and how that ends. All others pay nothing.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, final

from mabeam._base import Log
from mabeam.errors import UsageError
from mabeam.kernel._current import current_kernel, find_here, find_or_raise, is_on_loop
from mabeam.kernel._process import DEAD
from mabeam.kernel._system import SystemRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._behaviour import Behaviour, Observer
    from mabeam.kernel._current import Target
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process

__all__ = ("ProcessStatistics", "Trace", "TraceEvent", "observe", "statistics", "stop_observing", "trace")

logger = Log("mabeam.trace")


def observe(process: Process, observer: Observer) -> None:
    """Tell ``observer`` from now on what the process does."""
    behaviour = process.behaviour
    changed = behaviour.with_observers((*behaviour.observers, observer))
    process.kernel.scheduler.change_behaviour(process, changed)


def stop_observing(process: Process, observer: Observer) -> None:
    """Tell it nothing more."""
    rest = tuple(each for each in process.behaviour.observers if each is not observer)
    process.kernel.scheduler.change_behaviour(process, process.behaviour.with_observers(rest))


# ------------------------------------------------------------------------------------------------- trace


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEvent:
    """One thing that a traced process did.

    Attributes:
        pid: the process.
        at: when, in loop time.
        kind: ``took`` a message; ``returned`` or ``raised``, of the handler of a message.
        message: the message.
        value: what the handler returned, or the exception that it raised.
    """

    pid: Pid
    at: float
    kind: Literal["took", "returned", "raised"]
    message: object
    value: object = None

    def __str__(self) -> str:
        """In a line."""
        outcome = "" if self.kind == "took" else f" -> {self.value!r}"
        return f"{self.at:.6f} {self.pid!r} {self.kind} {self.message!r}{outcome}"


@final
class Trace:
    """A trace that goes on until it is stopped, or its process ends. Also a ``with`` block."""

    def __init__(self, process: Process, handler: Callable[[TraceEvent], object]) -> None:
        """Made by :func:`trace` only."""
        self._process = process
        self._handler = handler
        self._is_on = True

    def stop(self) -> None:
        """Trace no longer.

        Raises:
            UsageError: this is called in a thread.
        """
        if not is_on_loop(self._process.kernel) and not self._process.status & DEAD:
            msg = "the stop of a trace was called in a thread; use portal.run(trace.stop) there"
            raise UsageError(msg)
        self._is_on = False
        stop_observing(self._process, self)

    def took(self, process: Process, message: Any) -> None:
        """A message has been taken."""
        self._tell(process, "took", message, None)

    def finished(self, process: Process, message: Any, value: object, error: BaseException | None) -> None:
        """A handler has ended."""
        if error is None:
            self._tell(process, "returned", message, value)
        else:
            self._tell(process, "raised", message, error)

    def put_off(self, process: Process, message: Any, error: BaseException) -> None:
        """A handler has raised ``Postpone``."""
        self._tell(process, "raised", message, error)

    def _tell(
        self, process: Process, kind: Literal["took", "returned", "raised"], message: Any, value: object
    ) -> None:
        if not self._is_on:
            return  # stopped in the middle of a message
        at = process.kernel.loop.time()
        event = TraceEvent(pid=process.pid, at=at, kind=kind, message=message, value=value)
        try:
            self._handler(event)
        except Exception:
            # As in OTP: what fails while it watches is taken away, and the process goes on.
            self.stop()
            logger.exception("the handler of a trace of %s raised; that trace has ended", process.describe())

    def __enter__(self) -> Self:
        """It has begun already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


def trace(target: Target, handler: Callable[[TraceEvent], object] | None = None, /) -> Trace:
    """Have ``handler`` called with everything that a process takes and how that ends, as it happens.

    Guarantees:
        One that raises is logged and its trace ends; the process goes on. A traced server is called through its mailbox
        only. A process that is not traced pays nothing.

    Args:
        target: the process.
        handler: takes each :class:`TraceEvent`; without one they are logged as ``mabeam.trace`` at level INFO.

    Raises:
        NoSuchProcess: there is no such process.
        UsageError: ``handler`` is no plain function; or this is called in a thread.
    """
    if handler is not None and (not callable(handler) or inspect.iscoroutinefunction(handler)):
        msg = (
            f"trace expects a plain function that takes each TraceEvent, which it calls at once, got {handler!r}. To wait, send "
            "the events to a process that does."
        )
        raise UsageError(msg)
    process = find_here(target, "trace")
    begun = Trace(process, handler if handler is not None else _log)
    observe(process, begun)
    return begun


def _log(event: TraceEvent) -> None:
    logger.info("%s", event)


# ------------------------------------------------------------------------------------------------- statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatistics:
    """What a process has done since its statistics were turned on.

    Attributes:
        since: when that was, in loop time.
        messages_in: messages taken, and events of a state machine's own.
        finished: handlers that have returned, those that enter a state included.
        failed: handlers that have raised.
        postponed: handlers that have postponed what they were given; it is taken again.
        busy: seconds between taking messages and the end of their handlers, waiting included.
        longest: the longest of these, in seconds.
    """

    since: float
    messages_in: int = 0
    finished: int = 0
    failed: int = 0
    postponed: int = 0
    busy: float = 0.0
    longest: float = 0.0


_MOST_AT_ONCE: Final = 10_000
"""Messages whose beginning is remembered."""


class _Counter:
    """Counts for one process."""

    def __init__(self, process: Process) -> None:
        self.seen = ProcessStatistics(since=process.kernel.loop.time())
        self._taken: dict[int, float] = {}
        self._latest = self.seen.since
        """When the last thing was that is known: what a machine gives itself to do begins then."""

    def took(self, process: Process, message: Any) -> None:
        self._latest = process.kernel.loop.time()
        if not isinstance(message, SystemRequest):
            self._taken[id(message)] = self._latest
        if len(self._taken) > _MOST_AT_ONCE:  # messages that no handler ends, requests to stop say
            self._taken.pop(next(iter(self._taken)))
        self.seen = replace(self.seen, messages_in=self.seen.messages_in + 1)

    def finished(self, process: Process, message: Any, value: object, error: BaseException | None) -> None:
        self._over(process, message)
        if error is None:
            self.seen = replace(self.seen, finished=self.seen.finished + 1)
        else:
            self.seen = replace(self.seen, failed=self.seen.failed + 1)

    def put_off(self, process: Process, message: Any, _error: BaseException) -> None:
        self._over(process, message)
        self.seen = replace(self.seen, postponed=self.seen.postponed + 1)

    def _over(self, process: Process, message: Any) -> None:
        now = process.kernel.loop.time()
        seconds, self._latest = now - self._taken.pop(id(message), self._latest), now
        longest = max(self.seen.longest, seconds)
        self.seen = replace(self.seen, busy=self.seen.busy + seconds, longest=longest)


def statistics(target: Target, turn: bool | None = None, /) -> ProcessStatistics | None:  # noqa: FBT001  (as OTP's sys)
    """Count what a process does: turn it on, read it, turn it off.

    Args:
        target: the process.
        turn: ``True`` begins to count, anew if it is on; ``False`` ends it; without it they are just read.

    Returns:
        What has been counted; ``None`` when counting is off.

    Raises:
        NoSuchProcess: there is no such process.
        UsageError: ``turn`` is something else; it is turned on or off in a thread, where it can only be read; what is given leads to
            no process; or this code runs in no Runtime.
    """
    if turn is not None and not isinstance(turn, bool):
        raise UsageError(
            f"statistics expects True to count, False to end that, or nothing to read, got {turn!r}"
        )
    process = (
        find_or_raise(current_kernel(), target, "statistics")
        if turn is None
        else find_here(target, "statistics")
    )
    counter = _counter_of(process.behaviour)
    if turn is None:
        return counter.seen if counter is not None else None
    if counter is not None:
        stop_observing(process, counter)
    if turn:
        counter_now = _Counter(process)
        observe(process, counter_now)
        return counter_now.seen
    return counter.seen if counter is not None else None


def _counter_of(behaviour: Behaviour) -> _Counter | None:
    return next((each for each in behaviour.observers if isinstance(each, _Counter)), None)
