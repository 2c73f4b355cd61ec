"""aiobreaker: pybreaker made over for asyncio."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import aiobreaker

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def breaker_async(rounds: Rounds) -> Figures:
    """``call_async``."""
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1

    async def main() -> None:
        breaker = aiobreaker.CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=60))
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await breaker.call_async(function)

    asyncio.run(main())
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


def breaker_sync(rounds: Rounds) -> Figures:
    """``call``."""
    calls = 0

    def function() -> None:
        nonlocal calls
        calls += 1

    breaker = aiobreaker.CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=60))
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                breaker.call(function)
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


MEASURES = {"breaker_async": breaker_async, "breaker_sync": breaker_sync}
