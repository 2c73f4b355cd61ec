"""The health checks of one service: results, statuses, and which check may run. Pure: time is passed in, nothing waits.

A check is always in one phase: ``resting`` until its timer fires; ``waiting`` for the first result of a dependency;
``blocked`` while a dependency is down; ``queued`` for a free task; ``running``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, final

from mabeam.services._health_graph_state import Dependencies
from mabeam.services._health_values import (
    PRECEDENCE,
    CheckReport,
    Health,
    HealthChanged,
    HealthReport,
    HealthStatus,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.services._health_check import HealthCheck
    from mabeam.services._health_values import CheckChange

__all__ = ("Check", "HealthState", "Phase")

Phase: TypeAlias = Literal["resting", "waiting", "blocked", "queued", "running"]


@final
class Check:
    """One check.

    Attributes:
        id: its id.
        settings: how it is run.
        phase: see the module.
        result: what the last run has come to; ``None`` before the first.
        at: when that was; not there before the first.
        duration: seconds that it took; likewise.
    """

    at: float
    duration: float

    __slots__ = ("at", "duration", "id", "phase", "result", "settings")

    def __init__(self, check_id: str, settings: HealthCheck) -> None:
        """Nothing is known of it."""
        self.id = check_id
        self.settings = settings
        self.phase: Phase = "resting"
        self.result: Health | None = None

    def is_stale(self, now: float) -> bool:
        """Whether its result means nothing any more."""
        return self.result is not None and now - self.at >= self.settings.stale_seconds

    def own(self, now: float) -> Health:
        """What it says itself."""
        if self.result is None:
            return Health("unknown", "it has not run yet")
        if self.is_stale(now):
            return Health("unknown", f"its last result, {self.result.status}, is {now - self.at:.3g} s old")
        return self.result


@final
class HealthState:
    """All checks of a service.

    Attributes:
        limit: most checks at once.
        checks: by id, in the order in which they were added. To be changed by the methods below only.
    """

    __slots__ = ("_graph", "_how_many", "_queue", "_to_look_at", "_told", "checks", "limit")

    def __init__(self, limit: int) -> None:
        """No checks."""
        self.limit = limit
        self.checks: dict[str, Check] = {}
        self._graph = Dependencies()
        self._queue: dict[str, None] = {}
        # Whose status may have changed since changes were last told.
        self._to_look_at: dict[str, None] = {}
        # The status of each that was told last. By id: a check may go, and another come in its place, untold.
        self._told: dict[str, HealthStatus] = {}
        # How many checks were told to be so; what they come to together must not take time for each of them.
        self._how_many: dict[HealthStatus, int] = dict.fromkeys(PRECEDENCE, 0)

    # ------------------------------------------------------------------------------------------- checks come and go

    def cycle(self, check_id: str, depends_on: Iterable[str]) -> tuple[str, ...] | None:
        """The cycle that these dependencies would close."""
        return self._graph.cycle(check_id, depends_on)

    def add(self, check_id: str, settings: HealthCheck) -> CheckChange | None:
        """Have a check; ``None`` when it would be one too many. Its dependencies close no cycle."""
        there = self.checks.get(check_id)
        if there is None and len(self.checks) >= self.limit:
            return None
        if there is not None and there.settings == settings:
            return "unchanged"
        self._queue.pop(check_id, None)
        self.checks[check_id] = Check(check_id, settings)
        self._graph.put(check_id, settings.depends_on)
        self._look_at(check_id)
        return "created" if there is None else "replaced"

    def remove(self, check_id: str) -> Check | None:
        """Forget a check; ``None`` when there is none."""
        self._queue.pop(check_id, None)
        self._graph.remove(check_id)
        self._look_at(check_id)
        return self.checks.pop(check_id, None)

    # ------------------------------------------------------------------------------------------- running

    def due(self, check_id: str, now: float) -> Phase:
        """Have a check run as soon as it can; returns the phase that it is in then."""
        check = self.checks[check_id]
        if check.phase in {"queued", "running"}:
            return check.phase
        statuses = self._statuses(check.settings.depends_on, now)
        known = [self.checks[each] for each in check.settings.depends_on if each in self.checks]
        if any(statuses[each.id] == "unhealthy" for each in known):
            check.phase = "blocked"
        elif any(each.result is None for each in known):
            check.phase = "waiting"
        else:
            check.phase = "queued"
            self._queue[check_id] = None
        return check.phase

    def next(self, *, blocking: bool = True) -> Check | None:
        """The check whose turn it is; it runs from now on.

        Args:
            blocking: whether a check that blocks a thread may have its turn; if not, it stays in the queue.
        """
        for check_id in self._queue:
            check = self.checks[check_id]
            if blocking or not check.settings.blocks:
                del self._queue[check_id]
                check.phase = "running"
                return check
        return None

    def ended(self, check: Check, result: Health, *, now: float, duration: float) -> bool:
        """A run has come to something; whether that is still of interest."""
        if self.checks.get(check.id) is not check:
            return False
        check.phase, check.result, check.at, check.duration = "resting", result, now, duration
        self._look_at(check.id)
        return True

    def held_up_by(self, check_id: str) -> list[Check]:
        """What waits for this check or is blocked by it, directly or not: to be made due again when it has changed."""
        dependents = (self.checks[each] for each in self._graph.dependents(check_id))
        return [check for check in dependents if check.phase in {"waiting", "blocked"}]

    def start_again(self) -> None:
        """Whoever ran the checks was restarted: nothing runs."""
        self._queue.clear()
        for check in self.checks.values():
            check.phase = "resting"

    # ------------------------------------------------------------------------------------------- looking

    def look_again(self, check_id: str) -> None:
        """Its result may have become stale."""
        self._look_at(check_id)

    def changes(self, now: float) -> list[HealthChanged]:
        """What has changed since this was last asked, in the order of dependencies."""
        looked_at, self._to_look_at = self._to_look_at, {}
        statuses = self._statuses(looked_at, now)
        found: list[tuple[str, HealthStatus | None, HealthStatus | None]] = []
        for check_id in looked_at:
            before = self._told.pop(check_id, None)
            after = statuses.get(check_id)
            if before is not None:
                self._how_many[before] -= 1
            if after is not None:
                self._how_many[after] += 1
                self._told[check_id] = after
            if before != after:
                found.append((check_id, before, after))
        overall = worst(status for status, count in self._how_many.items() if count)
        return [
            HealthChanged(check=each, before=before, after=after, overall=overall)
            for each, before, after in found
        ]

    def report(self, check_id: str, now: float) -> CheckReport:
        """One check. There is one with that id."""
        return self._report(self.checks[check_id], self._statuses((check_id,), now), now)

    def report_all(self, now: float) -> HealthReport:
        """All checks."""
        statuses = self._statuses(self.checks, now)
        reports = {check.id: self._report(check, statuses, now) for check in self.checks.values()}
        return HealthReport(status=worst(report.status for report in reports.values()), checks=reports)

    def _look_at(self, check_id: str) -> None:
        for each in (check_id, *self._graph.dependents(check_id)):
            self._to_look_at[each] = None

    def _statuses(self, checks: Iterable[str], now: float) -> dict[str, HealthStatus]:
        """The statuses of these and of all that they depend on; what nobody has added has none."""
        found: dict[str, HealthStatus] = {}
        for each in self._graph.in_order(checks):
            check = self.checks.get(each)
            if check is None:
                continue
            own = check.own(now).status
            depends_on = check.settings.depends_on
            if any(found.get(other) == "unhealthy" for other in depends_on):
                found[each] = "unhealthy"
            elif any(other not in self.checks for other in depends_on):
                found[each] = worst((own, "unknown"))
            else:
                found[each] = own
        return found

    def _report(self, check: Check, statuses: dict[str, HealthStatus], now: float) -> CheckReport:
        depends_on = check.settings.depends_on
        down = tuple(each for each in depends_on if statuses.get(each) == "unhealthy")
        missing = tuple(each for each in depends_on if each not in self.checks)
        own = check.own(now)
        detail = own.detail
        if down:
            detail = f"not run: it depends on {', '.join(down)}, which {'is' if len(down) == 1 else 'are'} unhealthy"
        elif statuses[check.id] != own.status:
            detail = f"it depends on {', '.join(missing)}, which nobody has added"
        return CheckReport(
            check=check.id,
            status=statuses[check.id],
            detail=detail,
            age=None if check.result is None else max(0.0, now - check.at),
            duration=None if check.result is None else check.duration,
            is_stale=check.is_stale(now),
            is_running=check.phase == "running",
            depends_on=depends_on,
            down=down,
            missing=missing,
        )
