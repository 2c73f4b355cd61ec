"""pybreaker: a thread-safe circuit breaker for plain functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pybreaker

from benchmarks._rounds import check

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def breaker_sync(rounds: Rounds) -> Figures:
    """``call``."""
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    calls = 0

    def function() -> None:
        nonlocal calls
        calls += 1

    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                breaker.call(function)
    check("calls", calls, rounds.operations)
    return rounds.per_operation()


MEASURES = {"breaker_sync": breaker_sync}
