"""The checks of one running HealthChecker, as its handles and its runner see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mabeam.errors import CheckNotFound, RejectedError, UsageError
from mabeam.kernel import current_process
from mabeam.services._addresses import similar_ids
from mabeam.services._health_state import HealthState
from mabeam.services._subscribers import Subscribers

if TYPE_CHECKING:
    from mabeam._base import Random
    from mabeam.kernel import Process
    from mabeam.services._health_check import HealthCheck
    from mabeam.services._health_run import Run
    from mabeam.services._health_state import Check
    from mabeam.services._health_values import CheckChange, Health

__all__ = ("Changed", "HealthBoard", "ThreadEnded")


@final
class Changed:
    """To the runner: a check was added, replaced or removed."""

    __slots__ = ("check_id",)

    def __init__(self, check_id: str) -> None:
        self.check_id = check_id


@final
class ThreadEnded:
    """To the runner: a thread is free again."""

    __slots__ = ()


@final
class HealthBoard:
    """It belongs to the service's supervisor, so a crash of the runner below loses neither checks nor results.

    Attributes:
        process: the service.
        state: the checks and their results.
        subscribers: who is told of changes.
        runner: the process that runs the checks; a dead one while it is being restarted.
        running: how many runs are under way.
        max_running: most of them at once.
        in_threads: runs of plain checks that have a thread or are about to get one, those that hang there included.
        max_threads: most of them at once.
        last_runs: the last run of each check.
        jitter: the share by which intervals differ.
        random: where that comes from.
    """

    __slots__ = (
        "in_threads",
        "jitter",
        "last_runs",
        "max_running",
        "max_threads",
        "process",
        "random",
        "runner",
        "running",
        "state",
        "subscribers",
    )

    def __init__(
        self,
        *,
        max_checks: int,
        max_running: int,
        max_threads: int,
        max_subscribers: int,
        jitter: float,
        random: Random,
    ) -> None:
        """No checks."""
        self.process = current_process()
        self.state = HealthState(max_checks)
        self.subscribers = Subscribers(self.process, max_subscribers)
        self.runner: Process | None = None
        self.running = 0
        self.max_running = max_running
        self.in_threads: dict[Run, None] = {}
        self.max_threads = max_threads
        self.last_runs: dict[Check, Run] = {}
        self.jitter = jitter
        self.random = random

    @property
    def now(self) -> float:
        """The time by which timers are set."""
        return self.process.kernel.loop.time()

    def check(self, check_id: str) -> Check:
        """A check.

        Raises:
            CheckNotFound: there is none.
        """
        check = self.state.checks.get(check_id)
        if check is None:
            raise self.not_found(check_id)
        return check

    def not_found(self, check_id: str) -> CheckNotFound:
        """The error for a check that is not there."""
        return CheckNotFound(self.process.describe(), check_id, similar_ids(check_id, self.state.checks))

    def add(self, check_id: str, settings: HealthCheck) -> CheckChange:
        """Have a check, which is known to be described well.

        Raises:
            UsageError: it would depend on itself.
            RejectedError: there are ``max_checks`` already.
        """
        cycle = self.state.cycle(check_id, settings.depends_on)
        if cycle is not None:
            raise UsageError(f"health check {check_id!r}: {cycle_problem(cycle)}")
        before = self.state.checks.get(check_id)
        change = self.state.add(check_id, settings)
        if change is None:
            msg = (
                f"{self.process.describe()} has {self.state.limit} checks, and max_checks allows no more: {check_id!r} was not added. "
                "Remove those that are not needed any more, or start the service with a higher limit."
            )
            raise RejectedError(msg)
        if change != "unchanged":
            if before is not None:
                self.last_runs.pop(before, None)
            self._has_changed(check_id)
        return change

    def remove(self, check_id: str) -> None:
        """Forget a check.

        Raises:
            CheckNotFound: there is none.
        """
        self.last_runs.pop(self.check(check_id), None)
        self.state.remove(check_id)
        self._has_changed(check_id)

    def record(self, run: Run, result: Health, outcome: str) -> bool:
        """A run has come to something; whether that is still of interest."""
        now, check = self.now, run.check
        bus = self.process.kernel.bus
        if bus.listening:
            metadata = {
                "service": self.process.pid.serial,
                "check": check.id,
                "status": result.status,
                "outcome": outcome,
            }
            bus.emit("health.checked", {"duration": now - run.began}, metadata)
        return self.state.ended(check, result, now=now, duration=now - run.began)

    def thread_ended(self, run: Run) -> None:
        """A plain check has left its thread; called in that thread."""
        try:
            self.process.kernel.loop.call_soon_threadsafe(self._thread_is_free, run)
        except RuntimeError:
            return  # the loop is closed: nothing is run any more

    def _thread_is_free(self, run: Run) -> None:
        if self.in_threads.pop(run, run) is None:
            self._wake_runner(ThreadEnded())

    def tell(self) -> None:
        """Tell what has changed."""
        bus = self.process.kernel.bus
        for change in self.state.changes(self.now):
            if bus.listening:
                metadata = {
                    "service": self.process.pid.serial,
                    "check": change.check,
                    "before": change.before,
                    "after": change.after,
                    "overall": change.overall,
                }
                bus.emit("health.changed", {"count": 1}, metadata)
            self.subscribers.tell(change)

    def pause_of(self, check: Check) -> float:
        """Seconds until a check runs again."""
        if not self.jitter:
            return check.settings.interval
        return check.settings.interval * self.random.uniform(1 - self.jitter, 1 + self.jitter)

    def _has_changed(self, check_id: str) -> None:
        self.tell()
        self._wake_runner(Changed(check_id))

    def _wake_runner(self, message: Changed | ThreadEnded) -> None:
        runner = self.runner
        if runner is not None and runner.is_alive:
            runner.kernel.send(runner, message)


def cycle_problem(cycle: tuple[str, ...]) -> str:
    """What is wrong with a cycle."""
    return f"depends_on closes a cycle, {' -> '.join(cycle)}: none of them could ever be the first to run"
