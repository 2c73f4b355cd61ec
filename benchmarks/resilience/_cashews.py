"""cashews with its memory back end: an async cache in front of whatever stores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cashews import Cache

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def _cache(size: int) -> Any:
    cache = Cache()
    cache.setup(f"mem://?size={size}&check_interval=300")
    return cache


def cache_get(rounds: Rounds) -> Figures:
    """``await cache.get``."""

    async def main() -> int:
        cache = _cache(10_000)
        for key in range(10_000):
            await cache.set(f"{key}", key + 1, expire=300)
        keys = [str(key) for key in range(9_000, 10_000)]
        hits = 0
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size // 1_000):
                    for name in keys:
                        await cache.get(name)
            hits += sum([await cache.get(name) is not None for name in keys]) * rounds.size // 1_000
        await cache.close()
        return hits

    check("hits", asyncio.run(main()), rounds.operations)
    return rounds.per_operation()


def cache_put(rounds: Rounds) -> Figures:
    """``await cache.set``."""

    async def main() -> object:
        cache = _cache(1_000)
        for key in range(1_000):
            await cache.set(f"before {key}", key, expire=300)
        for number in rounds:
            keys = [str(key) for key in range(number * rounds.size + 1, (number + 1) * rounds.size + 1)]
            with rounds.timing():
                for name in keys:
                    await cache.set(name, 1, expire=300)
        last = await cache.get(f"{rounds.operations}")
        await cache.close()
        return last

    check("the last is there", asyncio.run(main()), 1)
    return rounds.per_operation()


def cached_call(rounds: Rounds) -> Figures:
    """``@cache(ttl=...)``."""
    calls = 0

    async def main() -> None:
        cache = _cache(1_000)

        @cache(ttl=300)  # type: ignore[untyped-decorator]  # the peer may not be installed where types are checked
        async def function(number: int) -> int:
            nonlocal calls
            calls += 1
            return number

        await function(7)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await function(7)
        await cache.close()

    asyncio.run(main())
    check("calls", calls, 1)
    return rounds.per_operation()


MEASURES = {"cache_get": cache_get, "cache_put": cache_put, "cached_call": cached_call}
