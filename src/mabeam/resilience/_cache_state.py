"""What a cache holds: entries by key, when they expire, and what a read of them tells.

Pure: the time is passed in (seconds, never going back), and nothing waits. It is the hot part of every read, so it changes
in place. No step looks at all entries. What has expired is found at its read, and otherwise from a heap by time: each
``put`` takes a few that are due, and no live entry is evicted while an expired one takes up room.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from mabeam.resilience._eviction_state import MOST_FREQUENT, Entry, S3Fifo

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("CacheState", "Gone", "Miss")

Miss: TypeAlias = Literal["stale", "expired", "not_found"]
"""Why a read is no hit."""

_DUE_PER_PUT = 8
_HEAP_SLACK = 64


@final
class Gone:
    """What a change has removed. The caller lets go of it outside of its lock, for values may have finalizers.

    Attributes:
        replaced: the earlier entry of the key.
        expired: entries whose time was over.
        evicted: entries that had to make room.
        refused: the new entry was not taken.
    """

    __slots__ = ("evicted", "expired", "refused", "replaced")

    def __init__(self) -> None:
        """Nothing yet."""
        self.replaced: Entry | None = None
        self.expired: list[Entry] = []
        self.evicted: list[Entry] = []
        self.refused = False


@final
class CacheState:
    """Entries, their limits, and counts of what was done.

    Attributes:
        entries: by key; some may have expired.
        policy: decides which goes when it is full.
        hits: reads that found a fresh value.
        stale: reads that found one that may be used while it is loaded anew.
        expired: reads that found one whose time was over.
        not_found: reads that found nothing.
        puts: values stored.
        evicted: entries that had to make room.
        removed_expired: entries removed because their time was over.
        deleted: entries deleted by hand, those of ``clear`` included.
        refused: values that were not stored.
    """

    __slots__ = (
        "_heap",
        "_number",
        "deleted",
        "entries",
        "evicted",
        "expired",
        "hits",
        "not_found",
        "policy",
        "puts",
        "refused",
        "removed_expired",
        "stale",
    )

    def __init__(self, max_entries: int | None, max_weight: float | None) -> None:
        """Empty."""
        self.entries: dict[Hashable, Entry] = {}
        self.policy = S3Fifo(max_entries, max_weight)
        # Time, number and key of entries that will die. The key and not the entry: what was deleted is not kept alive here.
        self._heap: list[tuple[float, int, Hashable]] = []
        self._number = 0
        self.hits = self.stale = self.expired = self.not_found = 0
        self.puts = self.evicted = self.removed_expired = self.deleted = self.refused = 0

    def find(self, key: Hashable, now: float) -> Entry | None:
        """The fresh entry of a key, and count a hit; anything else is :meth:`missed` in the same breath."""
        entry = self.entries.get(key)
        if entry is not None and now < entry.expires:
            self.hits += 1
            if entry.frequency < MOST_FREQUENT:
                entry.frequency += 1
            return entry
        return None

    def missed(self, key: Hashable, now: float) -> tuple[Miss, Entry | None]:
        """Why there was nothing to find, and count that.

        Returns:
            ``stale`` with the entry, which stays; ``expired`` with the entry, which has been removed; or ``not_found``.
        """
        entry = self.entries.get(key)
        if entry is None:
            self.not_found += 1
            return "not_found", None
        if now < entry.dies:
            self.stale += 1
            if entry.frequency < MOST_FREQUENT:
                entry.frequency += 1
            return "stale", entry
        self.expired += 1
        self.removed_expired += 1
        self._remove(entry)
        return "expired", entry

    def put(
        self,
        key: Hashable,
        value: object,
        *,
        weight: float,
        expires: float,
        dies: float,
        now: float,
    ) -> Gone:
        """Store a value, in the place of an earlier one of the key if there is one.

        Not taken is a value that is heavier than all that the cache may hold, and one that has expired already while the
        cache is full; the earlier one goes all the same, for it is out of date.
        """
        gone = Gone()
        if self._heap and self._heap[0][0] <= now:
            self._expire(now, gone.expired, _DUE_PER_PUT)
        replaced = self.entries.get(key)
        queue = None if replaced is None else replaced.queue
        if replaced is not None:
            gone.replaced = replaced
            self._remove(replaced)
        policy = self.policy
        if weight > policy.max_weight or (dies <= now and policy.is_full_for(weight)):
            self.refused += 1
            gone.refused = True
            return gone
        while policy.is_full_for(weight):
            if self._expire(now, gone.expired, 1):
                continue
            victim = policy.evict()
            assert victim is not None
            del self.entries[victim.key]
            self.evicted += 1
            gone.evicted.append(victim)
        self._number += 1
        entry = Entry(key, value, weight=weight, expires=expires, dies=dies, number=self._number)
        if replaced is None:
            policy.add(entry)
        else:
            assert queue is not None
            policy.add_again(entry, replaced, queue)
        self.entries[key] = entry
        self.puts += 1
        if dies < math.inf:
            self._will_die(entry)
        return gone

    def delete(self, key: Hashable) -> Entry | None:
        """Remove what is under a key, expired or not."""
        entry = self.entries.get(key)
        if entry is not None:
            self._remove(entry)
            self.deleted += 1
        return entry

    def delete_entry(self, entry: Entry) -> bool:
        """Remove this very entry, not one that has taken its place."""
        if self.entries.get(entry.key) is not entry:
            return False
        self._remove(entry)
        self.deleted += 1
        return True

    def clear(self) -> dict[Hashable, Entry]:
        """Remove everything.

        Returns:
            What there was, for the caller to let go of: still linked with each other, so to be freed at once they want
            :meth:`Entry.unlink`. That takes time for each, and no lock.
        """
        entries = self.entries
        self.entries = {}
        self._heap = []
        self.policy.clear()
        self.deleted += len(entries)
        return entries

    def expire(self, now: float) -> list[Entry]:
        """Remove everything whose time is over.

        Returns:
            The entries removed, for the caller to let go of.
        """
        gone: list[Entry] = []
        self._expire(now, gone, math.inf)
        return gone

    def _expire(self, now: float, gone: list[Entry], most: float) -> bool:
        """Remove at most so many entries that are due; whether there was one."""
        heap, found = self._heap, 0
        while heap and heap[0][0] <= now and found < most:
            _, number, key = heapq.heappop(heap)
            entry = self.entries.get(key)
            # Entries that were replaced or deleted have left their time here.
            if entry is not None and entry.number == number:
                self._remove(entry)
                self.removed_expired += 1
                gone.append(entry)
                found += 1
        return found > 0

    def _remove(self, entry: Entry) -> None:
        del self.entries[entry.key]
        self.policy.remove(entry)

    def _will_die(self, entry: Entry) -> None:
        if len(self._heap) > 2 * len(self.entries) + _HEAP_SLACK:
            # More than half of it is about entries that have gone: made anew, which each of them has paid for.
            self._heap = [
                (each.dies, each.number, each.key) for each in self.entries.values() if each.dies < math.inf
            ]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (entry.dies, entry.number, entry.key))
