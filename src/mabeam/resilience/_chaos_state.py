"""What is injected into a call, decided by draws. Pure: the draws are passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mabeam.resilience._checks import at_least, rate, refuse_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ChaosRules", "Injection")


class Injection(NamedTuple):
    """What one call gets."""

    latency: float
    fault: bool
    outcome: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRules:
    """The rates of a :class:`Chaos`, and how long a latency is.

    Attributes:
        fault_rate: share of calls that fail instead of running.
        latency_rate: share of calls that wait first.
        latency: seconds that these wait: from and to, drawn evenly.
        outcome_rate: share of calls whose value is made up instead of running.
    """

    fault_rate: float
    latency_rate: float
    latency: tuple[float, float]
    outcome_rate: float

    def __post_init__(self) -> None:
        """Refuse what cannot be right.

        Raises:
            UsageError: names everything that is wrong.
        """
        refuse_problems("chaos", self._problems())

    def _problems(self) -> Iterator[str]:
        yield from rate("fault_rate", self.fault_rate, zero=True)
        yield from rate("latency_rate", self.latency_rate, zero=True)
        yield from rate("outcome_rate", self.outcome_rate, zero=True)
        low, high = self.latency
        # What a latency goes up to is compared with a lower end that is right only.
        yield from (tuple(at_least("latency", low, 0)) or tuple(at_least("latency", high, low)) or _end(high))

    def draw(self, latency: float, how_long: float, fault: float, outcome: float) -> Injection:
        """Decide on one call by four draws from 0 up to 1; a fault leaves no room for an outcome."""
        low, high = self.latency
        seconds = low + (high - low) * how_long if latency < self.latency_rate else 0.0
        is_fault = fault < self.fault_rate
        return Injection(seconds, is_fault, not is_fault and outcome < self.outcome_rate)


def _end(latency: float) -> Iterator[str]:
    if latency == math.inf:
        yield "latency expects seconds that pass, got inf; for what never answers put a TimeLimit around a long one"
