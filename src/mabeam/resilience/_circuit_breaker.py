"""The circuit breaker as users see it: clock, lock, events around the machine of ``_circuit_state``."""

from __future__ import annotations

import math
import threading
import weakref
from asyncio import _get_running_loop
from collections import deque
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, final

from mabeam._base import Backoff, clock_of, monotonic
from mabeam.errors import CircuitOpen
from mabeam.resilience._circuit_rules import CircuitRules
from mabeam.resilience._circuit_state import FAILED, IGNORED, LOST, REFUSED, SUCCEEDED, CircuitState, Phase
from mabeam.resilience._circuit_wrap import async_form
from mabeam.resilience._classify import Classifier, ErrorClassifier, ResultClassifier
from mabeam.resilience._permit import Permit, running_task
from mabeam.resilience._policy import PolicyBase, check_function, is_async, refuse_coroutine, settle
from mabeam.resilience._told import InOrder
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ("CircuitBreaker", "CircuitStatistics")

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

_WORDS = ("success", "failure", "ignore", "lost")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitStatistics:
    """What a :class:`CircuitBreaker` has come to.

    Attributes:
        state: ``closed``, ``open``, ``half_open`` or ``isolated``.
        retry_after: seconds until it admits a call; ``None`` when nobody knows.
        succeeded: calls that were successes. Counts are since the breaker was made; resets do not clear them.
        failed: calls that were failures.
        ignored: calls that say nothing: cancelled, or ignored by the classifier.
        slow: calls that were slow; each is counted in ``succeeded`` or ``failed`` as well.
        rejected: calls that were refused. They are not failures.
        late: outcomes from before the last transition, which changed nothing.
        lost: permits that nobody reported, and that were given back.
        repeated: reports of what had been reported before.
        probes_out: probes that are being made.
        failures_in_row: failures since the last success, while closed.
        window_calls: calls in the window.
        window_failed: how many of these failed.
        window_slow: how many of these were slow.
        transitions: how often the state has changed.
    """

    state: Phase
    retry_after: float | None
    succeeded: int
    failed: int
    ignored: int
    slow: int
    rejected: int
    late: int
    lost: int
    repeated: int
    probes_out: int
    failures_in_row: int
    window_calls: int
    window_failed: int
    window_slow: int
    transitions: int


