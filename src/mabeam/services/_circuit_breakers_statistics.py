"""A service of circuit breakers in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ("CircuitBreakersStatistics",)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakersStatistics:
    """What a ``CircuitBreakers`` service holds at the moment.

    Attributes:
        circuits: circuits that are configured.
        max_circuits: most of them at once.
        closed: those that admit all calls.
        open: those that refuse calls.
        half_open: those that let probes through.
        isolated: those that were isolated by hand.
        tasks: supervised calls that run.
        max_tasks: most of them at once.
    """

    circuits: int
    max_circuits: int
    closed: int
    open: int
    half_open: int
    isolated: int
    tasks: int
    max_tasks: int
