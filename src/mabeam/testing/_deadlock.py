"""The error of a program that can never go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mabeam.errors import MabeamError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("DeadlockError",)


@final
class DeadlockError(MabeamError):
    """Nothing can ever run again: no callback is ready, no timer is set, and nothing is in flight outside the loop.

    On a real loop the program would hang.

    Attributes:
        time: the virtual time at which it stopped, in seconds.
        blocked: one description for each task and process that waits, with the place where it does.
    """

    def __init__(self, time: float, blocked: Iterable[str]) -> None:
        """Keep when it happened and who waits for what."""
        self.time = time
        self.blocked = tuple(blocked)
        waiting = (
            "\n".join(self.blocked).replace("\n", "\n  ") or "(nobody: the loop was run with nothing to do)"
        )
        super().__init__(
            f"the program can never go on: at virtual time {time:g} s nothing is ready, no timer is set and nothing is "
            f"in flight outside the event loop.\n  {waiting}\n"
            f"Likely causes: a message that is never sent, a task that waits for itself or for one that has ended, an "
            f"event that nobody sets. If a thread that mabeam did not start is to answer, wait for it inside "
            f"`with loop.outside():`, or mark the test with real_time."
        )
