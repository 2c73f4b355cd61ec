"""How long to wait before the next attempt: a pure value, shared by supervisors, circuit breakers and retries."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

__all__ = ("Backoff",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before the next attempt, growing from one to the next.

    For a supervisor that restarts a child (OTP has no such thing and restarts at once; so does mabeam unless this is
    given; restarts within ``max_seconds`` of each other are one series), for a circuit breaker that opens again (a series
    ends when it closes), and for a ``Retry`` (a series is one call).

    Attributes:
        first: seconds before the first attempt of a series.
        factor: by which it grows.
        limit: longest wait in seconds.
    """

    first: float = 0.1
    factor: float = 2.0
    limit: float = 10.0

    def delay(self, attempt: int) -> float:
        """Seconds before attempt number ``attempt``, from 1."""
        try:
            return min(self.limit, self.first * float(self.factor) ** (attempt - 1))
        except OverflowError:  # a series this long has reached any limit
            return self.limit if self.first > 0 else 0.0

    def check(self) -> tuple[str, ...]:
        """All that is wrong with it."""
        found = []
        if not _is_at_least(0, self.first) or not _is_finite(self.first):
            found.append(f"Backoff.first expects seconds >= 0, got {self.first!r}")
        if not _is_at_least(1, self.factor) or not _is_finite(self.factor):
            found.append(f"Backoff.factor expects a number >= 1, got {self.factor!r}")
        if not _is_at_least(0, self.limit) or not (_is_finite(self.limit) or self.limit == math.inf):
            found.append(f"Backoff.limit expects seconds >= 0, got {self.limit!r}")
        return tuple(found)


def _is_at_least(least: float, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def _is_finite(number: float) -> bool:
    return number <= sys.float_info.max  # whole numbers may be larger than any float
