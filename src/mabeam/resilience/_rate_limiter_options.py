"""What a rate limiter is told when it is made, checked as a whole; and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard, final

from mabeam.errors import UsageError
from mabeam.resilience._checks import is_number, one_of, surroundings

__all__ = (
    "OnLimit",
    "RateLimitStatus",
    "RateLimiterStatistics",
    "check_cost",
    "check_limits",
    "check_timeout",
)

_LONGEST_PERIOD = 1e12  # seconds, which are counted in nanoseconds

OnLimit: TypeAlias = Literal["wait", "reject"]
"""What a decorated function or a block does when it cannot be admitted at once."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitStatus:
    """How one key stands at one moment. It may be otherwise in the next.

    Attributes:
        remaining: how many would be admitted now.
        retry_after: seconds until one would be; 0 when one would be now. Those who wait already come first, and are counted.
        reset_after: seconds until a whole burst would be.
        waiting: how many wait.
    """

    remaining: int
    retry_after: float
    reset_after: float
    waiting: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimiterStatistics:
    """What a rate limiter has come to since it was made.

    Attributes:
        keys: keys that it watches now; those that have been idle are counted until they are forgotten.
        waiting: how many wait now.
        admitted: admissions, after a wait or at once.
        delayed: those that had to wait.
        rejected: how often nothing was admitted.
        cancelled: how many were cancelled while they waited.
    """

    keys: int
    waiting: int
    admitted: int
    delayed: int
    rejected: int
    cancelled: int


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_limits(
    *,
    limit: object,
    period: object,
    burst: object,
    max_wait: object,
    on_limit: object,
    max_keys: object,
    name: object,
    clock: object,
    bus: object,
) -> None:
    """See to it that a rate limiter can be made of this.

    Raises:
        UsageError: it cannot; every problem is named.
    """
    found: list[str] = []
    if not _is_count(limit):
        found.append(
            f"limit expects a whole number >= 1, got {limit!r}; for less than one in a period take a longer period"
        )
    if not (is_number(period) and 1e-6 <= period <= _LONGEST_PERIOD):
        found.append(
            f"period expects seconds, at least 0.000001, at most {_LONGEST_PERIOD:g}, got {period!r}"
        )
    if burst is not None and not _is_count(burst):
        found.append(f"burst expects a whole number >= 1, or None for as many as limit; got {burst!r}")
    if not (is_number(max_wait) and max_wait >= 0):
        found.append(f"max_wait expects seconds >= 0, or math.inf for no limit; got {max_wait!r}")
    found += one_of("on_limit", on_limit, ("wait", "reject"))
    if not _is_count(max_keys):
        found.append(f"max_keys expects a whole number >= 1, got {max_keys!r}")
    found += surroundings(name, bus, clock)
    if found:
        raise UsageError("RateLimiter: " + "; ".join(found) + ".", problems=found)


def check_cost(cost: object, burst: int) -> None:
    """See to it that a cost can be admitted at all.

    Raises:
        UsageError: it is no cost, or more than a burst.
    """
    if not _is_count(cost):
        raise UsageError(f"cost expects a whole number >= 1, got {cost!r}.")
    if cost > burst:
        raise UsageError(
            f"cost expects at most the burst, which is {burst}, got {cost}: it would never be admitted. Give the limiter a "
            "greater burst, or take what is wanted in several steps."
        )


def check_timeout(timeout: object) -> None:
    """See to it that a timeout is one.

    Raises:
        UsageError: it is none.
    """
    if timeout is not None and not (is_number(timeout) and timeout >= 0):
        raise UsageError(
            f"timeout expects seconds >= 0, or None for max_wait of the limiter; got {timeout!r}."
        )
