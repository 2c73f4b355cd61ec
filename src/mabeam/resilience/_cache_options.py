"""What a cache is told when it is made, checked as a whole; and what it tells: a read's outcome, and counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeGuard, TypeVar, final

from mabeam.errors import UsageError
from mabeam.resilience._checks import is_number, surroundings

__all__ = (
    "CacheLookup",
    "CacheOutcome",
    "CacheStatistics",
    "Default",
    "RunRefresh",
    "check_options",
    "seconds_until_expiry",
    "weight_of",
)

V = TypeVar("V")

CacheOutcome: TypeAlias = Literal["hit", "stale", "expired", "not_found"]
"""What a read came to."""

RunRefresh: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
"""Starts an async function in a task that somebody owns: ``lambda work: group.create_task(work())``."""


class Default(Enum):
    """Stands for "as the cache was made"."""

    TTL = "the ttl of the cache"

    def __repr__(self) -> str:
        """As a reader of a signature needs it."""
        return self.value


@final
class CacheLookup(NamedTuple, Generic[V]):
    """What one read of a cache told, value and reason together.

    Attributes:
        outcome: ``hit``; ``stale``: expired, but within the time in which it may still be used; ``expired``: there was one,
            and its time is over; ``not_found``.
        value: the value of a hit or a stale one, which may be ``None``; else ``None``.
        expires_in: seconds for which a hit is fresh, ``inf`` without an end; 0 for everything else.
    """

    outcome: CacheOutcome
    value: V | None = None
    expires_in: float = 0.0

    @property
    def is_hit(self) -> bool:
        """Was there a fresh value?"""
        return self.outcome == "hit"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """What a cache has come to since it was made.

    Attributes:
        entries: entries now; what has expired is counted until it is removed.
        weight: what they weigh together.
        hits: reads that found a fresh value.
        stale: reads that found a stale one.
        expired: reads that found one whose time was over.
        not_found: reads that found nothing.
        puts: values stored.
        refused: values that were not: heavier than the whole cache, or expired already when it was full.
        evicted: entries that made room for others.
        removed_expired: entries removed because their time was over.
        deleted: entries removed by hand.
        loads: loads that have begun.
        load_failures: loads that raised.
        taken_over: loads whose leader was cancelled and that another went on with.
        loading: loads under way.
    """

    entries: int
    weight: float
    hits: int
    stale: int
    expired: int
    not_found: int
    puts: int
    refused: int
    evicted: int
    removed_expired: int
    deleted: int
    loads: int
    load_failures: int
    taken_over: int
    loading: int

    @property
    def hit_ratio(self) -> float:
        """The share of reads that were hits; 0 before the first read."""
        reads = self.hits + self.stale + self.expired + self.not_found
        return self.hits / reads if reads else 0.0


def _is_seconds(value: object) -> TypeGuard[float]:
    return is_number(value) and value >= 0


def _problem_of_seconds(name: str, value: object, *, default: str) -> str | None:
    if value is None or _is_seconds(value):
        return None
    return f"{name} expects seconds >= 0, or None for {default}; got {value!r}"


def check_options(
    *,
    max_entries: object,
    max_weight: object,
    ttl: object,
    stale_for: object,
    negative_ttl: object,
    negative_errors: object,
    functions: dict[str, object],
    name: object,
    clock: object,
    bus: object,
) -> None:
    """See to it that a cache can be made of this.

    Raises:
        UsageError: it cannot; every problem is named.
    """
    found: list[str | None] = []
    if max_entries is not None and (
        not isinstance(max_entries, int) or not is_number(max_entries) or max_entries < 1
    ):
        found.append(f"max_entries expects a whole number >= 1, or None for no limit; got {max_entries!r}")
    if max_weight is not None and not (is_number(max_weight) and max_weight > 0):
        found.append(f"max_weight expects a number > 0, or None for no limit; got {max_weight!r}")
    found += [
        _problem_of_seconds("ttl", ttl, default="values that do not expire"),
        _problem_of_seconds("negative_ttl", negative_ttl, default="the same as ttl"),
    ]
    if not _is_seconds(stale_for):
        found.append(f"stale_for expects seconds >= 0, got {stale_for!r}")
    if not isinstance(negative_errors, tuple) or not all(
        isinstance(each, type) and issubclass(each, Exception) for each in negative_errors
    ):
        found.append(
            f"negative_errors expects a tuple of subclasses of Exception, got {negative_errors!r}; "
            "write (KeyError,) for a single one"
        )
    elif negative_errors and negative_ttl is None:
        found.append(
            "negative_errors expects a negative_ttl beside it: errors that are remembered without end cannot be got rid of"
        )
    found += [
        f"{name} expects a function, got {function!r}"
        for name, function in functions.items()
        if function is not None and not callable(function)
    ]
    found += surroundings(name, bus, clock)
    problems = tuple(each for each in found if each is not None)
    if problems:
        raise UsageError("Cache: " + "; ".join(problems) + ".", problems=problems)


def seconds_until_expiry(ttl: object) -> float:
    """The seconds for which a value is fresh; ``inf`` for ``None``.

    Raises:
        UsageError: it is no number of seconds.
    """
    if ttl is None:
        return math.inf
    if not _is_seconds(ttl):
        raise UsageError(
            f"ttl expects seconds >= 0, or None for a value that does not expire; got {ttl!r}. "
            "A time computed from a deadline may have passed: 0 stores a value that has expired, max(0, ...) says so."
        )
    return float(ttl)


def weight_of(weight: object) -> float:
    """A weight that can be added up.

    Raises:
        UsageError: it is none.
    """
    if not is_number(weight) or weight < 0 or weight == math.inf:
        raise UsageError(
            f"weight expects a finite number >= 0, got {weight!r}. Leave it out where entries count alike."
        )
    return float(weight)
