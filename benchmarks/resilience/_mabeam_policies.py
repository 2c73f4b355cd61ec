"""mabeam: CircuitBreaker and Bulkhead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._rounds import check
from mabeam.resilience import Bulkhead, CircuitBreaker

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def _breaker() -> CircuitBreaker:
    """One that uses all it has: both rates over a window, slow calls, and a limit of failures in a row."""
    return CircuitBreaker(
        "service",
        consecutive_failures=5,
        failure_rate=0.5,
        slow_call_rate=0.5,
        slow_call_seconds=1.0,
        window_calls=100,
    )


def breaker_async(rounds: Rounds) -> Figures:
    """``call``."""
    breaker = _breaker()

    async def function() -> None:
        """Return at once."""

    async def main() -> None:
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await breaker.call(function)

    asyncio.run(main())
    check("calls counted", breaker.statistics().succeeded, rounds.operations)
    return rounds.per_operation()


def breaker_sync(rounds: Rounds) -> Figures:
    """``call_sync``."""
    breaker = _breaker()

    def function() -> None:
        """Return at once."""

    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                breaker.call_sync(function)
    check("calls counted", breaker.statistics().succeeded, rounds.operations)
    return rounds.per_operation()


def bulkhead(rounds: Rounds) -> Figures:
    """``async with bulkhead``."""
    limit = Bulkhead(max_concurrent=10)
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1

    async def main() -> None:
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    async with limit:
                        await function()

    asyncio.run(main())
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


MEASURES = {"breaker_async": breaker_async, "breaker_sync": breaker_sync, "bulkhead": bulkhead}
