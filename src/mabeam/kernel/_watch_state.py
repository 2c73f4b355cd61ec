"""What the watchdog concludes from one look at the loop after the other. Pure decisions.

A loop that is seen at work is asked to answer, and is blocked when it has not after ``limit`` seconds. Two things make that
less simple. C code may hold the interpreter's lock, so that nobody looks until it is over. And a loop that turns very often may
keep the watchdog's thread from the lock for as long, since it takes it back each time before the thread is awake; that one is
not blocked at all.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ("Doing", "Looks", "Step")

Doing: TypeAlias = Literal["works", "waits", "dark"]
"""What the loop is seen to do; in the dark it may be either."""
Step: TypeAlias = Literal["end", "report", "missed", "ask"]
"""``end``: what was reported is over. ``report``: something blocks the loop. ``missed``: something did, while nobody could look.
``ask``: have it answer."""

SECONDS_IN_THE_DARK: Final = 1.0
"""How long a loop in the dark is taken to wait."""
TURNS_OF_A_BLOCKED_LOOP: Final = 2
"""One with more turns between two looks was not blocked in all of that time."""


class Looks:
    """A row of looks at one loop.

    Attributes:
        since: when what blocks the loop was noticed, while it does; else when the loop was asked.
    """

    __slots__ = ("_answered", "_asks", "_limit", "_looked", "_pause", "_reported", "_turns", "since")

    def __init__(self, limit: float, pause: float, now: float) -> None:
        """Nothing has been seen yet.

        Args:
            limit: seconds after which a loop that does not answer is blocked.
            pause: seconds that the watchdog means to sleep between two looks.
            now: when it begins.
        """
        self._limit = limit
        self._pause = pause
        self._looked = self._answered = self.since = now
        self._turns = 0
        self._asks = False
        self._reported = False

    def look(self, now: float, doing: Doing, *, turns: int, answered: float | None) -> tuple[Step, ...]:
        """Conclude what is to be done, in this order.

        Args:
            now: seconds.
            doing: what the loop is seen to do.
            turns: how often it has turned in its life, as far as that is known.
            answered: when it has answered the last question; ``None`` when it has not.
        """
        slept_too_long = now - self._looked - self._pause > self._limit
        has_turned = turns - self._turns > TURNS_OF_A_BLOCKED_LOOP
        asleep_from, self._looked, self._turns = self._looked + self._pause, now, turns
        steps: list[Step] = []
        if self._asks:
            is_late = (now if answered is None else answered) - self.since >= self._limit
            if answered is None:
                if is_late and not self._reported:
                    self._reported = True
                    return ("report",)
                return ()
            self._asks, self._answered = False, answered
            if self._reported:
                self._reported = False
                steps.append("end")
            elif is_late:
                steps.append("missed")  # where the loop is by now has nothing to do with it
        elif slept_too_long and not has_turned and doing != "waits":
            # What holds the interpreter's lock has only just let go of it: this is the moment to see where it is.
            self._reported, self._asks, self.since = True, True, asleep_from
            return ("report", "ask")
        if doing == "works" or (doing == "dark" and now - self._answered >= SECONDS_IN_THE_DARK):
            self._asks, self.since = True, now
            steps.append("ask")
        return tuple(steps)
