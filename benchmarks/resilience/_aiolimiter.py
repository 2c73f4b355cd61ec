"""aiolimiter: a leaky bucket of one event loop, in which one waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiolimiter

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

ENOUGH = 10**6


def limiter_admit_async(rounds: Rounds) -> Figures:
    """``acquire``."""
    limiter = aiolimiter.AsyncLimiter(ENOUGH, 1_000.0)

    async def main() -> None:
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await limiter.acquire()

    asyncio.run(main())
    # It counts in floats and leaks a thousand in a second.
    check("admitted and not leaked", rounds.operations * 0.5 < limiter._level <= rounds.operations, True)
    return rounds.per_operation()


MEASURES = {"limiter_admit_async": limiter_admit_async}
