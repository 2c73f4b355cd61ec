"""DynamicSupervisor: children that come and go, independent of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar, cast

from mabeam.errors import ChildError, RejectedError, StartFailed, StartIgnored, UsageError
from mabeam.kernel import (
    ExitReason,
    ExitSignal,
    Shutdown,
    Stop,
    Target,
    Turn,
    current_process,
    find,
    name_target,
    start_timer,
    trap_exit,
)
from mabeam.otp._asides import asides_of
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._child_info import ChildCounts, ChildInfo, start_reason
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._gen_server import GenServer
from mabeam.otp._handlers import system_call
from mabeam.otp._ref import Ref
from mabeam.otp._restart_state import NO_RESTARTS, Backoff, RestartRow, RestartWindow, Retry
from mabeam.otp._stopping import begin_stop, stop_process, stops_over
from mabeam.otp._supervisor_checks import check_limits, child_problems, raise_problems
from mabeam.otp._supervisor_reports import (
    note_exit,
    note_restart,
    note_started,
    report_failed_restart,
    report_giving_up,
)
from mabeam.otp._supervisor_state import restarts_after

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from mabeam.kernel import Process

__all__ = ("DynamicSupervisor",)

S = TypeVar("S")

_CALLER_ERRORS = (ChildError, RejectedError, StartFailed, StartIgnored, UsageError)

_STOPS_IN_A_ROW: Final = 64
"""Children that are told to stop before others have their turn."""


class DynamicSupervisor(GenServer):
    """A supervisor that starts without children and is given them one by one; their ids need not differ.

    Children do not depend on each other: each is restarted alone, and all are stopped at once. A child that ended and is
    not restarted is forgotten with its spec. Too many restarts, of whichever children, end the supervisor and all of them.

    Example:
        from mabeam import DynamicSupervisor, GenServer, handle_call

        class Session(GenServer):
            def __init__(self, user: str) -> None:
                self.user = user

            @handle_call
            def whoami(self) -> str:
                return self.user

        async def main() -> str:
            sessions = await DynamicSupervisor.start_link(max_children=100)
            session = await sessions.call(DynamicSupervisor.start_child, Session.child_spec("ann"))
            return await session.call(Session.whoami)

        assert mabeam.run(main) == "ann"
    """

    is_supervisor: ClassVar[bool] = True
    runs_trusted_code: ClassVar[bool] = True

    @checked_up_front(check_limits)
    def __init__(
        self,
        *,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Check the options.

        Args:
            max_children: most children at once, those being restarted included; ``None``, the default, sets no limit.
            max_restarts: restarts allowed within ``max_seconds``; 0 allows none.
            max_seconds: length of that window in seconds.
            backoff: wait before restarts; none unless given.

        Raises:
            UsageError: lists all problems.
        """
        raise_problems(type(self).__name__, check_limits(max_restarts, max_seconds, backoff, max_children))
        self._max_children = max_children
        self._window = RestartWindow(max_restarts, max_seconds)
        self._backoff = backoff
        # A child that is being restarted stands under the process that it had.
        self._children: dict[Process, ChildSpec[Any]] = {}
        self._restarting: dict[Process, None] = {}
        """Those of them whose restart has failed, or waits, and will be tried again."""
        self._restarts: dict[Process, RestartRow] = {}
        """For the backoff, of those that were restarted lately."""
        trap_exit()

    async def terminate(self, reason: ExitReason, /) -> None:
        """Ask all children to stop, then wait for all: it takes as long as the slowest of them."""
        me = current_process()
        stops: dict[Process, asyncio.Future[None]] = {}
        for count, (process, spec) in enumerate(tuple(self._children.items()), 1):
            if count % _STOPS_IN_A_ROW == 0:
                await Turn()
            if process.is_alive:
                ended = begin_stop(process, me, spec.shutdown_seconds)
                if ended is not None:
                    stops[process] = ended
        self._children.clear()
        await stops_over(stops)

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Take the end of a child."""
        if isinstance(message, ExitSignal):
            process = cast("Process", message.pid._process)
            spec = self._children.get(process)
            return self._child_ended(process, spec, message.reason) if spec is not None else None
        if isinstance(message, Retry):
            if message.child in self._restarting:
                return self._restart(message.child, counted=message.counted)
            return None
        return super().handle_info(message)

    # ------------------------------------------------------------------------------------------- calls

    @system_call(raises=_CALLER_ERRORS, starts=True)
    def start_child(self, spec: ChildSpec[S], /) -> Ref[S]:
        """Start a child.

        Returns:
            Its handle; ``start_info`` is what the child gave.

        Raises:
            UsageError: the spec is wrong.
            RejectedError: there are ``max_children`` already.
            StartFailed: it did not start.
            StartIgnored: it chose not to run.
        """
        problems = list(child_problems(spec))
        if isinstance(spec, ChildSpec) and spec.significant is True:
            problems.append(
                f"child {spec.id!r} is significant, but a DynamicSupervisor does not end with its children, so that would mean nothing"
            )
        if problems:
            raise UsageError("; ".join(problems), problems=problems)
        if self._max_children is not None and len(self._children) >= self._max_children:
            msg = f"{current_process().describe()} has {len(self._children)} children, and max_children allows no more"
            raise RejectedError(msg)
        me = current_process()
        start = spec.begin(me)
        if start.outcome == "pending":
            return cast("Ref[S]", self._finish_start(spec, start))
        return cast("Ref[S]", self._started(me, spec, start))

    @system_call(raises=_CALLER_ERRORS)
    def terminate_child(self, child: Target, /) -> None:
        """Stop a child and forget it. Leads to it: its handle, its pid, its name; the old pid of one being restarted.

        Raises:
            ChildError: ``not_found``.
        """
        process = find(current_process().kernel, child)
        if process is None or process not in self._children:
            raise ChildError("not_found", name_target(child))
        return cast("None", self._stop(process))

    @system_call()
    def which_children(self) -> list[ChildInfo]:
        """The children in the order of their (re)start."""
        return [
            ChildInfo(
                id=None,
                state="restarting" if process in self._restarting else "running",
                pid=None if process in self._restarting else process.pid,
                is_supervisor=spec.is_supervisor,
            )
            for process, spec in self._children.items()
        ]

    @system_call()
    def count_children(self) -> ChildCounts:
        """How many children there are."""
        supervisors = sum(spec.is_supervisor for spec in self._children.values())
        return ChildCounts(
            specs=len(self._children),
            active=len(self._children) - len(self._restarting),
            supervisors=supervisors,
            workers=len(self._children) - supervisors,
        )

    # ------------------------------------------------------------------------------------------- inside

    async def _finish_start(self, spec: ChildSpec[Any], start: Any) -> Ref[Any]:
        await start.wait()
        return self._started(current_process(), spec, start)

    def _started(self, me: Process, spec: ChildSpec[Any], start: Any) -> Ref[Any]:
        process = start.result()
        self._children[process] = spec
        note_started(me, spec)
        return Ref(process, me.kernel, info=start.info)

    async def _stop(self, process: Process) -> None:
        spec = self._children[process]
        self._forget(process)
        if process.is_alive:
            await stop_process(process, current_process(), spec.shutdown_seconds)

    def _forget(self, process: Process) -> None:
        del self._children[process]
        self._restarting.pop(process, None)
        self._restarts.pop(process, None)

    async def _child_ended(self, process: Process, spec: ChildSpec[Any], reason: ExitReason) -> None:
        me = current_process()
        note_exit(me, spec, reason)
        if restarts_after(spec, reason):
            note_restart(me, spec, reason, self._restarts.get(process, NO_RESTARTS).attempts + 1)
            await self._restart(process, counted=False)
        else:
            self._forget(process)

    async def _restart(self, process: Process, *, counted: bool) -> None:
        me, spec = current_process(), self._children[process]
        now = me.kernel.loop.time()
        if not counted:
            if not self._window.add(now):
                self._give_up(process, spec)
            if self._backoff is not None:
                row = self._restarts.get(process, NO_RESTARTS)
                delay, self._restarts[process] = row.next(now, self._window.max_seconds, self._backoff)
                self._restarting[process] = None
                start_timer(me.kernel, me, delay, Retry(process, counted=True), is_ours=True)
                return
        start = spec.begin(me)
        await start.wait()
        if start.outcome == "failed":
            self._restarting[process] = None
            report_failed_restart(me, spec, start_reason(start))
            me.kernel.scheduler.enqueue(me, Retry(process, counted=False))
            return
        before = self._restarts.get(process)
        self._forget(process)
        if start.outcome == "up":
            self._children[start.process] = spec
            if before is not None:
                self._restarts[start.process] = before
            note_started(me, spec)

    def _give_up(self, process: Process, spec: ChildSpec[Any]) -> NoReturn:
        asides_of(current_process()).gave_up = True
        report_giving_up(current_process(), spec, self._window.count, self._window.max_seconds)
        self._forget(process)
        raise Stop(Shutdown())
