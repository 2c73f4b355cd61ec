"""A HealthChecker in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ("HealthCheckerStatistics",)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckerStatistics:
    """What a ``HealthChecker`` holds at the moment.

    Attributes:
        checks: checks that were added.
        max_checks: most of them at once.
        running: runs that are under way, those being ended included.
        max_running: most of them at once.
        threads: threads that plain checks have, those included in which a run hangs that was given up.
        max_threads: most of them at once.
        subscribers: processes that are told of changes.
        max_subscribers: most of them.
    """

    checks: int
    max_checks: int
    running: int
    max_running: int
    threads: int
    max_threads: int
    subscribers: int
    max_subscribers: int
