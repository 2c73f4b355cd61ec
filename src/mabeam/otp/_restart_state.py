"""When a supervisor restarts: how many restarts in how many seconds it allows, and how long it waits before one."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Final, NamedTuple

from mabeam._base import Backoff
from mabeam.kernel import Exempt

__all__ = ("NO_RESTARTS", "Backoff", "RestartRow", "RestartWindow", "Retry")


class Retry(Exempt):
    """To itself: try the restart of a child again, after everything else that came meanwhile.

    Attributes:
        child: what the supervisor knows it by.
        counted: its restart is in the window already.
    """

    __slots__ = ("child", "counted")

    def __init__(self, child: Any, *, counted: bool) -> None:
        """A message that is not sent yet."""
        self.child = child
        self.counted = counted


class RestartRow(NamedTuple):
    """Restarts of one child that follow each other, for the backoff.

    Attributes:
        attempts: how many.
        last: when the last of them is due.
    """

    attempts: int = 0
    last: float = 0.0

    def next(self, now: float, max_seconds: float, backoff: Backoff) -> tuple[float, RestartRow]:
        """One more, ``now``: the seconds to wait before it, and the row with it. ``max_seconds`` of peace begin a new row."""
        attempts = self.attempts + 1 if now - self.last <= max_seconds else 1
        delay = backoff.delay(attempts)
        return delay, RestartRow(attempts, now + delay)


NO_RESTARTS: Final = RestartRow()


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
