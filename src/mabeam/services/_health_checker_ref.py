"""The handle of a HealthChecker: what is known is read directly, and nobody waits for a check to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mabeam.errors import UsageError
from mabeam.otp import ref
from mabeam.services._addresses import not_running, reach
from mabeam.services._health_board import HealthBoard
from mabeam.services._health_check import HealthCheck
from mabeam.services._health_runner import HealthRunner
from mabeam.services._health_statistics import HealthCheckerStatistics

if TYPE_CHECKING:
    from mabeam.kernel import Name, Pid, Process
    from mabeam.services._health_values import CheckChange, CheckFunction, CheckReport, HealthReport

__all__ = ("HealthCheckerRef", "id_problems")


@final
class HealthCheckerRef:
    """The handle of a service, made by ``HealthChecker.at``.

    Nothing but :meth:`check_now` waits. Callers are processes of the same Runtime.

    Every method raises ``NoSuchProcess`` when the service does not run, and ``UsageError`` when the caller is no process or
    when something else is in its place. Those about one check raise ``CheckNotFound`` when there is none with that id.
    """

    __slots__ = ("_address",)

    def __init__(self, address: Pid | Name) -> None:
        """Made by ``HealthChecker.at`` only."""
        self._address = address

    # ------------------------------------------------------------------------------------------- checks

    def add(
        self,
        check_id: str,
        function: CheckFunction,
        /,
        *,
        interval: float = 60.0,
        deadline: float = 5.0,
        depends_on: tuple[str, ...] = (),
        stale_after: float | None = None,
    ) -> CheckChange:
        """Have a check; its first run is at once.

        Guarantees:
            One that is there with the same function and settings stays as it is. Another one under the same id is replaced:
            what was known is forgotten, and a run that is under way is ended.

        Args:
            check_id: a non-empty string.
            function: as of :class:`HealthCheck`.
            interval: seconds from the end of a run to the next one, give or take the jitter.
            deadline: seconds that a run may take.
            depends_on: ids of checks that this one makes no sense without; they may be added later.
            stale_after: seconds after which a result means nothing any more; three intervals, the deadline and 1 s unless given.

        Returns:
            ``created``, ``replaced`` or ``unchanged``.

        Raises:
            UsageError: lists all problems, the path of a cycle among them; nothing was changed.
            RejectedError: there are ``max_checks`` already; nothing was changed.
        """
        board, _ = self._reach()
        settings = HealthCheck(function, interval, deadline, depends_on, stale_after)
        problems = id_problems(check_id) + settings.problems()
        if problems:
            raise UsageError(f"health check {check_id!r}: {'; '.join(problems)}", problems=problems)
        return board.add(check_id, settings)

    def remove(self, check_id: str, /) -> None:
        """Forget a check and its result; a run that is under way is ended. Those that depend on it miss it from then on."""
        self._reach()[0].remove(check_id)

    async def check_now(self, check_id: str, /, *, timeout: float | None = None) -> CheckReport:
        """Run a check now, and wait for the result.

        Guarantees:
            A run that is under way is joined, not doubled. The interval begins anew when it ends. When a dependency is down
            the check is not run, and the report that says so comes at once.

        Args:
            check_id: which check.
            timeout: longest wait in seconds. ``None``: no limit but those of the deadlines, of this check and of those that
                have their turn before it.

        Raises:
            CallTimeout: nothing came in time; the run goes on.
            CheckNotFound: there is none, or it was removed meanwhile.
            RejectedError: too many callers wait already.
            ProcessDied: the runner crashed meanwhile; it is restarted, ask again.
        """
        board, _ = self._reach()
        board.check(check_id)
        if board.runner is None:
            # The service has its name before its runner is up.
            raise not_running(self._address, "HealthChecker")
        runner = ref(board.runner.pid, HealthRunner).options(timeout=timeout)
        return await runner.call(HealthRunner.check_now, check_id)

    # ------------------------------------------------------------------------------------------- looking

    def report(self, check_id: str, /) -> CheckReport:
        """What is known of a check, and how old that is."""
        board, _ = self._reach()
        board.check(check_id)
        return board.state.report(check_id, board.now)

    def report_all(self) -> HealthReport:
        """What is known of all checks, and what they come to together."""
        board, _ = self._reach()
        return board.state.report_all(board.now)

    def list(self) -> tuple[str, ...]:
        """The ids of all checks, in the order in which they were added."""
        return tuple(self._reach()[0].state.checks)

    def statistics(self) -> HealthCheckerStatistics:
        """The service in numbers."""
        board, _ = self._reach()
        return HealthCheckerStatistics(
            checks=len(board.state.checks),
            max_checks=board.state.limit,
            running=board.running,
            max_running=board.max_running,
            threads=len(board.in_threads),
            max_threads=board.max_threads,
            subscribers=len(board.subscribers),
            max_subscribers=board.subscribers.limit,
        )

    # ------------------------------------------------------------------------------------------- being told

    def subscribe(self) -> HealthReport:
        """Have the calling process sent a :class:`HealthChanged` for each change of a status.

        Guarantees:
            Nothing is missed between the report that is returned and the first message. A process that has subscribed
            several times is told once. It is forgotten in the step in which it dies, whichever way; and with the service:
            after a restart of that, subscribe again.

        Returns:
            What is known now.

        Raises:
            RejectedError: there are ``max_subscribers`` already.
        """
        board, caller = self._reach()
        board.subscribers.add(caller)
        return board.state.report_all(board.now)

    def unsubscribe(self) -> None:
        """Tell the calling process nothing any more; what was sent before may still be in its mailbox."""
        board, caller = self._reach()
        board.subscribers.remove(caller)

    def address(self) -> Pid | Name:
        """The name or the pid that it was made for; so it can be linked, monitored and the like."""
        return self._address

    def _reach(self) -> tuple[HealthBoard, Process]:
        return reach(self._address, "board", HealthBoard, "HealthChecker")

    def __eq__(self, other: object) -> bool:
        """Equal when made for the same name or the same process."""
        return isinstance(other, HealthCheckerRef) and self._address == other._address

    def __hash__(self) -> int:
        """Hash by address."""
        return hash(self._address)

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"<health checker {self._address!r}>"


def id_problems(check_id: object) -> list[str]:
    """What is wrong with the id of a check."""
    if isinstance(check_id, str) and check_id:
        return []
    return [f"the id of a check expects a non-empty string, got {check_id!r}"]
