"""cachetools: TTLCache for the times, LRUCache for the hit ratio. Neither takes a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cachetools

from benchmarks._rounds import check
from benchmarks.resilience._ratios import ENTRIES, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES", "asking")


def asking(cache: Any) -> Callable[[int], bool]:
    """Ask a cache of cachetools for a key, and put it if it is not there."""

    def ask(key: int) -> bool:
        try:
            found: bool = cache[key]
        except KeyError:
            cache[key] = True
            return False
        return found

    return ask


def cache_get(rounds: Rounds) -> Figures:
    """``TTLCache.get``."""
    cache: Any = cachetools.TTLCache(10_000, 300.0)
    for key in range(10_000):
        cache[key] = key + 1
    keys = range(9_000, 10_000)
    hits = 0
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // 1_000):
                for key in keys:
                    cache.get(key)
        hits += sum(cache.get(key) == key + 1 for key in keys) * rounds.size // 1_000
    check("hits", hits, rounds.operations)
    return rounds.per_operation()


def cache_put(rounds: Rounds) -> Figures:
    """``TTLCache[key] = value``."""
    cache: Any = cachetools.TTLCache(1_000, 300.0)
    for key in range(1_000):
        cache[-key] = key
    for number in rounds:
        keys = range(number * rounds.size + 1, (number + 1) * rounds.size + 1)
        with rounds.timing():
            for key in keys:
                cache[key] = key
    check("entries", (len(cache), cache.get(rounds.operations)), (1_000, rounds.operations))
    return rounds.per_operation()


def hit_ratio(rounds: Rounds) -> Figures:
    """``LRUCache``."""
    return ratios(lambda: asking(cachetools.LRUCache(ENTRIES)), rounds.size)


MEASURES = {"cache_get": cache_get, "cache_put": cache_put, "hit_ratio": hit_ratio}
