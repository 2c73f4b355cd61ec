"""limits with its memory storage and its fastest strategy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import limits
import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

ENOUGH = 10**6


def limiter_admit(rounds: Rounds) -> Figures:
    """``hit``."""
    limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerDay(ENOUGH)
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                limiter.hit(item, "key")
    left = limiter.get_window_stats(item, "key").remaining
    check("admitted", ENOUGH - left, rounds.operations)
    return rounds.per_operation()


def limiter_admit_async(rounds: Rounds) -> Figures:
    """``await hit``; it does not wait."""
    rounds.note("never waits")
    item = limits.RateLimitItemPerDay(ENOUGH)

    async def main() -> int:
        limiter = limits.aio.strategies.FixedWindowRateLimiter(limits.aio.storage.MemoryStorage())
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await limiter.hit(item, "key")
        left: int = (await limiter.get_window_stats(item, "key")).remaining
        return ENOUGH - left

    check("admitted", asyncio.run(main()), rounds.operations)
    return rounds.per_operation()


def limiter_reject(rounds: Rounds) -> Figures:
    """``hit``."""
    limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerDay(1)
    check("the first is admitted", limiter.hit(item, "key"), True)
    admitted = 0
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                admitted += limiter.hit(item, "key")
    check("admitted", admitted, 0)
    return rounds.per_operation()


def limiter_keys(rounds: Rounds) -> Figures:
    """``hit``, each key in turn."""
    limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerDay(ENOUGH)
    keys = [f"key {number}" for number in range(5_000)]
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // len(keys)):
                for key in keys:
                    limiter.hit(item, key)
    left = limiter.get_window_stats(item, keys[7]).remaining
    check("admitted", ENOUGH - left, rounds.operations // len(keys))
    return rounds.per_operation()


MEASURES = {
    "limiter_admit": limiter_admit,
    "limiter_admit_async": limiter_admit_async,
    "limiter_reject": limiter_reject,
    "limiter_keys": limiter_keys,
}
