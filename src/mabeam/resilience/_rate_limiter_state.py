"""How many are admitted in what time: GCRA, the generic cell rate algorithm (ITU-T I.371), for any number of keys.

Of ``limit`` admissions in ``period`` seconds each takes up one *slot* of ``period / limit`` seconds. Slots of a key follow each
other without overlapping, and one may be used from ``burst`` slots before its end until its own beginning. So in any ``t``
seconds at most ``burst + limit * t / period`` are admitted, whenever they begin: there is no window whose edge could be used
twice. All that has to be known of a key is the end of its last slot.

Pure, and exact: time is counted in *ticks*, the largest parts of a nanosecond of which a slot has a whole number, so that a
burst of 100 is 100, not 99 for a rounding. Hot, so it changes in place.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("GcraState", "Lines")

W = TypeVar("W")

_NANOSECONDS = 1_000_000_000
_LOOKS_PER_KEY = 2
_HEAP_SLACK = 64


@final
class GcraState:
    """The slots of all keys.

    A key whose slots are over is as good as unknown, and is forgotten: two are looked at for each new key. When there are
    ``max_keys`` that are not over, a new key is not admitted: to forget a busy one would give it its burst twice.

    Attributes:
        unit: ticks of a nanosecond; 1 where a slot has a whole number of those.
        slot: ticks of one slot.
        tolerance: ticks of a burst.
        max_keys: most keys.
        ends: the end of the last slot of each key.
    """

    __slots__ = ("_count", "_heap", "ends", "max_keys", "slot", "tolerance", "unit")

    def __init__(self, *, limit: int, period: float, burst: int, max_keys: int) -> None:
        """Nobody was admitted yet."""
        nanoseconds = round(period * _NANOSECONDS)
        common = math.gcd(nanoseconds, limit)
        self.unit = limit // common
        self.slot = nanoseconds // common
        self.tolerance = burst * self.slot
        self.max_keys = max_keys
        self.ends: dict[Hashable, int] = {}
        # Each key with an end that it had: whose slots are over soonest. One that has moved on since is put right when it
        # comes up. The number decides between equal ones, for keys need not be comparable.
        self._heap: list[tuple[int, int, Hashable]] = []
        self._count = 0

    def ticks(self, now: float) -> int:
        """A time in ticks."""
        return int(now * _NANOSECONDS + 0.5) * self.unit

    def seconds(self, ticks: int) -> float:
        """How long it takes for so many ticks to pass, whatever is rounded on the way; 0 for none."""
        return (-(-ticks // self.unit) + 1) / _NANOSECONDS if ticks > 0 else 0.0

    def admit(self, key: Hashable, now: int, cost: int) -> int:
        """Admit at once, if that can be.

        Args:
            key: whose.
            now: the time, in ticks.
            cost: slots to take up, at most the burst.

        Returns:
            0 when admitted; else the ticks until it could be. A key that is unknown after that was one too many.
        """
        end = self.ends.get(key)
        if end is None:
            wait = self._make_room(now)
            if wait == 0:
                end = self.ends[key] = now + cost * self.slot
                self._note(key, end)
            return wait
        end = (max(now, end)) + cost * self.slot
        wait = end - self.tolerance - now
        if wait > 0:
            return wait
        self.ends[key] = end
        return 0

    def admit_one(self, key: Hashable, nanoseconds: int) -> bool:
        """Admit one at once, if that can be: what :meth:`admit` does, for the usual case in one step."""
        now = nanoseconds * self.unit
        end = self.ends.get(key)
        if end is None:
            return self.admit(key, now, 1) == 0
        end = (max(now, end)) + self.slot
        if end - now > self.tolerance:
            return False
        self.ends[key] = end
        return True

    def wait_for(self, key: Hashable, now: int, cost: int) -> int:
        """The ticks until so many slots of a key could be taken up; nothing is changed."""
        return max(0, self.busy(key, now) + cost * self.slot - self.tolerance)

    def remaining(self, key: Hashable, now: int) -> int:
        """How many would be admitted now, one after the other."""
        return (self.tolerance - self.busy(key, now)) // self.slot

    def busy(self, key: Hashable, now: int) -> int:
        """The ticks until all slots of a key are over."""
        return max(0, self.ends.get(key, now) - now)

    def forget(self, key: Hashable) -> bool:
        """Know nothing of a key any more; whether it was known."""
        # Its place in the heap goes when it comes up, as does that of a key that comes back meanwhile.
        return self.ends.pop(key, None) is not None

    def _note(self, key: Hashable, end: int) -> None:
        if len(self._heap) > 2 * len(self.ends) + _HEAP_SLACK:
            # Keys that were forgotten by hand and came back are in it more than once.
            self._heap = [(each, number, known) for number, (known, each) in enumerate(self.ends.items())]
            heapq.heapify(self._heap)
        else:
            self._count += 1
            heapq.heappush(self._heap, (end, self._count, key))

    def _make_room(self, now: int) -> int:
        """Forget keys whose slots are over; the ticks until there is room for a new key, 0 when there is."""
        heap, looks = self._heap, 0
        while heap and (looks < _LOOKS_PER_KEY or len(self.ends) >= self.max_keys):
            looks += 1
            noted, number, key = heap[0]
            end = self.ends.get(key)
            if end is None:
                heapq.heappop(heap)
            elif end <= now:
                heapq.heappop(heap)
                del self.ends[key]
            elif noted < end:
                heapq.heapreplace(heap, (end, number, key))
            elif len(self.ends) >= self.max_keys:
                return end - now
        return 0


@final
class Lines(Generic[W]):
    """Those who wait, by key, in the order they came. Only the first of a key may be admitted.

    Attributes:
        waiting: those who wait for each key, and the cost of each.
    """

    __slots__ = ("_costs", "waiting")

    def __init__(self) -> None:
        """Nobody."""
        # Ordered, for a plain dict looks through all that have left from its front.
        self.waiting: dict[Hashable, OrderedDict[W, int]] = {}
        self._costs: dict[Hashable, int] = {}

    def cost(self, key: Hashable) -> int:
        """What those who wait for a key cost together; 0 when nobody does."""
        return self._costs.get(key, 0)

    def join(self, key: Hashable, waiter: W, cost: int) -> bool:
        """Stand in line; whether this one is the first."""
        line = self.waiting.setdefault(key, OrderedDict())
        line[waiter] = cost
        self._costs[key] = self.cost(key) + cost
        return len(line) == 1

    def leave(self, key: Hashable, waiter: W) -> W | None:
        """Leave the line, admitted or not.

        Returns:
            Who is the first now, if that has changed; he has to be told.
        """
        line = self.waiting.get(key)
        if line is None or waiter not in line:
            return None  # he was passed over, and hears of it only now
        was_first = next(iter(line)) is waiter
        self._costs[key] -= line.pop(waiter)
        if not line:
            del self.waiting[key], self._costs[key]
            return None
        return next(iter(line)) if was_first else None

    def count(self) -> int:
        """How many wait, for all keys together."""
        return sum(len(line) for line in self.waiting.values())
