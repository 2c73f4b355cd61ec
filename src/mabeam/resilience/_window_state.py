"""How many of the latest calls failed or were slow: over a number of calls, or over a time. Pure; ``now`` is passed in.

Both keep running totals and subtract what leaves the window, so that a call costs the same however large it is (the
"subtract on evict" of resilience4j's windows).
"""

from __future__ import annotations

import math

__all__ = ("BUCKETS", "CountWindow", "TimeWindow", "Window")

BUCKETS = 100
"""Parts of a time window; what is forgotten, is forgotten a part at a time."""


class Window:
    """The totals of a window.

    Attributes:
        calls: how many calls are in it.
        failed: how many of them failed.
        slow: how many of them were slow; a call can be both.
    """

    __slots__ = ("calls", "failed", "slow")

    def __init__(self) -> None:
        """An empty one."""
        self.calls = 0
        self.failed = 0
        self.slow = 0

    def add(self, marks: int, now: float) -> None:
        """Count a call at ``now``: ``marks`` is 0, 1 for failed, 2 for slow, 3 for both."""
        raise NotImplementedError

    def look(self, now: float) -> None:
        """Forget what is too old at ``now``."""


class CountWindow(Window):
    """The last ``size`` calls: a ring with one byte for each."""

    __slots__ = ("_next", "_ring", "size")

    def __init__(self, size: int) -> None:
        """A window of so many calls."""
        super().__init__()
        self.size = size
        self._ring = bytearray(size)
        self._next = 0

    def add(self, marks: int, now: float) -> None:
        """Count a call; the oldest leaves when there are more than ``size``."""
        ring, place = self._ring, self._next
        if self.calls < self.size:
            self.calls += 1
        elif old := ring[place]:
            self.failed -= old & 1
            self.slow -= old >> 1
        ring[place] = marks
        if marks:
            self.failed += marks & 1
            self.slow += marks >> 1
        place += 1
        self._next = place if place < self.size else 0


class TimeWindow(Window):
    """The calls of the last ``seconds``: a ring of :data:`BUCKETS` parts, so it is exact to a hundredth of itself.

    A call is in the window as long as its part is among the latest hundred. The first part begins with the first call and not
    before, so that a breaker made at import, on the real clock, can be used on a virtual one.
    """

    __slots__ = ("_calls", "_failed", "_latest", "_place", "_slow", "_start", "_until", "_width", "seconds")

    def __init__(self, seconds: float) -> None:
        """A window of so many seconds."""
        super().__init__()
        self.seconds = seconds
        self._start = math.inf
        self._until = -math.inf
        self._width = seconds / BUCKETS
        self._latest = self._place = 0
        self._calls = [0] * BUCKETS
        self._failed = [0] * BUCKETS
        self._slow = [0] * BUCKETS

    def add(self, marks: int, now: float) -> None:
        """Count a call in the part of ``now``; one from another thread that is a little late, in the latest part."""
        if now >= self._until:
            self._advance(now)
        place = self._place
        self.calls += 1
        self._calls[place] += 1
        if marks:
            self.failed += marks & 1
            self._failed[place] += marks & 1
            self.slow += marks >> 1
            self._slow[place] += marks >> 1

    def look(self, now: float) -> None:
        """Forget the parts that are too old."""
        if now >= self._until:
            self._advance(now)

    def _advance(self, now: float) -> None:
        if now < self._start:  # nothing was counted yet
            self._start, self._until = now, now + self._width
            return
        # At least one further: just at a border the quotient may say that it is the part before.
        latest = self._latest
        part = max(latest + 1, int((now - self._start) / self._width))
        self._latest, self._place = part, part % BUCKETS
        self._until = self._start + (part + 1) * self._width
        for number in range(max(latest, part - BUCKETS) + 1, part + 1):
            place = number % BUCKETS
            if count := self._calls[place]:
                self.calls -= count
                self.failed -= self._failed[place]
                self.slow -= self._slow[place]
                self._calls[place] = self._failed[place] = self._slow[place] = 0
