"""What health checks say, and what is reported of them: values only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

__all__ = (
    "PRECEDENCE",
    "CheckChange",
    "CheckFunction",
    "CheckReport",
    "Health",
    "HealthChanged",
    "HealthReport",
    "HealthStatus",
    "worst",
)

HealthStatus: TypeAlias = Literal["unhealthy", "unknown", "degraded", "healthy"]
"""How something is. In this order the first one wins wherever several are summed up."""

PRECEDENCE: Final[tuple[HealthStatus, ...]] = ("unhealthy", "unknown", "degraded", "healthy")

CheckChange: TypeAlias = Literal["created", "replaced", "unchanged"]
"""What adding a check has come to."""

CheckFunction: TypeAlias = Callable[[], Awaitable[Any]] | Callable[[], Any]
"""A check: an async function, or a plain one, which is run in a thread. It takes no arguments."""


@final
@dataclass(frozen=True, slots=True)
class Health:
    """What a check may return to say more than ``True`` or ``False``.

    Attributes:
        status: ``healthy``, ``degraded``, ``unhealthy``, or ``unknown`` if it cannot tell.
        detail: a few words for people.
    """

    status: HealthStatus
    detail: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """One check, as of the moment of asking.

    Attributes:
        check: its id.
        status: what it comes to, dependencies and age included.
        detail: why, in a few words.
        age: seconds since its last result; ``None`` when there is none.
        duration: seconds that its last run took; ``None`` when there is none.
        is_stale: whether the last result is too old to mean anything; the status is ``unknown`` then, or worse.
        is_running: whether a run is under way.
        depends_on: the ids that it depends on.
        down: those of them that are ``unhealthy``: while there are any, it is not run.
        missing: those of them that nobody has added.
    """

    check: str
    status: HealthStatus
    detail: str
    age: float | None
    duration: float | None
    is_stale: bool
    is_running: bool
    depends_on: tuple[str, ...]
    down: tuple[str, ...]
    missing: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """All checks, as of the moment of asking.

    Attributes:
        status: the worst of all checks; ``unknown`` when there is none, since nobody has looked at anything.
        checks: each check by id, in the order in which they were added.
    """

    status: HealthStatus
    checks: Mapping[str, CheckReport]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """To subscribers: the status of a check has changed.

    Attributes:
        check: its id.
        before: what it was; ``None`` when it was added just now.
        after: what it is; ``None`` when it was removed.
        overall: what all checks together come to now.
    """

    check: str
    before: HealthStatus | None
    after: HealthStatus | None
    overall: HealthStatus


def worst(statuses: Any) -> HealthStatus:
    """The status that wins; ``unknown`` of nothing."""
    return min(statuses, key=PRECEDENCE.index, default="unknown")
