"""asyncio's semaphore: what one takes for a bulkhead where nothing else is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def bulkhead(rounds: Rounds) -> Figures:
    """``async with semaphore``."""
    rounds.note("no limit of those who wait, no threads, no counts")
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1

    async def main() -> None:
        semaphore = asyncio.Semaphore(10)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    async with semaphore:
                        await function()

    asyncio.run(main())
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


MEASURES = {"bulkhead": bulkhead}
