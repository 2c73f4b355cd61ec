"""How many steps coroutines take before the event loop has its turn.

A coroutine goes on in a task, and asyncio lets all tasks that are ready take a step before it looks for I/O and timers again:
with 10,000 of them that takes a tenth of a second. So whoever was woken by a process (a message, an answer), begins, or has only
let the others go first, waits here when the time for steps is over. Whom a timer, a socket or a lock of asyncio woke never does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ("Steps",)

_STEPS_BEFORE_LOOKING: Final = 16
"""After so many steps the time is looked at: in programs that are not busy these are few turns of the loop, not one."""
_STEPS_PER_LOOK: Final = 4
"""After how many it is looked at again within the same turn."""
_SECONDS: Final = 0.001
"""How long coroutines take steps before the event loop has its turn."""
_MOST_AT_ONCE: Final = 4_096
_QUICK: Final = 64
"""Steps are quick where more than so many of those who waited had the time for one in a turn."""


@final
class Steps:
    """Those who wait for their step, in the order in which they came.

    Guarantees:
        Who waits is let through before who comes after; in each turn of the loop at least one is. Nobody waits while there is
        time, and nothing is looked at for the first steps of a turn.

    Attributes:
        left: how many steps may be taken before :meth:`wait` is asked.
        is_crowded: somebody waits.
    """

    __slots__ = (
        "_again",
        "_at_once",
        "_is_marked",
        "_let_through",
        "_loop",
        "_stopwatch",
        "_turned",
        "_until",
        "_waiting",
        "is_crowded",
        "left",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stopwatch: Callable[[], float], turned: Callable[[], None]
    ) -> None:
        """Nobody waits. ``turned`` is called when the loop has had its turn."""
        self._loop = loop
        self._stopwatch = stopwatch
        self._turned = turned
        self.left = _STEPS_BEFORE_LOOKING
        self.is_crowded = False
        self._until: float | None = None
        """Until when steps are taken in this turn; ``None`` before the first that looks."""
        self._is_marked = False
        """``_end_turn`` is among what the loop calls next."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._again: list[asyncio.Future[None]] = []
        """Those that were called in this turn and found no time left: they are the first in the next."""
        self._at_once = _STEPS_BEFORE_LOOKING
        self._let_through = 0

    def wait(self) -> asyncio.Future[None] | None:
        """Ask for a step when none is ``left``.

        Returns:
            What to wait for, and then :meth:`called`; ``None`` if the step may be taken now.
        """
        if not self._waiting and self._is_time():
            self.left = _STEPS_PER_LOOK
            return None
        turn = self._loop.create_future()
        self.is_crowded = True
        self._waiting.append(turn)
        return turn

    def called(self) -> asyncio.Future[None] | None:
        """As :meth:`wait`, for one that has waited and was called: it may be that there is no time left in this turn either.

        Each looks at the time; where steps are quick, every fourth.
        """
        if (self._at_once > _QUICK and self._let_through % _STEPS_PER_LOOK) or self._is_time():
            self._let_through += 1
            return None
        turn = self._loop.create_future()
        self.is_crowded = True
        self._again.append(turn)
        return turn

    def _is_time(self) -> bool:
        """Whether steps may be taken in this turn."""
        now = self._stopwatch()
        if self._until is None:
            self._until = now + _SECONDS
            self._mark()
        return now <= self._until

    def _mark(self) -> None:
        if not self._is_marked:
            self._loop.call_soon(self._end_turn)
            self._is_marked = True

    def _end_turn(self) -> None:
        """All that were ready have had their step, or wait here: call the next, as many as there was time for."""
        self._is_marked = False
        self._until = None
        self._turned()
        waiting = self._waiting
        if self._again:
            self._at_once = max(_STEPS_BEFORE_LOOKING, self._let_through)
            waiting.extendleft(reversed(self._again))
            self._again.clear()
        elif self._let_through >= self._at_once:
            self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
        self._let_through = 0
        called = 0
        while waiting and called < self._at_once:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                called += 1
        self.is_crowded = bool(waiting)
        self.left = 0 if waiting else _STEPS_BEFORE_LOOKING
        if called:
            self._mark()
