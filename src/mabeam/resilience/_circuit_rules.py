"""When a circuit breaker opens, for how long, and what closes it again: its settings, checked as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from mabeam._base import Backoff
from mabeam.resilience._checks import above, one_of, rate, refuse_problems, whole
from mabeam.resilience._window_state import CountWindow, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.resilience._window_state import Window

__all__ = ("CircuitRules", "Outcome")

Outcome: TypeAlias = Literal["success", "failure", "ignore"]
"""What a call says about the service: it works, it does not, or nothing."""

CONSECUTIVE = 5
WINDOW_CALLS = 100
MINIMUM_CALLS = 10
LARGEST_WINDOW = 10_000_000
"""Each call in a window takes a byte, and a new window is made at each transition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRules:
    """The rules of a :class:`CircuitBreaker`; its options of the same names.

    Attributes:
        consecutive_failures: opens at so many failures in a row; 5 when neither rate is given, else off.
        failure_rate: opens when this share of the calls in the window failed (0.5 is one half).
        slow_call_rate: opens when this share of the calls in the window was slow.
        slow_call_seconds: from how many seconds on a call is slow.
        window_calls: the window is the last so many calls; 100 when a rate is given.
        window_seconds: the window is the last so many seconds, instead of a number of calls.
        minimum_calls: rates say nothing while there are fewer calls in the window; 10, or ``window_calls`` if that is less.
        open_seconds: how long it stays open; a :class:`Backoff` for a time that grows from opening to opening.
        probes: how many calls are let through when it is half open.
        probe_failures: how many of these may fail.
        half_open_seconds: how long it may be half open; without a decision by then it opens again. ``None``: for ever.
        cancelled: whether a call that is cancelled says nothing (``ignore``) or is a ``failure``.
    """

    consecutive_failures: int | None = None
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    slow_call_seconds: float | None = None
    window_calls: int | None = None
    window_seconds: float | None = None
    minimum_calls: int | None = None
    open_seconds: float | Backoff = 30.0
    probes: int = 1
    probe_failures: int = 0
    half_open_seconds: float | None = 60.0
    cancelled: Literal["ignore", "failure"] = "ignore"

    def __post_init__(self) -> None:
        """Refuse what cannot be right; put in the defaults that depend on others.

        Raises:
            UsageError: names everything that is wrong.
        """
        refuse_problems("a circuit breaker", self._problems())
        rates = self.failure_rate is not None or self.slow_call_rate is not None
        if self.consecutive_failures is None and not rates:
            object.__setattr__(self, "consecutive_failures", CONSECUTIVE)
        if rates and self.window_calls is None and self.window_seconds is None:
            object.__setattr__(self, "window_calls", WINDOW_CALLS)
        if rates and self.minimum_calls is None:
            object.__setattr__(self, "minimum_calls", min(MINIMUM_CALLS, self.window_calls or MINIMUM_CALLS))

    @property
    def is_timed(self) -> bool:
        """Whether calls have to be timed."""
        return self.slow_call_seconds is not None or self.window_seconds is not None

    def window(self) -> Window | None:
        """A new window, if there is a rule that needs one."""
        if self.window_seconds is not None:
            return TimeWindow(self.window_seconds)
        return None if self.window_calls is None else CountWindow(self.window_calls)

    def open_for(self, opening: int) -> float:
        """Seconds that opening number ``opening`` of a series lasts, from 1."""
        return (
            self.open_seconds.delay(opening) if isinstance(self.open_seconds, Backoff) else self.open_seconds
        )

    def _problems(self) -> Iterator[str]:
        if self.consecutive_failures is not None:
            yield from whole("consecutive_failures", self.consecutive_failures, 1)
        if self.failure_rate is not None:
            yield from rate("failure_rate", self.failure_rate)
        if self.slow_call_rate is not None:
            yield from rate("slow_call_rate", self.slow_call_rate)
        if self.slow_call_seconds is not None:
            yield from above("slow_call_seconds", self.slow_call_seconds, 0)
        if (self.slow_call_rate is None) != (self.slow_call_seconds is None):
            yield "slow_call_rate and slow_call_seconds expect to be given together: the one says how many, the other how slow"
        yield from self._window_problems()
        if isinstance(self.open_seconds, Backoff):
            yield from (problem.replace("Backoff.", "open_seconds.") for problem in self.open_seconds.check())
        else:
            yield from above("open_seconds", self.open_seconds, 0)
        yield from whole("probes", self.probes, 1)
        yield from whole("probe_failures", self.probe_failures, 0)
        if _are_whole(self.probes, self.probe_failures) and self.probe_failures >= max(self.probes, 1):
            yield (
                f"probe_failures expects less than probes ({self.probes!r}), got {self.probe_failures!r}; it would close whatever "
                "its probes say"
            )
        if self.half_open_seconds is not None:
            yield from above("half_open_seconds", self.half_open_seconds, 0)
        yield from one_of("cancelled", self.cancelled, ("ignore", "failure"))

    def _window_problems(self) -> Iterator[str]:
        if self.window_calls is not None:
            yield from whole("window_calls", self.window_calls, 1, LARGEST_WINDOW)
        if self.window_seconds is not None:
            yield from above("window_seconds", self.window_seconds, 0)
        if self.minimum_calls is not None:
            yield from whole("minimum_calls", self.minimum_calls, 1)
        given = [
            name
            for name in ("window_calls", "window_seconds", "minimum_calls")
            if getattr(self, name) is not None
        ]
        if given and self.failure_rate is None and self.slow_call_rate is None:
            yield f"{' and '.join(given)} expect failure_rate or slow_call_rate, which they are about; neither is given"
        if self.window_calls is not None and self.window_seconds is not None:
            yield "window_calls and window_seconds exclude each other: the window is a number of calls or a time"
        size = WINDOW_CALLS if self.window_calls is None else self.window_calls
        if (
            self.window_seconds is None
            and _are_whole(size, self.minimum_calls)
            and self.minimum_calls > size > 0  # type: ignore[operator]  # both are whole numbers
        ):
            yield (
                f"minimum_calls expects at most window_calls ({size!r}), got {self.minimum_calls!r}: so many are never in the "
                "window, and it would never open"
            )


def _are_whole(*values: object) -> bool:
    return all(isinstance(value, int) for value in values)
