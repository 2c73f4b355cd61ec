"""What samplers remember, and how they decide: no clock and no chance of their own, both are passed in.

Each answers "keep it?" for one beginning after the other. In doubt the answer is yes: before anything is known, and when a
clock has gone backwards, so that what was known means nothing.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ("AdaptiveState", "PerSecondState")


class PerSecondState:
    """At most ``limit`` within any second, the first ones: an exact sliding window."""

    __slots__ = ("_kept", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: deque[float] = deque(maxlen=limit)
        """When the latest were kept; no more than ``limit`` can matter."""

    def keep(self, now: float) -> bool:
        """Decide about one that begins at ``now``, in seconds."""
        kept = self._kept
        if kept and now < kept[-1]:
            kept.clear()  # the clock went backwards
        if len(kept) == self.limit and now - kept[0] < 1.0:
            return False
        kept.append(now)
        return True


class AdaptiveState:
    """Keeps such a share that about ``target`` a second come of it, whatever comes.

    The share follows what came in the window before. More is believed at once; less, by half of the difference for each window
    that has passed, so that a short lull does not open the gates for the next burst. A window ends early once twice its target has been kept: a sudden burst
    must not go through whole.

    Attributes:
        share: which part is kept, between 0 and 1.
        rate: how many come a second, as it looks; ``None`` before anything is known.
    """

    __slots__ = ("_began", "_kept", "_last", "_seen", "_window", "rate", "share", "target")

    rate: float | None
    share: float

    def __init__(self, target: float, window: float) -> None:
        self.target = target
        self._window = window
        self._last = math.inf  # whatever comes first is before it, and begins a window
        self._restart(self._last)

    def keep(self, now: float, draw: float) -> bool:
        """Decide about one that begins at ``now``, in seconds.

        Args:
            now: when it is.
            draw: a number drawn evenly from 0 to 1, 1 excluded.
        """
        if now < self._last:
            self._restart(now)
        else:
            self._look(now)
        self._last = now
        self._seen += 1
        kept = draw < self.share
        self._kept += kept
        return kept

    def _restart(self, now: float) -> None:
        self.rate, self.share = None, 1.0
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._began, self._seen, self._kept = now, 0, 0

    def _look(self, now: float) -> None:
        """End the window if it is over, and choose the share for the next."""
        elapsed = now - self._began
        if elapsed <= 0.0:
            return  # on a clock that stands still no rate can be told
        if elapsed < self._window and self._kept <= 2.0 * self.target * self._window:
            return
        seen = self._seen / elapsed
        if self.rate is None or seen >= self.rate:
            self.rate = seen
        else:
            # Once for each window that is over: of those in which nothing came nobody has told.
            self.rate += (seen - self.rate) * (1.0 - 0.5 ** max(1.0, elapsed // self._window))
        self.share = 1.0 if self.rate <= self.target else self.target / self.rate
        self._begin_window(now)
