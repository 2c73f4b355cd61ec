"""The error of a simulated run that does not end."""

from __future__ import annotations

from typing import final

from mabeam.errors import MabeamError

__all__ = ("EndlessError",)


@final
class EndlessError(MabeamError):
    """A simulated program went on for longer than it was given.

    Attributes:
        limit: which limit it has reached, in words.
        time: the virtual time at which it was ended, in seconds.
    """

    def __init__(self, limit: str, time: float, hint: str) -> None:
        """Keep which limit was reached, and when."""
        self.limit = limit
        self.time = time
        super().__init__(
            f"the program did not end: it was stopped after {limit}, at virtual time {time:g} s. {hint}"
        )
