"""A clock that stands still until it is told otherwise."""

from __future__ import annotations

__all__ = ("HandClock",)


class HandClock:
    """Seconds, moved by hand."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
