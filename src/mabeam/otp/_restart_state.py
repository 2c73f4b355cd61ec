"""How many restarts in how many seconds a supervisor allows: a pure sliding window."""

from __future__ import annotations

import sys
from collections import deque

from mabeam._base import Backoff

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
        self._times: deque[float] = deque(maxlen=min(max_restarts, sys.maxsize - 1) + 1)

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
