"""The error of a program in virtual time that does not end."""

from __future__ import annotations

from typing import Final, final

from mabeam.errors import MabeamError

__all__ = ("HINT_SECONDS", "HINT_STEPS", "HINT_THREAD", "EndlessError")

HINT_STEPS: Final = (
    "Likely something never rests: a loop around something that is always ready (`await asyncio.sleep(0)`), processes that send "
    "to themselves or in a ring, or a periodic timer while the rest waits for what never comes. If it just needs more, raise "
    "max_steps."
)
HINT_SECONDS: Final = (
    "Likely it waits for something that never comes, while a periodic timer goes on; if it just needs more, raise "
    "max_virtual_seconds."
)
HINT_THREAD: Final = (
    "A thread has not come back. Threads run one at a time in a simulation, and virtual time stands still meanwhile: one that "
    "waits for another, or for something that the event loop does later, waits for ever, unless it does so through a portal, in a "
    "thread of in_thread, asyncio.to_thread or run_in_executor. `await loop.advance(seconds)` lets time pass all the same."
)


@final
class EndlessError(MabeamError):
    """A program in virtual time went on for longer than it was given.

    Attributes:
        limit: which limit it has reached, in words.
        time: the virtual time at which it was ended, in seconds.
        is_by_thread: it is a thread that was waited for in vain.
    """

    def __init__(self, limit: str, time: float, hint: str) -> None:
        """Keep which limit was reached, and when."""
        self.limit = limit
        self.time = time
        self.is_by_thread = hint == HINT_THREAD
        super().__init__(
            f"the program did not end: it was stopped after {limit}, at virtual time {time:g} s. {hint}"
        )