@final
class CircuitBreaker(PolicyBase):
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
        window_calls: the window is the last so many calls. 100 when a rate is given.
        window_seconds: the window is the last so many seconds instead, to a hundredth.
        minimum_calls: rates say nothing while the window has fewer calls. 10, or ``window_calls`` if that is less.
        open_seconds: how long it stays open; with a :class:`Backoff` longer from opening to opening, until it has closed.
        probes: how many calls it lets through when half open; when so many have come back well it closes.
        probe_failures: how many of the probes may fail (or be slow, where there is a rule about that).
        half_open_seconds: how long it may be half open; then it opens again. ``None`` means for ever.
        cancelled: whether a call that is cancelled says nothing, or is a failure.
        classify_error: says of an exception whether it is ``success``, ``failure`` or ``ignore``. Unless given, an exception is
            a failure, and a :class:`RejectedError` is ignored: nothing was run.
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

    __slots__ = (
        "__weakref__", "_bus", "_classifier", "_clock", "_dropped", "_entered", "_in_order", "_lock", "_loop_clock", "_no_clock", "_of_result", "_probes", "_repeated",
        "_slow_from", "_state", "_timed", "rules",
    )  # fmt: skip

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
        super().__init__(name)
        self.rules = CircuitRules(
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
        )
        self._classifier = Classifier(
            name, classify_error, classify_result, FAILED if cancelled == "failure" else IGNORED
        )
        self._clock = clock
        self._loop_clock: tuple[AbstractEventLoop | None, Callable[[], float]] = (None, clock)
        self._of_result = classify_result
        self._bus = current_bus.get() if bus is None else bus
        self._in_order = InOrder(self._bus)
        # Reentrant: the garbage collector may run a user's finalizer inside, and that may use this very breaker.
        self._lock = threading.RLock()
        self._state = CircuitState(self.rules, clock())
        # Without a window a success needs no time at all: float() is 0.0. With one it may open, by the rate.
        self._no_clock: Callable[[], float] = float if self._state.window is None else clock
        self._timed = self.rules.is_timed
        self._slow_from = math.inf if slow_call_seconds is None else slow_call_seconds
        self._repeated = 0
        self._dropped: deque[int] = deque()
        self._probes: weakref.WeakSet[Permit] = weakref.WeakSet()
        self._entered: dict[object, list[Permit]] = {}

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
            self._end(permit, began, self._classifier.error(error))
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
            self._finish(permit, probe, began, self._classifier.error(error))
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
        self._entered.setdefault(running_task() or threading.get_ident(), []).append(permit)
        return permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        owner = running_task() or threading.get_ident()
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

    def _admit(self) -> tuple[int, Permit | None]:
        """Ask the state, when it is not closed; the permit of a probe is watched from the start."""
        self._take_back()
        now = self._clock()
        generation, probe = self._ask(now, count=False)
        if generation == REFUSED:
            self._reclaim()
            generation, probe = self._ask(now, count=True)
        self._in_order.tell()
        if probe is not None:
            probe.watch_owner()
        return generation, probe

    def _ask(self, now: float, *, count: bool) -> tuple[int, Permit | None]:
        """Ask once; to ``count`` a refusal is to raise it."""
        probe: Permit | None = None
        with self._lock:
            state = self._state
            generation = state.admit(now)
            if state.phase == "half_open" and generation != REFUSED:
                probe = Permit(self, generation, now)
                self._probes.add(probe)
            phase, retry_after = state.phase, state.retry_after(now)
            if generation == REFUSED and not count:
                state.rejected -= 1
            self._put_transitions()
        if generation == REFUSED and count:
            self._in_order.tell()
            bus = self._bus
            if bus is not None and bus.listening:
                bus.emit("circuit_breaker.rejected", {"count": 1}, {"breaker": self._name, "state": phase})
            raise CircuitOpen(self._name, phase, retry_after=retry_after)
        return generation, probe

    async def _call_as_probe(
        self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        """As :meth:`call`, when it is not closed; or was not, a moment ago."""
        permit, probe = self._admit()
        began = self._clock() if self._timed else 0.0
        try:
            result = await settle(function(*args, **kwargs))
        except GeneratorExit:
            self._dropped.append(permit)
            if probe is not None:
                probe._is_open = False
            raise
        except BaseException as error:
            self._finish(permit, probe, began, self._classifier.error(error))
            raise
        self._finish(permit, probe, began, self._classifier.result(result))
        return result

    def _clock_here(self) -> Callable[[], float]:
        """The clock of the loop that runs in this thread; kept, since it is the same one nearly always."""
        loop = _get_running_loop()
        clock = clock_of(loop) if self._clock is monotonic else self._clock
        self._loop_clock = (loop, clock)
        return clock

    def _finish(self, generation: int, probe: Permit | None, began: float, outcome: int) -> None:
        if probe is None:
            self._end(generation, began, outcome)
        elif probe._is_open:
            probe._end(outcome)

    def _end(self, generation: int, began: float, outcome: int) -> bool:
        """Record an outcome, and tell what follows from it."""
        if self._timed:
            now = self._clock()
            slow = now - began >= self._slow_from and outcome < IGNORED
        else:
            # A state that is not timed needs the time for its transitions only.
            now = self._clock() if outcome or generation != self._state.closed else self._no_clock()
            slow = False
        lock = self._lock
        lock.acquire()
        try:
            counted = self._state.record(generation, outcome, slow, now)
            if self._state.transitions:
                self._put_transitions()
        finally:
            lock.release()
        self._tell(outcome, counted=counted)
        if self._dropped:
            self._take_back()
        return counted

    def _tell(self, outcome: int, *, counted: bool) -> None:
        bus = self._bus
        if bus is not None and bus.listening:
            word = _WORDS[outcome] if counted else "late"
            bus.emit("circuit_breaker.recorded", {"count": 1}, {"breaker": self._name, "outcome": word})
            self._in_order.tell()

    def _lose(self, generation: int) -> None:
        self._end(generation, self._clock(), LOST)

    def _repeat(self) -> None:
        with self._lock:
            self._repeated += 1

    def _take_back(self) -> None:
        """Record the permits that were dropped without a word, of which there are none as a rule."""
        while self._dropped:
            try:
                generation = self._dropped.popleft()
            except IndexError:
                return  # another thread was quicker
            self._lose(generation)

    def _reclaim(self) -> None:
        """Give back the probes of threads that have died, and of tasks whose loop is no more."""
        with self._lock:
            probes = list(self._probes)
        for probe in probes:
            if probe.owner_is_gone():
                probe.lose()

    def _outcome_of_error(self, error: BaseException) -> int:
        return self._classifier.error(error)

    def _put_transitions(self) -> None:
        """Put what has changed in line; under the lock, which orders it."""
        transitions = self._state.transitions
        if transitions:
            self._state.transitions = []
            for before, after, reason, generation in transitions:
                self._in_order.put(
                    "circuit_breaker.changed",
                    {"transition": generation},
                    {"breaker": self._name, "before": before, "after": after, "reason": reason},
                )
