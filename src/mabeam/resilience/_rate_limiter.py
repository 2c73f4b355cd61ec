"""The rate limiter: the lock, the clock, the waiting and the telemetry around :class:`GcraState`."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import TYPE_CHECKING, final

from mabeam._base import clock_here, nanoseconds_of, pause_thread
from mabeam.errors import RejectedError, UsageError
from mabeam.resilience._rate_limiter_options import (
    RateLimiterStatistics,
    RateLimitStatus,
    check_cost,
    check_limits,
    check_timeout,
)
from mabeam.resilience._rate_limiter_state import GcraState, Lines
from mabeam.resilience._rate_limits import RateLimit
from mabeam.resilience._waking import TaskWaker, ThreadWaker
from mabeam.telemetry import current_bus

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from mabeam.resilience._rate_limiter_options import OnLimit
    from mabeam.resilience._waking import Waker
    from mabeam.telemetry import Bus

__all__ = ("RateLimiter",)

_SHORTEST_WAIT = 0.001  # uvloop's timers count in milliseconds, and fire up to one too early
_CERTAIN = 0.05  # seconds of a timer that no loop is wrong about by half


@final
class RateLimiter(RateLimit):
    """Admits at most so many in a time, altogether or for each key, by the generic cell rate algorithm (GCRA).

    Guarantees:
        In any ``t`` seconds of its clock at most ``burst + limit * t / period`` are admitted for a key, exactly, however many
        tasks, event loops and threads ask at once, and wherever the ``t`` seconds begin: a second burst has to wait until the
        first has been earned again. What is rejected takes up nothing. Those who wait for a key are admitted in the order they
        came, and nobody overtakes them; one who is cancelled takes up nothing either. A key that is new while ``max_keys`` are
        busy is rejected: no busy key is ever forgotten. A method that need not wait does not, and is then no point of
        cancellation. All methods may be called from any thread.

    A limiter is a decorator, a context manager and a caller of functions, for async and for plain code, as its
    :meth:`for_key` is for a key; what these do at the limit is ``on_limit``. Synchronous code never waits in a thread whose
    event loop runs: it is rejected there.

    Args:
        limit: admissions in a period.
        period: seconds.
        burst: admissions at once, after a rest; as many as ``limit`` unless given. 1 spaces them evenly.
        max_wait: seconds that anybody may have to wait; who would have to wait longer is rejected at once, which also limits
            how many wait. ``math.inf`` for no limit.
        on_limit: ``wait`` or ``reject``, for decorated functions and blocks.
        max_keys: most keys that are busy at the same time.
        name: what it is called in telemetry and messages.
        clock: seconds that never go back; unless given the monotonic clock, or the virtual loop's time when made in one.
        bus: where its events go; unless given the bus of the Runtime in which it is made, if any.

    Raises:
        UsageError: an option is wrong; all that are wrong are named.

    Example:
        >>> limiter = RateLimiter(limit=2, period=60.0)
        >>> [limiter.try_acquire("ann") for _ in range(3)], limiter.try_acquire("bob")
        ([True, True, False], True)
    """

    __slots__ = (
        "_admit_one",
        "_admitted",
        "_bus",
        "_cancelled",
        "_clock",
        "_delayed",
        "_lines",
        "_lock",
        "_nanoseconds",
        "_rejected",
        "_state",
        "_waiting",
        "burst",
        "limit",
        "max_wait",
        "on_limit",
        "period",
    )

    def __init__(
        self,
        *,
        limit: int,
        period: float = 1.0,
        burst: int | None = None,
        max_wait: float = 60.0,
        on_limit: OnLimit = "wait",
        max_keys: int = 100_000,
        name: str = "rate limiter",
        clock: Callable[[], float] | None = None,
        bus: Bus | None = None,
    ) -> None:
        check_limits(
            limit=limit,
            period=period,
            burst=burst,
            max_wait=max_wait,
            on_limit=on_limit,
            max_keys=max_keys,
            name=name,
            clock=clock,
            bus=bus,
        )
        super().__init__(self, None, name)
        self.limit = limit
        self.period = float(period)
        self.burst = limit if burst is None else burst
        self.max_wait = float(max_wait)
        self.on_limit = on_limit
        self._clock = clock_here() if clock is None else clock
        self._nanoseconds = nanoseconds_of(self._clock)
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.RLock()
        self._state = GcraState(limit=limit, period=period, burst=self.burst, max_keys=max_keys)
        self._admit_one = self._state.admit_one
        self._lines: Lines[_Waiter] = Lines()
        self._waiting = self._lines.waiting
        self._admitted = self._delayed = self._rejected = self._cancelled = 0

    def for_key(self, key: Hashable) -> RateLimit:
        """Return the limit of one key: the same methods, decorator and context manager, for that key.

        Args:
            key: which; compared as keys of a dict are. ``None`` is the key that is meant when there is none.

        Returns:
            A handle. It holds nothing, and any number of them may stand for the same key.
        """
        return RateLimit(self, key, self.name)

    def try_acquire(self, key: Hashable = None, *, cost: int = 1) -> bool:
        """Be admitted now or not at all.

        Args:
            key: whose limit.
            cost: what it counts for, at most the burst.

        Returns:
            Whether it was admitted.

        Raises:
            UsageError: the cost is no whole number from 1 to the burst.
        """
        if cost == 1:
            # What _ask does, for the usual case.
            with self._lock:
                if admitted := not self._waiting and self._admit_one(key, self._nanoseconds()):
                    self._admitted += 1
                    if self._bus is None:
                        return True
            if admitted:
                self._emit("rate_limiter.admitted", {"count": 1})
                return True
        return self._ask(key, cost) == 0.0

    def acquire_nowait(self, key: Hashable = None, *, cost: int = 1) -> None:
        """Be admitted now, or be told when.

        Args:
            key: whose limit.
            cost: what it counts for, at most the burst.

        Raises:
            RejectedError: it was not admitted; ``retry_after`` is after how many seconds it would be, if nobody else came.
            UsageError: the cost is no whole number from 1 to the burst.
        """
        wait = self._ask(key, cost)
        if wait > 0.0:
            raise self._rejection(key, wait)

    async def acquire(self, key: Hashable = None, *, cost: int = 1, timeout: float | None = None) -> float:
        """Be admitted, after a wait if need be.

        Guarantees:
            First come, first served, among all who wait for the key. Cancelled while it waits, it has taken up nothing, and
            the next in line moves up.

        Args:
            key: whose limit.
            cost: what it counts for, at most the burst.
            timeout: seconds that this one may have to wait, if that is less than ``max_wait``.

        Returns:
            The seconds waited; 0 when it was admitted at once.

        Raises:
            RejectedError: it would have to wait longer; this is said before any waiting, except where a wait has turned out
                longer than it was to be because a loop or thread stood still.
            UsageError: ``cost`` or ``timeout`` is wrong; or it waited on a loop whose time is another than the limiter's.
        """
        if timeout is None and cost == 1:
            # What stands below, for the usual case.
            with self._lock:
                if admitted := not self._waiting and self._admit_one(key, self._nanoseconds()):
                    self._admitted += 1
                    if self._bus is None:
                        return 0.0
            if admitted:
                self._emit("rate_limiter.admitted", {"count": 1})
                return 0.0
        waiter = self._stand_in_line(key, cost, timeout, TaskWaker)
        if waiter is None:
            return 0.0
        try:
            if not waiter.is_first:
                assert isinstance(waiter.waker, TaskWaker)
                await waiter.waker.future
            while (wait := self._first_in_line(waiter)) > 0.0:
                await _pause_task(wait, self._clock)
        except BaseException as error:
            self._give_up(waiter, cancelled=not isinstance(error, RejectedError | UsageError))
            raise
        return self._step_out(waiter)

    def acquire_sync(self, key: Hashable = None, *, cost: int = 1, timeout: float | None = None) -> float:
        """Do the same in synchronous code; the thread stands still while it waits.

        Guarantees:
            As :meth:`acquire`, with whose callers it stands in one line. Never waits in a thread whose event loop runs.

        Args:
            key: whose limit.
            cost: what it counts for, at most the burst.
            timeout: seconds that this one may have to wait, if that is less than ``max_wait``.

        Returns:
            The seconds waited.

        Raises:
            RejectedError: as for :meth:`acquire`; also when it would have to wait at all and would block an event loop.
            UsageError: ``cost`` or ``timeout`` is wrong.
        """
        waiter = self._stand_in_line(key, cost, 0.0 if _is_in_loop() else timeout, ThreadWaker)
        if waiter is None:
            return 0.0
        try:
            if not waiter.is_first:
                assert isinstance(waiter.waker, ThreadWaker)
                waiter.waker.event.wait()
            while (wait := self._first_in_line(waiter)) > 0.0:
                pause_thread(wait)
        except BaseException as error:
            self._give_up(waiter, cancelled=not isinstance(error, RejectedError))
            raise
        return self._step_out(waiter)

    def status(self, key: Hashable = None) -> RateLimitStatus:
        """Return how a key stands, without asking for anything.

        Args:
            key: which.

        Returns:
            The status. A look, not a promise.
        """
        with self._lock:
            now = self._state.ticks(self._clock())
            ahead = self._lines.cost(key)
            line = self._lines.waiting.get(key)
            return RateLimitStatus(
                remaining=0 if ahead else self._state.remaining(key, now),
                retry_after=self._state.seconds(self._state.wait_for(key, now, ahead + 1)),
                reset_after=self._state.seconds(self._state.busy(key, now)),
                waiting=0 if line is None else len(line),
            )

    def reset(self, key: Hashable = None) -> bool:
        """Forget what a key has used: it has its whole burst again. Those who wait for it go on waiting as they were to.

        Args:
            key: which.

        Returns:
            Whether anything was known of it.
        """
        with self._lock:
            return self._state.forget(key)

    def statistics(self) -> RateLimiterStatistics:
        """Return counts, as of now."""
        with self._lock:
            return RateLimiterStatistics(
                keys=len(self._state.ends),
                waiting=self._lines.count(),
                admitted=self._admitted,
                delayed=self._delayed,
                rejected=self._rejected,
                cancelled=self._cancelled,
            )

    def __repr__(self) -> str:
        got = self.statistics()
        return (
            f"<RateLimiter {self.name!r} {self.limit} per {self.period:g} s, burst {self.burst}: {got.keys} keys, "
            f"{got.waiting} waiting>"
        )

    def _ask(self, key: Hashable, cost: int) -> float:
        """Be admitted (0) or learn the seconds until it could be."""
        if cost != 1:
            check_cost(cost, self.burst)
        state = self._state
        with self._lock:
            now = state.ticks(self._clock())
            ahead = self._ahead(key) if self._lines.waiting else 0
            # Nobody overtakes those who wait.
            ticks = (
                state.admit(key, now, cost) if not ahead else max(1, state.wait_for(key, now, ahead + cost))
            )
            if ticks == 0:
                self._admitted += 1
            else:
                self._rejected += 1
            known = ticks == 0 or key in state.ends
        wait = state.seconds(ticks)
        if self._bus is not None and self._bus.listening:
            if ticks == 0:
                self._emit("rate_limiter.admitted", {"count": 1})
            else:
                self._tell_rejected(wait, known=known)
        return wait

    def _ahead(self, key: Hashable) -> int:
        """What those who wait for a key cost together. Under the lock.

        A first one whose loop was closed under him will never come, and nobody would ever be told: he is passed over here.
        """
        line = self._lines.waiting.get(key)
        first = None if line is None else next(iter(line))
        while first is not None and first.waker.is_gone():
            first = self._lines.leave(key, first)
            if first is not None:
                first.waker.wake()
        return self._lines.cost(key)

    def _stand_in_line(
        self, key: Hashable, cost: int, timeout: float | None, waker: Callable[[], Waker]
    ) -> _Waiter | None:
        """Be admitted at once (``None``), or stand in line.

        Raises:
            RejectedError: that would take too long.
        """
        check_cost(cost, self.burst)
        check_timeout(timeout)
        longest = self.max_wait if timeout is None else min(timeout, self.max_wait)
        state = self._state
        waiter: _Waiter | None = None
        with self._lock:
            began = self._clock()
            now = state.ticks(began)
            ahead = self._ahead(key)
            ticks = 0 if ahead else state.admit(key, now, cost)
            known = ticks == 0 or key in state.ends
            if ahead:
                known, ticks = True, max(1, state.wait_for(key, now, ahead + cost))
            wait = state.seconds(ticks)
            if ticks == 0:
                self._admitted += 1
            elif wait > longest or not known:
                # A key that is one too many cannot wait for room: nobody knows which of those that are there will rest.
                self._rejected += 1
            else:
                self._delayed += 1
                waiter = _Waiter(key, cost, waker(), began, began + longest)
                waiter.is_first = self._lines.join(key, waiter, cost)
        if waiter is not None:
            self._emit("rate_limiter.delayed", {"delay": wait})
        elif ticks == 0:
            self._emit("rate_limiter.admitted", {"count": 1})
        else:
            self._tell_rejected(wait, known=known)
            raise self._rejection(key, wait)
        return waiter

    def _first_in_line(self, waiter: _Waiter) -> float:
        """Be admitted (0) as the first in line, or learn how many seconds to wait now.

        Raises:
            RejectedError: that is longer than this one may wait.
        """
        with self._lock:
            now = self._clock()
            ticks = self._state.admit(waiter.key, self._state.ticks(now), waiter.cost)
            if ticks == 0:
                self._admitted += 1
                waiter.waited = now - waiter.began
                return 0.0
            wait = self._state.seconds(ticks)
            # A wait that was just short enough may have become longer by what a timer is late; only more than that counts.
            late = now + wait > waiter.deadline + _CERTAIN
            known = waiter.key in self._state.ends
            if late:
                self._rejected += 1
        if late:
            self._tell_rejected(wait, known=known)
            raise self._rejection(waiter.key, wait)
        return wait

    def _step_out(self, waiter: _Waiter) -> float:
        with self._lock:
            following = self._lines.leave(waiter.key, waiter)
        self._tell_first(following)
        return waiter.waited

    def _give_up(self, waiter: _Waiter, *, cancelled: bool) -> None:
        with self._lock:
            following = self._lines.leave(waiter.key, waiter)
            if cancelled:
                self._cancelled += 1
        self._tell_first(following)
        if cancelled:
            self._emit("rate_limiter.cancelled", {"count": 1})

    def _tell_first(self, waiter: _Waiter | None) -> None:
        # One whose loop was closed under him will never come: the next is the first.
        while waiter is not None and not waiter.waker.wake():
            with self._lock:
                waiter = self._lines.leave(waiter.key, waiter)

    def _rejection(self, key: Hashable, wait: float) -> RejectedError:
        whose = "" if key is None else f" for {key!r}"
        return RejectedError(
            f"{self.name} admits {self.limit} in {self.period:g} s (at once at most {self.burst}){whose}, and more have come. "
            f"Nothing was run. Come back after {wait:.3g} s; to wait instead, await acquire() with a timeout of at least that.",
            retry_after=wait,
        )

    def _emit(self, event: str, measurements: dict[str, float]) -> None:
        if self._bus is not None and self._bus.listening:
            self._bus.emit(event, measurements, {"limiter": self.name})

    def _tell_rejected(self, wait: float, *, known: bool) -> None:
        if self._bus is not None and self._bus.listening:
            metadata = {"limiter": self.name, "why": "limit" if known else "keys"}
            self._bus.emit("rate_limiter.rejected", {"retry_after": wait}, metadata)


class _Waiter:
    """One in line."""

    __slots__ = ("began", "cost", "deadline", "is_first", "key", "waited", "waker")

    def __init__(self, key: Hashable, cost: int, waker: Waker, began: float, deadline: float) -> None:
        self.key = key
        self.cost = cost
        self.waker = waker
        self.began = began
        self.deadline = deadline
        self.is_first = False
        self.waited = math.nan


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _pause_task(seconds: float, clock: Callable[[], float]) -> None:
    """Wait on the running loop; an error where that tells another time than the clock, for such a wait would never end."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    before = clock()
    timer = loop.call_later(max(seconds, _SHORTEST_WAIT), _settle, over)
    try:
        await over
    finally:
        timer.cancel()
    passed = clock() - before
    if seconds > _CERTAIN and passed < seconds / 2:
        raise UsageError(
            f"a rate limiter waited {seconds:g} s on the running loop, and by its own clock {passed:g} s have passed. It tells time "
            "by another clock than the loop, a virtual one perhaps. Make it while that loop runs, or with clock=loop.time."
        )


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
