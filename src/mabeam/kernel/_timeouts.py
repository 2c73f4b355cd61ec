"""When the patience of those who wait for an answer runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import CallTimeout

if TYPE_CHECKING:
    import asyncio

    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._process import Process

__all__ = ("Timeouts",)

MAX_QUEUES: Final = 16
"""Lengths of waits that share a timer each. Programs use two or three; a wait of any further length has its own."""


class Timeouts:
    """The waits of one Runtime that have a limit.

    Waits of one length run out in the order in which they began, so that a queue for each length, and a timer for the
    first in it, are enough. Nearly every answer comes in time, and a timer of its own would cost a call more than the rest
    of its wait.
    """

    __slots__ = ("_kernel", "queues")

    def __init__(self, kernel: Kernel) -> None:
        """Nobody waits."""
        self._kernel = kernel
        self.queues: dict[float, TimeoutQueue] = {}

    def of(self, seconds: float) -> TimeoutQueue:
        """Where to queue for so long."""
        queue = self.queues.get(seconds)
        if queue is not None:
            return queue
        loop = self._kernel.loop
        # A simulation chooses among timers that are due together, so there each wait has its own.
        if len(self.queues) >= MAX_QUEUES or self._kernel.scheduler.chooser is not None:
            return TimeoutQueue(loop, seconds, {})
        # Where time is virtual a timer is something to wait for, so no timer may stay that nobody needs.
        lingers = getattr(loop, "virtual_stopwatch", None) is None
        queue = self.queues[seconds] = TimeoutQueue(loop, seconds, self.queues, lingers=lingers)
        return queue

    def close(self) -> None:
        """Leave no timer behind."""
        for queue in tuple(self.queues.values()):
            queue.close()


class TimeoutQueue:
    """Waits of one length, the first to run out in front."""

    __slots__ = ("_lingers", "_loop", "_queues", "_seconds", "_timer", "_waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        queues: dict[float, TimeoutQueue],
        *,
        lingers: bool = False,
    ) -> None:
        """Empty; it leaves ``queues`` together with its timer. One that ``lingers`` keeps that for the next to come."""
        self._loop = loop
        self._seconds = seconds
        self._queues = queues
        self._lingers = lingers
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[asyncio.Future[Any], tuple[float, Process, str]] = {}

    def add(self, future: asyncio.Future[Any], process: Process, what: str, now: float) -> None:
        """Fail ``future`` with ``CallTimeout`` when it is time, counted from ``now``, unless it is removed before."""
        until = now + self._seconds
        self._waiting[future] = (until, process, what)
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)

    def remove(self, future: asyncio.Future[Any]) -> None:
        """It waits no longer."""
        self._waiting.pop(future, None)
        if not self._lingers and not self._waiting:
            self.close()

    def close(self) -> None:
        """Nobody comes any more, or nobody is there."""
        if self._queues.get(self._seconds) is self:  # and not one that has begun since this one ended
            del self._queues[self._seconds]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Fail those whose time is up, and come back for the next."""
        now = self._loop.time()
        late: list[asyncio.Future[Any]] = []
        self._timer = None
        for future, (until, _, _) in self._waiting.items():
            if until > now:
                self._timer = self._loop.call_at(until, self._look)
                break
            late.append(future)
        try:
            for future in late:
                _, process, what = self._waiting.pop(future)
                if not future.done():
                    future.set_exception(CallTimeout(process.describe(), what, self._seconds))
                    process.kernel.incidents.call_timeout(process, what, self._seconds)
        finally:
            if self._timer is None and self._waiting:
                # Somebody who hears of timeouts has stopped the loop in the middle. The others' time is up all the same.
                self._timer = self._loop.call_at(now, self._look)
            elif self._timer is None:
                self.close()
