"""purgatory: circuit breakers by name, made by a factory; used as context managers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import purgatory

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def breaker_async(rounds: Rounds) -> Figures:
    """``async with breaker``, which is got once."""
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1

    async def main() -> None:
        factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=60)
        breaker = await factory.get_breaker("name")
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    async with breaker:
                        await function()

    asyncio.run(main())
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


def breaker_sync(rounds: Rounds) -> Figures:
    """``with breaker``, which is got once."""
    calls = 0

    def function() -> None:
        nonlocal calls
        calls += 1

    breaker = purgatory.SyncCircuitBreakerFactory(default_threshold=5, default_ttl=60).get_breaker("name")
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                with breaker:
                    function()
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


MEASURES = {"breaker_async": breaker_async, "breaker_sync": breaker_sync}
