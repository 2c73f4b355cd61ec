"""Places and the queue for them. Pure: who waits is an object that the shell wakes.

A place that is left goes to the first who waits without becoming free in between, so nobody overtakes, and as long as there is
a free place nobody waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ("BulkheadState",)

W = TypeVar("W")


class BulkheadState(Generic[W]):
    """How many are inside, and who waits.

    Attributes:
        places: how many may be inside at once.
        max_queue: how many may wait.
        inside: how many are inside.
        entered: how many have got a place so far.
        rejected: how many have been turned away.
    """

    __slots__ = ("_waiting", "entered", "inside", "max_queue", "places", "rejected")

    def __init__(self, places: int, max_queue: int) -> None:
        """Nobody is there."""
        self.places = places
        self.max_queue = max_queue
        self.inside = 0
        self.entered = 0
        self.rejected = 0
        self._waiting: OrderedDict[W, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a place if one is free."""
        if self.inside < self.places:
            self.inside += 1
            self.entered += 1
            return True
        return False

    def queue(self, who: W) -> bool:
        """Wait for a place, if there is room to; to be asked after :meth:`enter`."""
        if len(self._waiting) >= self.max_queue:
            self.rejected += 1
            return False
        self._waiting[who] = None
        return True

    def leave(self) -> W | None:
        """Leave a place; who has it now, if somebody waited."""
        if self._waiting:
            self.entered += 1
            return self._waiting.popitem(last=False)[0]
        self.inside -= 1
        return None

    def withdraw(self, who: W) -> bool:
        """Stop waiting; ``False`` if the place had been given already, and has to be left."""
        if who in self._waiting:
            del self._waiting[who]
            return True
        return False
