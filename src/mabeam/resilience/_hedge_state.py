"""When a hedge starts another attempt, and when it is over. Pure.

After "The Tail at Scale" (Dean and Barroso, 2013): a second request after the time in which most answer costs little and cuts
off the slow end.
"""

from __future__ import annotations

__all__ = ("HedgeState",)


class HedgeState:
    """One hedged call.

    Attributes:
        started: attempts that were started.
        running: attempts that have not ended.
    """

    __slots__ = ("_attempts", "running", "started")

    def __init__(self, attempts: int) -> None:
        """No attempt runs."""
        self._attempts = attempts
        self.started = 0
        self.running = 0

    @property
    def may_start(self) -> bool:
        """Whether there may be a further attempt."""
        return self.started < self._attempts

    @property
    def is_lost(self) -> bool:
        """Whether no attempt runs, and there will be none."""
        return self.running == 0 and not self.may_start

    def start(self) -> int:
        """Start an attempt; its number, from 1."""
        self.started += 1
        self.running += 1
        return self.started

    def failed(self) -> bool:
        """An attempt has failed; whether the next one is to start at once."""
        self.running -= 1
        return self.may_start
