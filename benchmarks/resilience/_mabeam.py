"""mabeam: Cache and RateLimiter; breaker and bulkhead are in ``_mabeam_policies.py``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._rounds import check
from benchmarks.resilience import _mabeam_policies
from benchmarks.resilience._ratios import ENTRIES, ratios
from mabeam.resilience import Cache, RateLimiter, cached

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

ENOUGH = 10**6


def cache_get(rounds: Rounds) -> Figures:
    """``Cache.get``."""
    cache: Cache[int, int] = Cache(max_entries=10_000, ttl=300.0)
    for key in range(10_000):
        cache.put(key, key)
    keys = range(9_000, 10_000)
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // 1_000):
                for key in keys:
                    cache.get(key)
    check("hits", cache.statistics().hits, rounds.operations)
    return rounds.per_operation()


def cache_put(rounds: Rounds) -> Figures:
    """``Cache.put``."""
    cache: Cache[int, int] = Cache(max_entries=1_000, ttl=300.0)
    for key in range(1_000):
        cache.put(-key, key)
    for number in rounds:
        keys = range(number * rounds.size + 1, (number + 1) * rounds.size + 1)
        with rounds.timing():
            for key in keys:
                cache.put(key, key)
    check("entries that went", cache.statistics().evicted, rounds.operations)
    return rounds.per_operation()


def cached_call(rounds: Rounds) -> Figures:
    """``@cached``."""
    cache: Cache[object, int] = Cache(max_entries=1_000, ttl=300.0)
    calls = 0

    @cached(cache)
    async def function(number: int) -> int:
        nonlocal calls
        calls += 1
        return number

    async def main() -> None:
        await function(7)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await function(7)

    asyncio.run(main())
    check("calls and hits", (calls, cache.statistics().hits), (1, rounds.operations))
    return rounds.per_operation()


def hit_ratio(rounds: Rounds) -> Figures:
    """``get`` and ``put``."""

    def make() -> Callable[[int], bool]:
        cache: Cache[int, bool] = Cache(max_entries=ENTRIES)

        def ask(key: int) -> bool:
            return cache.get(key, False) or not cache.put(key, True)

        return ask

    return ratios(make, rounds.size)


def limiter_admit(rounds: Rounds) -> Figures:
    """``try_acquire``."""
    limiter = RateLimiter(limit=ENOUGH, period=1_000.0)
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                limiter.try_acquire("key")
    check("admitted", limiter.statistics().admitted, rounds.operations)
    return rounds.per_operation()


def limiter_admit_async(rounds: Rounds) -> Figures:
    """``acquire``."""
    limiter = RateLimiter(limit=ENOUGH, period=1_000.0)

    async def main() -> None:
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await limiter.acquire()

    asyncio.run(main())
    check("admitted", limiter.statistics().admitted, rounds.operations)
    return rounds.per_operation()


def limiter_reject(rounds: Rounds) -> Figures:
    """``try_acquire``."""
    limiter = RateLimiter(limit=1, period=100_000.0)
    check("the first is admitted", limiter.try_acquire("key"), True)
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                limiter.try_acquire("key")
    check("rejected", limiter.statistics().rejected, rounds.operations)
    return rounds.per_operation()


def limiter_keys(rounds: Rounds) -> Figures:
    """``try_acquire``, each key in turn."""
    limiter = RateLimiter(limit=ENOUGH, period=1_000.0)
    keys = [f"key {number}" for number in range(5_000)]
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // len(keys)):
                for key in keys:
                    limiter.try_acquire(key)
    check("admitted", limiter.statistics().admitted, rounds.operations)
    return rounds.per_operation()


MEASURES = {
    **_mabeam_policies.MEASURES,
    "cache_get": cache_get,
    "cache_put": cache_put,
    "cached_call": cached_call,
    "hit_ratio": hit_ratio,
    "limiter_admit": limiter_admit,
    "limiter_admit_async": limiter_admit_async,
    "limiter_reject": limiter_reject,
    "limiter_keys": limiter_keys,
}
