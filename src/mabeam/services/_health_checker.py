"""HealthChecker: checks of everything, each in a task of its own with its own deadline and interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from mabeam._base import Random, system_random
from mabeam.errors import UsageError
from mabeam.otp import ChildSpec, Supervisor
from mabeam.services._addresses import checked_address
from mabeam.services._health_board import HealthBoard, cycle_problem
from mabeam.services._health_check import HealthCheck
from mabeam.services._health_checker_ref import HealthCheckerRef, id_problems
from mabeam.services._health_graph_state import Dependencies
from mabeam.services._health_runner import HealthRunner

if TYPE_CHECKING:
    from mabeam.kernel import Target
    from mabeam.otp import Ref

__all__ = ("HealthChecker",)


@final
class HealthChecker(Supervisor, shared=True):
    """Asks everything how it is, again and again, and keeps the answers: read, or be told, through a handle of :meth:`at`.

    The process holds what is known and supervises the one that runs the checks, which runs none of them itself: each run
    is a task of its own.

    Guarantees:
        A check that raises, hangs, swallows its cancellation or blocks in a thread is ``unhealthy`` at its deadline at the
        latest, and delays neither other checks (as long as ``max_running`` leaves them room) nor anybody who asks. A check
        is never run twice at once. At most ``max_checks`` checks, ``max_running`` runs and ``max_subscribers`` subscribers;
        and ``max_threads`` threads for plain checks, so that those that hang leave the others to the rest of the program.
        Any number of instances; the child id follows the name.

        Statuses are summed up by one rule: ``unhealthy`` over ``unknown`` over ``degraded`` over ``healthy``. A check
        without a result, or with a stale one, is ``unknown``. One with an ``unhealthy`` dependency is ``unhealthy`` without
        being run; one with a dependency that nobody has added is ``unknown`` at best.

        When the runner crashes, checks and results stay; what was running runs again. When the service itself is restarted,
        the checks of ``checks`` are there again without results, and those that were added later are gone.

    Example:
        import asyncio
        from mabeam import HealthChecker, Supervisor

        HEALTH = HealthChecker.at("health")  # leads to whichever service has that name when it is used

        async def database() -> None:
            raise ConnectionError("no route")

        async def main() -> str:
            await Supervisor.start_link([HealthChecker.child_spec().named("health")], strategy="one_for_one")
            HEALTH.add("database", database, interval=10.0, deadline=2.0)
            report = await HEALTH.check_now("database")
            return f"{report.check} is {report.status}: {report.detail}"

        assert mabeam.run(main) == "database is unhealthy: ConnectionError: no route"
    """

    def __init__(
        self,
        *,
        checks: Mapping[str, HealthCheck] | None = None,
        max_checks: int = 1_000,
        max_running: int = 50,
        max_threads: int = 8,
        max_subscribers: int = 1_000,
        jitter: float = 0.1,
        random: Random | None = None,
    ) -> None:
        """Check everything; nothing has started if anything is wrong.

        Args:
            checks: checks that are there from the start, and again after each restart.
            max_checks: most checks at once.
            max_running: most runs at once; further ones wait for their turn.
            max_threads: most threads of the Runtime that plain checks have at once, those included in which a run hangs; further
                plain checks wait, and are ``unknown`` while all of these hang. Less than the Runtime's own ``max_threads``.
            max_subscribers: most processes that are told of changes.
            jitter: by which share of it an interval may be longer or shorter, so that checks do not all fall together.
            random: where the jitter comes from; a generator of its own unless given.

        Raises:
            UsageError: lists all problems, of all checks.
        """
        options = _options(checks, max_checks, max_running, max_threads, max_subscribers, jitter, random)
        _refuse(options)
        self.board = HealthBoard(
            max_checks=max_checks,
            max_running=max_running,
            max_threads=max_threads,
            max_subscribers=max_subscribers,
            jitter=jitter,
            random=system_random() if random is None else random,
        )
        for check_id, settings in (checks or {}).items():
            self.board.add(check_id, settings)
        super().__init__(
            [ChildSpec.of_server(HealthRunner, (self.board,), {}).options(id="runner")],
            strategy="one_for_one",
        )

    @classmethod
    def child_spec(  # type: ignore[override]  # its arguments are those of the service
        cls,
        *,
        checks: Mapping[str, HealthCheck] | None = None,
        max_checks: int = 1_000,
        max_running: int = 50,
        max_threads: int = 8,
        max_subscribers: int = 1_000,
        jitter: float = 0.1,
        random: Random | None = None,
    ) -> ChildSpec[HealthChecker]:
        """How a supervisor starts it: ``HealthChecker.child_spec().named("health")``.

        Args:
            checks: as of the class.
            max_checks: as of the class.
            max_running: as of the class.
            max_threads: as of the class.
            max_subscribers: as of the class.
            jitter: as of the class.
            random: as of the class.

        Raises:
            UsageError: lists all problems, of all checks.
        """
        options = _options(checks, max_checks, max_running, max_threads, max_subscribers, jitter, random)
        _refuse(options)
        # A copy: what the caller does with its mapping later must not change what a restart begins with.
        options["checks"] = dict(checks or {})
        return ChildSpec.of_server(cls, (), options)

    @classmethod
    async def start_link(  # type: ignore[override]  # its arguments are those of the service
        cls,
        *,
        checks: Mapping[str, HealthCheck] | None = None,
        max_checks: int = 1_000,
        max_running: int = 50,
        max_threads: int = 8,
        max_subscribers: int = 1_000,
        jitter: float = 0.1,
        random: Random | None = None,
    ) -> Ref[HealthChecker]:
        """Start one linked to the calling process, and wait until it is up; not until the checks have run.

        Args:
            checks: as of the class.
            max_checks: as of the class.
            max_running: as of the class.
            max_threads: as of the class.
            max_subscribers: as of the class.
            jitter: as of the class.
            random: as of the class.

        Raises:
            UsageError: lists all problems, of all checks; nothing has started.
        """
        return await cls.child_spec(
            **_options(checks, max_checks, max_running, max_threads, max_subscribers, jitter, random)
        ).start_link()

    @staticmethod
    def at(service: Target, /) -> HealthCheckerRef:
        """The handle of a service. It may be made before the service runs, and outside of any Runtime.

        Guarantees:
            Made for a name, it leads to whichever service has that name in the Runtime of the code that uses it, at each
            use anew: across restarts, and in several Runtimes at once.

        Args:
            service: its name; or its pid, or the reference that ``start_link`` returned.

        Raises:
            UsageError: it is nothing that leads to a process.
        """
        return HealthCheckerRef(checked_address("HealthChecker", service))

    def __repr__(self) -> str:
        """Show what it holds."""
        state = self.board.state
        return f"<HealthChecker, {len(state.checks)} of {state.limit} checks, {state.report_all(self.board.now).status}>"


def _options(
    checks: Any,
    max_checks: Any,
    max_running: Any,
    max_threads: Any,
    max_subscribers: Any,
    jitter: Any,
    random: Any,
) -> dict[str, Any]:
    return {
        "checks": checks,
        "max_checks": max_checks,
        "max_running": max_running,
        "max_threads": max_threads,
        "max_subscribers": max_subscribers,
        "jitter": jitter,
        "random": random,
    }


def _refuse(options: dict[str, Any]) -> None:
    problems = _problems_of(options)
    if problems:
        raise UsageError(f"HealthChecker: {'; '.join(problems)}", problems=problems)


def _problems_of(options: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("max_checks", "max_running", "max_threads", "max_subscribers"):
        value = options[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            found.append(f"{name} expects a whole number >= 1, got {value!r}")
    jitter = options["jitter"]
    if not isinstance(jitter, int | float) or isinstance(jitter, bool) or not 0 <= jitter < 1:
        found.append(f"jitter expects a share of the interval, from 0 to below 1, got {jitter!r}")
    if options["random"] is not None and not isinstance(options["random"], Random):
        found.append(f"random expects a random.Random, or None, got {options['random']!r}")
    checks = options["checks"]
    if checks is None:
        return found
    if not isinstance(checks, Mapping):
        return [*found, f"checks expects a mapping from ids to HealthCheck, got {checks!r}"]
    dependencies = Dependencies()
    for check_id, check in checks.items():
        found += _check_problems(check_id, check, dependencies)
    if not found and len(checks) > options["max_checks"]:
        found.append(f"checks has {len(checks)} of them, and max_checks allows {options['max_checks']}")
    return found


def _check_problems(check_id: Any, check: Any, dependencies: Dependencies) -> list[str]:
    problems = id_problems(check_id)
    if not isinstance(check, HealthCheck):
        return [*problems, f"check {check_id!r}: expects HealthCheck(function, interval=...), got {check!r}"]
    of_check = check.problems()
    if not of_check and not problems:
        cycle = dependencies.cycle(check_id, check.depends_on)
        if cycle is None:
            dependencies.put(check_id, check.depends_on)
        else:
            of_check.append(cycle_problem(cycle))
    return problems + [f"check {check_id!r}: {problem}" for problem in of_check]
