"""The part of the circuit breaker that users do not see: clock, lock and events around the machine of ``_circuit_state``."""

from __future__ import annotations

import math
import threading
import weakref
from asyncio import _get_running_loop
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from mabeam._base import clock_of, monotonic
from mabeam.errors import CircuitOpen
from mabeam.resilience._circuit_state import FAILED, IGNORED, LOST, REFUSED, CircuitState
from mabeam.resilience._classify import Classifier, ErrorClassifier, ResultClassifier
from mabeam.resilience._permit import Permit
from mabeam.resilience._policy import PolicyBase, refuse_uncallable, settle
from mabeam.resilience._told import InOrder
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable

    from mabeam.resilience._circuit_rules import CircuitRules

__all__ = ("CircuitCore",)

T = TypeVar("T")

_WORDS = ("success", "failure", "ignore", "lost")


class CircuitCore(PolicyBase):
    """Admits and records, in any thread.

    Attributes:
        rules: its settings.
    """

    __slots__ = (
        "__weakref__", "_bus", "_classifier", "_clock", "_dropped", "_entered", "_in_order", "_lock", "_loop_clock", "_no_clock", "_of_result", "_probes", "_repeated",
        "_slow_from", "_state", "_timed", "rules",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        rules: CircuitRules,
        classify_error: ErrorClassifier | None,
        classify_result: ResultClassifier | None,
        clock: Callable[[], float],
        bus: Bus | None,
    ) -> None:
        super().__init__(name)
        self.rules = rules
        self._classifier = Classifier(
            name, classify_error, classify_result, FAILED if rules.cancelled == "failure" else IGNORED
        )
        self._clock = clock
        self._loop_clock: tuple[AbstractEventLoop | None, Callable[[], float]] = (None, clock)
        self._of_result = classify_result
        self._bus = current_bus.get() if bus is None else bus
        self._in_order = InOrder(self._bus)
        # Reentrant: the garbage collector may run a user's finalizer inside, and that may use this very breaker.
        self._lock = threading.RLock()
        self._state = CircuitState(self.rules, clock())
        # float() is 0.0: without a window a success needs no time.
        self._no_clock: Callable[[], float] = float
        # With a window a success may open it, by the rate, and then the time matters.
        self._timed = self.rules.is_timed or self._state.window is not None
        self._slow_from = math.inf if rules.slow_call_seconds is None else rules.slow_call_seconds
        self._repeated = 0
        self._dropped: deque[int] = deque()
        self._probes: weakref.WeakSet[Permit] = weakref.WeakSet()
        # Weak: a block that another task or thread leaves (that of a generator, say) is not looked for there. Its permit is
        # lost with the task that entered it, and keeps nothing alive.
        self._entered: weakref.WeakKeyDictionary[object, list[Permit]] = weakref.WeakKeyDictionary()

    def _admit(self) -> tuple[int, Permit | None]:
        """Ask the state, when it is not closed; the permit of a probe is watched from the start."""
        self._take_back()
        now = self._clock()
        generation, probe = self._ask(now, again=False)
        if generation == REFUSED:
            self._reclaim()
            generation, probe = self._ask(now, again=True)
        self._in_order.tell()
        if probe is not None:
            probe.watch_owner()
        return generation, probe

    def _ask(self, now: float, *, again: bool) -> tuple[int, Permit | None]:
        """Ask once. For want of probes it is worth to look for lost ones and ask again; any other refusal is raised."""
        probe: Permit | None = None
        with self._lock:
            state = self._state
            generation = state.admit(now)
            if state.phase == "half_open" and generation != REFUSED:
                probe = Permit(self, generation, now)
                self._probes.add(probe)
            phase, retry_after = state.phase, state.retry_after(now)
            is_refused = generation == REFUSED and (again or phase != "half_open")
            if generation == REFUSED and not is_refused:
                state.rejected -= 1
            self._put_transitions()
        if is_refused:
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
            if probe is None:
                self._dropped.append(permit)
            else:
                probe.drop()  # unless it was given back when its owner had gone
            raise
        except BaseException as error:
            self._finish(permit, probe, began, self._outcome_of_call(function, error))
            refuse_uncallable(self, function)
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
            now = self._clock() if outcome or generation != self._state.closed else 0.0
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

    def _outcome_of_call(self, function: object, error: BaseException) -> int:
        # What cannot be called says nothing about the service: it is the coroutine of a call, as a rule.
        return self._classifier.error(error) if callable(function) else IGNORED

    def _outcome_of_error(self, error: BaseException) -> int:
        return self._classifier.error(error)

    def _put_transitions(self) -> None:
        """Put what has changed in line; under the lock, which orders it."""
        transitions = self._state.transitions
        if transitions:
            self._state.transitions = []
            for before, after, reason, generation in transitions:
                self._in_order.put(
                    {"transition": generation},
                    {"breaker": self._name, "before": before, "after": after, "reason": reason},
                )
