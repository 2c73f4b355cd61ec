"""Which entry of a full cache goes: S3-FIFO, after Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023).

Three queues, first in, first out. A new key waits in a *small* one, a tenth of the cache; if nobody asked for it twice by
the time it comes out, it goes, and its hash is remembered in the *ghost* queue. A key that was asked for, or that comes
back while it is remembered, lives in the *main* queue, from whose end it is sent round again as often as it was asked for,
three times at most. So a read only counts to three, and what is read once (a scan) cannot drive out what is read often.

Chosen by measurement: ``python -m benchmarks.resilience.hit_ratios``. Pure; hot, so it changes in place.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, final

__all__ = ("MOST_ROUNDS", "Entry", "Queue", "S3Fifo")

_SMALL_SHARE = 0.1
MOST_FREQUENT = 3
#: Entries that are sent round again for one that goes. Where all are popular this ends the search: nobody waits for a walk
#: over the whole cache, and the entry that then goes is as good as any.
MOST_ROUNDS = 256


@final
class Entry:
    """What is kept under a key. Never changed but for its place; another value is another entry.

    Attributes:
        key: its key.
        value: its value.
        weight: what it counts for.
        expires: the time at which it is no longer fresh.
        dies: the time at which it must not be used any more, not even as a stale value.
        number: tells entries of one key apart.
        frequency: how often it was asked for lately, 3 at most.
        queue: where it is; ``None`` when it has gone.
    """

    __slots__ = (
        "dies",
        "expires",
        "frequency",
        "key",
        "newer",
        "number",
        "older",
        "queue",
        "refreshing",
        "value",
        "weight",
    )

    def __init__(
        self, key: Any, value: Any, *, weight: float, expires: float, dies: float, number: int
    ) -> None:
        """Nowhere yet."""
        self.key = key
        self.value = value
        self.weight = weight
        self.expires = expires
        self.dies = dies
        self.number = number
        self.frequency = 0
        self.refreshing = False
        self.queue: Queue | None = None
        self.newer: Entry | None = None
        self.older: Entry | None = None

    def unlink(self) -> None:
        """Refer to nothing but key and value: in a queue that is given up, neighbours would keep each other alive."""
        self.newer = self.older = self.queue = None


@final
class Queue:
    """Entries in the order in which they came, linked through themselves: any of them leaves in one step.

    Attributes:
        count: how many there are.
        weight: what they count for together.
    """

    __slots__ = ("_end", "count", "weight")

    def __init__(self) -> None:
        """Empty."""
        # The ring is closed by an entry that is none: nothing has to be asked about ends.
        end = self._end = Entry.__new__(Entry)
        end.newer = end.older = end
        self.count = 0
        self.weight = 0.0

    def push(self, entry: Entry) -> None:
        """Add as the newest."""
        end = self._end
        newest = end.older
        assert newest is not None
        entry.older, entry.newer = newest, end
        newest.newer = end.older = entry
        entry.queue = self
        self.count += 1
        self.weight += entry.weight

    def remove(self, entry: Entry) -> None:
        """Take out, wherever it is."""
        older, newer = entry.older, entry.newer
        assert older is not None
        assert newer is not None
        older.newer, newer.older = newer, older
        # Not to itself either: a value that has gone is freed at once, without the garbage collector.
        entry.older = entry.newer = None
        entry.queue = None
        self.count -= 1
        # An empty queue weighs nothing, whatever rounding has left of floats.
        self.weight = self.weight - entry.weight if self.count else 0.0

    def oldest(self) -> Entry | None:
        """The next to come out."""
        oldest = self._end.newer
        return None if oldest is self._end else oldest


@final
class S3Fifo:
    """The queues of one cache.

    Attributes:
        max_entries: most entries; infinite for no limit.
        max_weight: most weight, likewise.
        count: entries.
        weight: what they count for together.
        small: new keys.
        main: keys that have been asked for.
        ghosts: hashes of keys that left the small queue, the latest last.
    """

    __slots__ = (
        "_small_entries",
        "_small_weight",
        "ghosts",
        "main",
        "max_entries",
        "max_weight",
        "small",
    )

    def __init__(self, max_entries: int | None, max_weight: float | None) -> None:
        """Empty; ``None`` is no limit."""
        self.max_entries: float = math.inf if max_entries is None else max_entries
        self.max_weight: float = math.inf if max_weight is None else max_weight
        # Of a cache with one or two entries a tenth is none; the small queue still has its turn.
        self._small_entries: float = (
            math.inf if max_entries is None else max(1, int(max_entries * _SMALL_SHARE))
        )
        self._small_weight = self.max_weight * _SMALL_SHARE
        self.small = Queue()
        self.main = Queue()
        self.ghosts: OrderedDict[int, None] = OrderedDict()

    @property
    def count(self) -> int:
        """Entries in both queues."""
        return self.small.count + self.main.count

    @property
    def weight(self) -> float:
        """What they count for together."""
        return self.small.weight + self.main.weight

    def is_full_for(self, weight: float) -> bool:
        """Is there no room for one more of this weight? There always is some for the first."""
        count = self.small.count + self.main.count
        return count >= self.max_entries or (
            count > 0 and self.small.weight + self.main.weight + weight > self.max_weight
        )

    def add(self, entry: Entry) -> None:
        """Admit a new key: to the main queue if it was here not long ago, else to the small one."""
        name = hash(entry.key)
        if name in self.ghosts:
            del self.ghosts[name]
            self.main.push(entry)
        else:
            self.small.push(entry)

    def add_again(self, entry: Entry, replaced: Entry, queue: Queue) -> None:
        """Admit another value of a key that is here: where the one was that it replaces, and as popular."""
        entry.frequency = replaced.frequency
        queue.push(entry)

    def remove(self, entry: Entry) -> None:
        """Take an entry out that is in one of the queues."""
        assert entry.queue is not None
        entry.queue.remove(entry)

    def evict(self) -> Entry | None:
        """Take out the entry that is worth least; ``None`` when there is none."""
        while (entry := self.small.oldest()) is not None and (self._small_is_due() or self.main.count == 0):
            self.small.remove(entry)
            if entry.frequency <= 1:
                self._remember(entry)
                return entry
            entry.frequency = 0
            self.main.push(entry)
            if self._main_is_due():
                break
        return self._evict_from_main()

    def clear(self) -> None:
        """Forget everything, ghosts included."""
        self.small, self.main = Queue(), Queue()
        self.ghosts.clear()

    def _evict_from_main(self) -> Entry | None:
        for _ in range(MOST_ROUNDS):
            entry = self.main.oldest()
            if entry is None:
                return None
            self.main.remove(entry)
            if entry.frequency == 0:
                return entry
            entry.frequency -= 1
            self.main.push(entry)
        entry = self.main.oldest()
        assert entry is not None
        self.main.remove(entry)
        return entry

    def _small_is_due(self) -> bool:
        return self.small.count >= self._small_entries or self.small.weight >= self._small_weight

    def _main_is_due(self) -> bool:
        # Infinity less infinity is no number, and nothing is greater than that: what has no limit is never due.
        return (
            self.main.count > self.max_entries - self._small_entries
            or self.main.weight > self.max_weight - self._small_weight
        )

    def _remember(self, entry: Entry) -> None:
        ghosts, name = self.ghosts, hash(entry.key)
        ghosts[name] = None
        ghosts.move_to_end(name)  # another key of the same hash may have been there
        # As many as the main queue may have; where only weight is limited, as many as there are entries now.
        most = self.count if self.max_entries == math.inf else self.max_entries - self._small_entries
        while len(ghosts) > max(1, most):
            ghosts.popitem(last=False)
