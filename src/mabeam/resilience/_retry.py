"""Retry: runs a function again when it fails, after a while, and not for ever."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from reprlib import repr as _repr
from types import CoroutineType
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from mabeam._base import Backoff, Random, monotonic, pause_thread, system_random
from mabeam.errors import RejectedError
from mabeam.resilience._checks import function_of, made_with, problems_of_random, surroundings
from mabeam.resilience._on import On, OnResult, on_of, problems_of_on
from mabeam.resilience._policy import PolicyBase, refuse_coroutine, refuse_uncallable, settle
from mabeam.resilience._retry_after import retry_after_of
from mabeam.resilience._retry_state import Jitter, RetryRules, RetryState
from mabeam.resilience._waiting import wait
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("Retry", "RetryStatistics")

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStatistics:
    """What a :class:`Retry` has come to.

    Attributes:
        calls: calls that began.
        retries: attempts after the first of a call.
        gave_up: calls whose last attempt failed as well.
    """

    calls: int
    retries: int
    gave_up: int


class _Reason:
    """What was wrong with an attempt that ran: an exception, or a returned value."""

    __slots__ = ("error", "value")

    def __init__(self, *, error: Exception | None = None, value: object = None) -> None:
        self.error = error
        self.value = value


def _told(refusal: RejectedError, reason: _Reason) -> RejectedError:
    """A value cannot be the cause of an exception: it is told in a note."""
    if reason.error is None:
        refusal.add_note(
            f"The last attempt that ran returned {_repr(reason.value)}, which counts as a failure."
        )
    return refusal


@final
class Retry(PolicyBase):
    """Runs a function again when it fails.

    Guarantees:
        The function runs at least once, in the caller, one attempt after the other. What comes out is what the last attempt
        came to: its value, or its exception itself. If that was only a refusal (:class:`RejectedError`) and an earlier
        attempt had failed for a real reason, the refusal is raised from that, or has a note of the value that was it. A cancellation ends attempt or wait at once
        and is never retried. The function must bear being run twice.

    Args:
        attempts: how often it runs at most, the first time included; 1 is no retry. ``None`` for no such limit.
        total_seconds: counted from the start of the call; no attempt begins later, and nobody waits for one that would. It
            does not interrupt an attempt: that is a :class:`TimeLimit`. ``None`` for no such limit.
        backoff: how long it waits: 0.1 s before the second attempt, then twice as long each time, at most 10 s.
        jitter: how these waits are spread: ``full`` from 0 to all of it, ``equal`` from half to all of it, or ``none``.
        on: which exceptions are failures to be tried again: types, or a function that says so. All but
            :class:`UsageError` and :class:`DeadlineExceeded` unless given. Others are passed on at once.
        on_result: which returned values are; a function that says so. None unless given.
        retry_after: gives the seconds that a failure (exception or value) asks for, or ``None``; the wait is at least so long.
            Unless given, ``retry_after`` of errors and the ``Retry-After`` of HTTP responses.
        retry_after_limit: a failure that asks for more seconds than this is the last.
        name: how it is called in events.
        random: draws the jitter.
        clock: gives seconds; the real or the loop's virtual time unless given.
        sleep: waits in synchronous code. There it stops the thread: call plain functions outside of the event loop.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        import asyncio
        from mabeam import Backoff, Retry

        answers = iter([ConnectionError("no route"), "hello"])

        @Retry(attempts=3, backoff=Backoff(first=0.001), on=ConnectionError)
        async def ask() -> str:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert asyncio.run(ask()) == "hello"
    """

    __slots__ = (
        "_bus", "_calls", "_clock", "_gave_up", "_is_failure", "_lock", "_on_result", "_random", "_retries", "_retry_after", "_sleep",
        "rules",
    )  # fmt: skip

    def __init__(
        self,
        *,
        attempts: int | None = 3,
        total_seconds: float | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 - it cannot change
        jitter: Jitter = "full",
        on: On | None = None,
        on_result: OnResult | None = None,
        retry_after: Callable[[object], float | None] = retry_after_of,
        retry_after_limit: float = 60.0,
        name: str = "retry",
        random: Random | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], None] = pause_thread,
        bus: Bus | None = None,
    ) -> None:
        super().__init__(name)
        self.rules = made_with(
            "a retry",
            lambda: RetryRules(
                attempts=attempts,
                total_seconds=total_seconds,
                backoff=backoff,
                jitter=jitter,
                retry_after_limit=retry_after_limit,
            ),
            (
                *problems_of_on("on", on, on_result),
                *function_of("retry_after", retry_after, optional=False),
                *problems_of_random(random),
                *function_of("sleep", sleep, optional=False),
                *function_of("clock", clock, optional=False),
                *surroundings(name, bus),
            ),
        )
        self._is_failure = on_of(on)
        self._on_result = on_result
        self._retry_after = retry_after
        self._random = system_random() if random is None else random
        self._clock = clock
        self._sleep = sleep
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.Lock()
        self._calls = self._retries = self._gave_up = 0

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function until it works or the rules say stop.

        Guarantees:
            As of the class. Waits by timers of the running loop.

        Args:
            function: called with the rest, once for each attempt.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the last attempt returned.

        Raises:
            BaseException: what the last attempt raised.
        """
        state = self._begin()
        reason: _Reason | None = None
        while True:
            delay: float | None
            try:
                result = await settle(function(*args, **kwargs))
            except Exception as error:
                refuse_uncallable(self, function)
                delay = self._after_error(state, error)
                if delay is None:
                    if isinstance(error, RejectedError) and reason is not None:
                        raise _told(error, reason) from (error.__cause__ or reason.error)
                    raise
                if not isinstance(
                    error, RejectedError
                ):  # which says that it was not run, and nothing about it
                    reason = _Reason(error=error)
            else:
                delay = self._after_result(state, result)
                if delay is None:
                    return result
                reason = _Reason(value=result)
            await wait(delay)

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function until it works or the rules say stop.

        Guarantees:
            As of the class. Waits by stopping this thread.

        Args:
            function: called with the rest, once for each attempt.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the last attempt returned.

        Raises:
            UsageError: the function returned a coroutine; it was closed before it began.
            BaseException: what the last attempt raised.
        """
        state = self._begin()
        reason: _Reason | None = None
        while True:
            delay: float | None
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                refuse_uncallable(self, function)
                delay = self._after_error(state, error)
                if delay is None:
                    if isinstance(error, RejectedError) and reason is not None:
                        raise _told(error, reason) from (error.__cause__ or reason.error)
                    raise
                if not isinstance(
                    error, RejectedError
                ):  # which says that it was not run, and nothing about it
                    reason = _Reason(error=error)
            else:
                if type(result) is CoroutineType:
                    refuse_coroutine(self, function, result)
                delay = self._after_result(state, result)
                if delay is None:
                    return result
                reason = _Reason(value=result)
            self._sleep(delay)

    def statistics(self) -> RetryStatistics:
        """Return counts, as of now."""
        with self._lock:
            return RetryStatistics(calls=self._calls, retries=self._retries, gave_up=self._gave_up)

    def describe(self) -> str:
        """Return one line: limits and waits."""
        rules = self.rules
        return (
            f"Retry({self._name!r}, attempts={rules.attempts}, total_seconds={rules.total_seconds}, "
            f"backoff={rules.backoff.first:g} s x {rules.backoff.factor:g} up to {rules.backoff.limit:g} s, jitter={rules.jitter!r})"
        )

    def _begin(self) -> RetryState:
        with self._lock:
            self._calls += 1
        return RetryState(self.rules, self._clock() if self.rules.total_seconds is not None else 0.0)

    def _after_error(self, state: RetryState, error: Exception) -> float | None:
        return self._next(state, error) if self._is_failure(error) else None

    def _after_result(self, state: RetryState, result: object) -> float | None:
        return None if self._on_result is None or not self._on_result(result) else self._next(state, result)

    def _next(self, state: RetryState, failure: object) -> float | None:
        now = self._clock() if self.rules.total_seconds is not None else 0.0
        delay = state.failed(now, self._random.random(), self._retry_after(failure))
        with self._lock:
            if delay is None:
                self._gave_up += 1
            else:
                self._retries += 1
        bus = self._bus
        if bus is not None and bus.listening:
            reason = type(failure).__name__
            if delay is None:
                metadata = {"retry": self._name, "reason": reason, "why": state.gave_up}
                bus.emit("retry.gave_up", {"attempts": state.attempts}, metadata)
            else:
                measurements = {"attempt": state.attempts, "delay": delay}
                bus.emit("retry.waiting", measurements, {"retry": self._name, "reason": reason})
        return delay
