"""Chaos: faults, latency and outcomes on purpose, for tests and drills."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar, final

from mabeam._base import Random, pause_thread, system_random
from mabeam.resilience._chaos_state import ChaosRules, Injection
from mabeam.resilience._checks import function_of, made_with, problems_of_random, surroundings
from mabeam.resilience._policy import PolicyBase, refuse_coroutine, settle
from mabeam.resilience._waiting import wait
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ("Chaos", "ChaosStatistics")

P = ParamSpec("P")
T = TypeVar("T")
Fault: TypeAlias = "type[Exception] | Callable[[], Exception]"

_NONE: Final = Injection(0.0, fault=False, outcome=False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosStatistics:
    """What a :class:`Chaos` has come to.

    Attributes:
        calls: calls that it saw while it was enabled.
        faults: of these, those that failed instead of running.
        latencies: those that had to wait.
        outcomes: those whose value was made up.
    """

    calls: int
    faults: int
    latencies: int
    outcomes: int


@final
class Chaos(PolicyBase):
    """Injects latency, faults and made-up values into a share of the calls, to see what the rest of the program does.

    Innermost in a :class:`Pipeline`, it is the service as the other policies see it.

    Guarantees:
        First latency, then a fault, then an outcome; with one of the last two the function is not run. Draws come from
        ``random`` alone, four for each call whatever the rates are, so that a seed repeats them. While it is not enabled it draws nothing
        and changes nothing.

    Args:
        fault_rate: share of calls that fail, from 0 to 1.
        fault: what they raise: an exception type, or a function that makes the exception.
        latency_rate: share of calls that wait first.
        latency: how many seconds they wait; or from how many to how many, drawn evenly.
        outcome_rate: share of calls whose value is made up.
        outcome: makes that value.
        enabled: whether it does anything: a bool, or a function that is asked at each call.
        name: how it is called in events.
        random: decides.
        sleep: waits in synchronous code, where it stops the thread.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        from mabeam import Chaos, Retry

        drill = Chaos(fault_rate=1.0, fault=ConnectionError)

        @drill
        def ask() -> str:
            return "hello"

        try:
            ask()
        except ConnectionError:
            assert drill.statistics().faults == 1
    """

    __slots__ = ("_bus", "_counts", "_enabled", "_fault", "_lock", "_outcome", "_random", "_sleep", "rules")

    def __init__(
        self,
        *,
        fault_rate: float = 0.0,
        fault: Fault | None = None,
        latency_rate: float = 0.0,
        latency: float | tuple[float, float] = 0.0,
        outcome_rate: float = 0.0,
        outcome: Callable[[], Any] | None = None,
        enabled: bool | Callable[[], bool] = True,
        name: str = "chaos",
        random: Random | None = None,
        sleep: Callable[[float], None] = pause_thread,
        bus: Bus | None = None,
    ) -> None:
        super().__init__(name)
        is_pair = isinstance(latency, tuple) and len(latency) == 2
        span: Any = latency if is_pair else (0.0, 0.0) if isinstance(latency, tuple) else (latency, latency)
        self.rules = made_with(
            "chaos",
            lambda: ChaosRules(
                fault_rate=fault_rate, latency_rate=latency_rate, latency=span, outcome_rate=outcome_rate
            ),
            (
                *_problems(fault_rate, fault, outcome_rate, outcome, latency),
                *(() if isinstance(enabled, bool) else function_of("enabled", enabled, optional=False)),
                *problems_of_random(random),
                *function_of("sleep", sleep, optional=False),
                *surroundings(name, bus),
            ),
        )
        self._fault = fault
        self._outcome = outcome
        self._enabled = enabled
        self._random = system_random() if random is None else random
        self._sleep = sleep
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.Lock()
        self._counts = {"calls": 0, "faults": 0, "latencies": 0, "outcomes": 0}

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function, or do something else to the caller.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function, or ``outcome``, returns.

        Raises:
            BaseException: what the function, or the injected fault, raises.
        """
        injected = self._draw()
        if injected.latency > 0:
            await wait(injected.latency)
        if injected.fault:
            raise self._make_fault()
        if injected.outcome and self._outcome is not None:
            return self._outcome()  # type: ignore[no-any-return]  # the user's value
        return await settle(function(*args, **kwargs))

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function, or do something else to the caller.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function, or ``outcome``, returns.

        Raises:
            UsageError: the function returned a coroutine; it was closed before it began.
            BaseException: what the function, or the injected fault, raises.
        """
        injected = self._draw()
        if injected.latency > 0:
            self._sleep(injected.latency)
        if injected.fault:
            raise self._make_fault()
        if injected.outcome and self._outcome is not None:
            return self._outcome()  # type: ignore[no-any-return]  # as above
        result = function(*args, **kwargs)
        if type(result) is CoroutineType:
            refuse_coroutine(self, function, result)
        return result

    def statistics(self) -> ChaosStatistics:
        """Return counts, as of now."""
        with self._lock:
            return ChaosStatistics(**self._counts)

    def describe(self) -> str:
        """Return one line: the rates."""
        rules = self.rules
        return (
            f"Chaos({self._name!r}, fault_rate={rules.fault_rate:g}, latency_rate={rules.latency_rate:g} "
            f"({rules.latency[0]:g} to {rules.latency[1]:g} s), outcome_rate={rules.outcome_rate:g})"
        )

    def _draw(self) -> Injection:
        enabled = self._enabled
        if not (enabled() if callable(enabled) else enabled):
            return _NONE
        with self._lock:
            draw = self._random.random
            injected = self.rules.draw(draw(), draw(), draw(), draw())
            kinds = [
                kind
                for kind, is_so in (
                    ("latencies", injected.latency > 0),
                    ("faults", injected.fault),
                    ("outcomes", injected.outcome),
                )
                if is_so
            ]
            for kind in ("calls", *kinds):
                self._counts[kind] += 1
        bus = self._bus
        if bus is not None and bus.listening:
            for kind in kinds:
                word = {"latencies": "latency", "faults": "fault", "outcomes": "outcome"}[kind]
                bus.emit("chaos.injected", {"count": 1}, {"chaos": self._name, "kind": word})
        return injected

    def _make_fault(self) -> Exception:
        fault = self._fault
        return RuntimeError("injected fault") if fault is None else fault()


def _problems(
    fault_rate: object, fault: object, outcome_rate: object, outcome: object, latency: object
) -> Iterator[str]:
    if fault is None and fault_rate != 0:
        yield "fault_rate expects fault: the exception type that the service raises when it is down"
    if isinstance(fault, type) and not issubclass(fault, Exception):
        yield f"fault expects an exception type (below Exception), got {fault!r}"
    elif fault is not None and not callable(fault):
        yield f"fault expects an exception type or a function that makes an exception, got {fault!r}"
    else:
        yield from function_of("fault", fault)
    if outcome is None and outcome_rate != 0:
        yield "outcome_rate expects outcome: a function that makes the value"
    if outcome is not None and not callable(outcome):
        yield f"outcome expects a function that makes the value, got {outcome!r}"
    else:
        yield from function_of("outcome", outcome)
    if isinstance(latency, tuple) and len(latency) != 2:
        yield f"latency expects seconds, or a pair of them (from, to), got {latency!r}"
