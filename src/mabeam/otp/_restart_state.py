"""How many restarts in how many seconds a supervisor allows: a pure sliding window, and the delay before a restart."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ("Backoff", "RestartWindow")


class RestartWindow:
    """Counts restarts of the last ``max_seconds``.

    OTP's rule (``supervisor:add_restart``): a restart is added first, those older than the period are forgotten, and
    more than ``max_restarts`` of them are too many.
    """

    __slots__ = ("_times", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        """A window without restarts."""
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._times: deque[float] = deque(maxlen=max_restarts + 1)

    def add(self, now: float) -> bool:
        """Count a restart at ``now`` (seconds, never going back); whether it is allowed."""
        times = self._times
        times.append(now)
        while times[0] < now - self.max_seconds:
            times.popleft()
        return len(times) <= self.max_restarts

    @property
    def count(self) -> int:
        """Restarts in the window at the time of the last one."""
        return len(self._times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a supervisor waits before it restarts a child, growing while restarts follow each other.

    OTP has no such thing and restarts at once; so does mabeam unless this is given. Attempts that follow within
    ``max_seconds`` of each other count as one series.

    Attributes:
        first: seconds before the first restart of a series.
        factor: by which it grows.
        limit: longest wait in seconds.
    """

    first: float = 0.1
    factor: float = 2.0
    limit: float = 10.0

    def delay(self, attempt: int) -> float:
        """Seconds before attempt number ``attempt``, from 1."""
        # The exponent is bounded so that a long series cannot overflow a float.
        return min(self.limit, self.first * self.factor ** min(attempt - 1, 64))

    def check(self) -> tuple[str, ...]:
        """All that is wrong with it."""
        found = []
        if not _is_at_least(0, self.first):
            found.append(f"Backoff.first expects seconds >= 0, got {self.first!r}")
        if not _is_at_least(1, self.factor):
            found.append(f"Backoff.factor expects a number >= 1, got {self.factor!r}")
        if not _is_at_least(0, self.limit):
            found.append(f"Backoff.limit expects seconds >= 0, got {self.limit!r}")
        return tuple(found)


def _is_at_least(least: float, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least
