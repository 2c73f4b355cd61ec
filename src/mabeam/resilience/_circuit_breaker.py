"""The circuit breaker as users see it. ``_circuit_state`` decides, ``_circuit_core`` has clock, lock and events."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, final

from mabeam._base import Backoff, monotonic
from mabeam.resilience._checks import function_of, made_with, surroundings
from mabeam.resilience._circuit_core import CircuitCore
from mabeam.resilience._circuit_rules import CircuitRules
from mabeam.resilience._circuit_state import IGNORED, SUCCEEDED, Phase
from mabeam.resilience._circuit_statistics import CircuitStatistics
from mabeam.resilience._circuit_wrap import async_form
from mabeam.resilience._permit import Permit, running_task
from mabeam.resilience._policy import check_function, is_async, refuse_coroutine, refuse_uncallable, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from mabeam.resilience._classify import ErrorClassifier, ResultClassifier
    from mabeam.telemetry import Bus

__all__ = ("CircuitBreaker",)

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")


@final
class CircuitBreaker(CircuitCore):
    """Stops calling what fails, and tries again later with a few probes.

    It only admits and records; the function runs in the task or thread that calls. See
    ``docs/reference/resilience/circuit-breaker.md`` for the states.

    Guarantees:
        May be used from several threads and event loops at once; waits for nothing. A call that is refused runs nothing.
        An admitted call is counted once, for the state in which it was admitted: an outcome from before the last
        transition is ``late`` and changes nothing. While half open, never more than ``probes`` calls are out, and a probe
        that is cancelled, whose coroutine is dropped, or whose holder has ended frees its place. Order: none.

    Args:
        name: how it is called in errors and events.
        consecutive_failures: opens at so many failures in a row. 5 when neither rate is given, else off.
        failure_rate: opens when this share of the calls in the window failed: above 0, to 1.
        slow_call_rate: opens when this share of the calls in the window was slow.
        slow_call_seconds: from how many seconds on a call is slow.
        window_calls: the window is the last so many calls, at most ten million. 100 when a rate is given.
        window_seconds: the window is the last so many seconds instead, to a hundredth.
        minimum_calls: rates say nothing while the window has fewer calls. 10, or ``window_calls`` if that is less.
        open_seconds: how long it stays open; with a :class:`Backoff` longer from opening to opening, until it has closed.
        probes: how many calls it lets through when half open; when so many have come back well it closes.
        probe_failures: how many of the probes may fail (or be slow, where there is a rule about that).
        half_open_seconds: how long it may be half open; then it opens again. ``None`` means for ever.
        cancelled: whether a call that is cancelled says nothing, or is a failure.
        classify_error: says of an exception whether it is ``success``, ``failure`` or ``ignore``. Unless given, an exception is
            a failure; a :class:`RejectedError` or a :class:`DeadlineExceeded` is ignored: nothing was run.
        classify_result: the same of a returned value. Unless given, it is a success.
        clock: gives seconds; the real or the loop's virtual time unless given.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        import asyncio
        from mabeam import CircuitBreaker, CircuitOpen

        breaker = CircuitBreaker("payments", consecutive_failures=2, open_seconds=30.0)

        @breaker
        async def pay(amount: int) -> None:
            raise ConnectionError("no route")

        async def main() -> str:
            for _ in range(2):
                try:
                    await pay(5)
                except ConnectionError:
                    pass
            try:
                await pay(5)
            except CircuitOpen as refused:
                return f"{refused.state}, {refused.retry_after:.0f} s"
            return "paid"

        assert asyncio.run(main()) == "open, 30 s"
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        *,
        consecutive_failures: int | None = None,
        failure_rate: float | None = None,
        slow_call_rate: float | None = None,
        slow_call_seconds: float | None = None,
        window_calls: int | None = None,
        window_seconds: float | None = None,
        minimum_calls: int | None = None,
        open_seconds: float | Backoff = 30.0,
        probes: int = 1,
        probe_failures: int = 0,
        half_open_seconds: float | None = 60.0,
        cancelled: Literal["ignore", "failure"] = "ignore",
        classify_error: ErrorClassifier | None = None,
        classify_result: ResultClassifier | None = None,
        clock: Callable[[], float] = monotonic,
        bus: Bus | None = None,
    ) -> None:
        rules = made_with(
            "a circuit breaker",
            lambda: CircuitRules(
                consecutive_failures=consecutive_failures,
                failure_rate=failure_rate,
                slow_call_rate=slow_call_rate,
                slow_call_seconds=slow_call_seconds,
                window_calls=window_calls,
                window_seconds=window_seconds,
                minimum_calls=minimum_calls,
                open_seconds=open_seconds,
                probes=probes,
                probe_failures=probe_failures,
                half_open_seconds=half_open_seconds,
                cancelled=cancelled,
            ),
            (
                *function_of("clock", clock, optional=False),
                *surroundings(name, bus),
                *function_of("classify_error", classify_error),
                *function_of("classify_result", classify_result),
            ),
        )
        super().__init__(name, rules, classify_error, classify_result, clock, bus)

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function, if the breaker admits it.

        Guarantees:
            The function runs in this task. A cancellation ends it, is passed on, and gives the permit back. No extra turn
            of the event loop.

        Args:
            function: called with the rest. One that returns something else than an awaitable may be given as well, if it is
                quick: its value is the result.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            CircuitOpen: it was not admitted; nothing was run.
            UsageError: it is no function, but the coroutine of a call, say. That is no failure.
            BaseException: what the function raises.
        """
        state = self._state
        permit = state.closed
        if permit < 0:
            return await self._call_as_probe(function, args, kwargs)
        clock: Callable[[], float] = self._no_clock
        began = 0.0
        if self._timed:
            loop, clock = self._loop_clock
            if loop is not _get_running_loop():
                clock = self._clock_here()
            began = clock()
        try:
            result: Any = function(*args, **kwargs)
            if type(result) is CoroutineType:
                result = await result
            else:
                result = await settle(result)
        except GeneratorExit:
            # The coroutine is closed, perhaps by the garbage collector in the midst of anything: no lock is taken here.
            self._dropped.append(permit)
            raise
        except BaseException as error:
            self._end(permit, began, self._outcome_of_call(function, error))
            refuse_uncallable(self, function)
            raise
        if self._of_result is not None or self._dropped:
            self._end(permit, began, self._classifier.result(result))
            return result  # type: ignore[no-any-return]  # what the function gives
        now = clock()
        lock = self._lock
        lock.acquire()
        try:
            counted = state.succeed(permit, now - began >= self._slow_from, now)
            if state.transitions:
                self._put_transitions()
        finally:
            lock.release()
        bus = self._bus
        if bus is not None and bus.listening:
            self._tell(SUCCEEDED, counted=counted)
        return result  # type: ignore[no-any-return]  # as above

    def __call__(self, function: F, /) -> F:
        """Return the function under this breaker; use it as a decorator, for async and plain functions.

        Guarantees:
            As :meth:`call` and :meth:`call_sync`.

        Args:
            function: an async or a plain function; a method as well.

        Returns:
            A function of the same kind, name and signature.

        Raises:
            UsageError: it is not a function, or a generator, whose end the breaker would never see.
        """
        check_function(self, function)
        return async_form(self, function) if is_async(function) else super().__call__(function)

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function, if the breaker admits it.

        Guarantees:
            As :meth:`call`, in this thread.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            CircuitOpen: it was not admitted; nothing was run.
            UsageError: the function returned a coroutine; it was closed before it began.
            BaseException: what the function raises.
        """
        permit = self._state.closed
        if permit < 0:
            permit, probe = self._admit()
        else:
            probe = None
        began = self._clock() if self._timed else 0.0
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._finish(permit, probe, began, self._outcome_of_call(function, error))
            refuse_uncallable(self, function)
            raise
        if type(result) is CoroutineType:
            self._finish(permit, probe, began, IGNORED)
            refuse_coroutine(self, function, result)
        self._finish(permit, probe, began, self._classifier.result(result))
        return result

    def acquire(self) -> Permit:
        """Ask for a permit, for calls that are not a function: report its outcome, or use it as a context manager.

        Guarantees:
            Does not wait. What becomes of a permit that is not reported is said at :class:`Permit`.

        Returns:
            The permit; it belongs to the task, or the thread, that asked.

        Raises:
            CircuitOpen: nothing is admitted now.

        Example:
            from mabeam import CircuitBreaker

            breaker = CircuitBreaker("search")
            with breaker.acquire() as permit:
                status = 404
                if status == 404:
                    permit.ignore()
            assert breaker.statistics().ignored == 1
        """
        generation = self._state.closed
        probe = None
        if generation < 0:
            generation, probe = self._admit()
        elif self._dropped:
            self._take_back()
        if probe is None:
            return Permit(self, generation, self._clock() if self._timed else 0.0)
        return probe

    def isolate(self) -> None:
        """Admit nothing until :meth:`reset`. Outcomes of calls that are under way will be late."""
        with self._lock:
            self._state.isolate(self._clock())
            self._put_transitions()
        self._in_order.tell()

    def reset(self) -> None:
        """Close, and forget failures, window and the growth of ``open_seconds``; the counts of statistics stay."""
        with self._lock:
            self._state.reset(self._clock())
            self._put_transitions()
        self._in_order.tell()

    @property
    def state(self) -> Phase:
        """``closed``, ``open``, ``half_open`` or ``isolated``.

        It is ``open`` until a call is admitted as a probe, also when the time is over; looking changes nothing.
        """
        return self._state.phase_at(self._clock())

    def statistics(self) -> CircuitStatistics:
        """Return state and counts, as of now; looking changes no state."""
        self._take_back()
        now = self._clock()
        with self._lock:
            state = self._state
            window = state.window
            if window is not None:
                window.look(now)
            return CircuitStatistics(
                state=state.phase_at(now),
                retry_after=state.retry_after(now),
                succeeded=state.succeeded,
                failed=state.failed,
                ignored=state.ignored,
                slow=state.slow,
                rejected=state.rejected,
                late=state.late,
                lost=state.lost,
                repeated=self._repeated,
                probes_out=state.held,
                failures_in_row=state.in_row,
                window_calls=0 if window is None else window.calls,
                window_failed=0 if window is None else window.failed,
                window_slow=0 if window is None else window.slow,
                transitions=state.generation,
            )

    def describe(self) -> str:
        """Return one line: name, rules, state."""
        rules = self.rules
        parts = [
            f"{name}={getattr(rules, name)!r}"
            for name in (
                "consecutive_failures",
                "failure_rate",
                "slow_call_rate",
                "window_calls",
                "window_seconds",
            )
            if getattr(rules, name) is not None
        ]
        return f"CircuitBreaker({self.name!r}, {', '.join(parts)}, open_seconds={rules.open_seconds!r}, probes={rules.probes})"

    def __repr__(self) -> str:
        state = self._state
        return (
            f"<CircuitBreaker {self.name!r} {self.state}, {state.succeeded} succeeded, {state.failed} failed, "
            f"{state.rejected} rejected>"
        )

    def __enter__(self) -> Permit:
        """Enter a block as a call; as ``with breaker.acquire()``."""
        permit = self.acquire()
        self._entered.setdefault(running_task() or threading.current_thread(), []).append(permit)
        return permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        owner = running_task() or threading.current_thread()
        permits = self._entered.get(owner)
        if permits:
            permit = permits.pop()
            if not permits:
                del self._entered[owner]
            permit.__exit__(kind, error, traceback)

    async def __aenter__(self) -> Permit:
        """Enter a block as a call; as ``async with breaker.acquire()``."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
