"""What a circuit breaker has come to, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from mabeam.resilience._circuit_state import Phase

__all__ = ("CircuitStatistics",)


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
