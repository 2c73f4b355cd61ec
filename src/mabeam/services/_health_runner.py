"""The process that runs health checks: timers, tasks and deadlines. It only decides; the checks run in its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from mabeam.errors import CheckNotFound, RejectedError
from mabeam.kernel import Exempt, ExitSignal, Shutdown, current_process, kill, send_exit, start_timer
from mabeam.otp import TaskSupervisor, handle_call, reply_later
from mabeam.services._health_board import Changed, ThreadEnded
from mabeam.services._health_run import CheckTask, Done, Run
from mabeam.services._health_values import Health

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from mabeam.kernel import Caller, Pid, Process, TimerRef
    from mabeam.services._health_board import HealthBoard
    from mabeam.services._health_state import Check
    from mabeam.services._health_values import CheckReport

__all__ = ("HealthRunner",)

GRACE: Final = 1.0
"""Seconds that a run has to end after its deadline; then its task is killed."""
_OPTIONS: Final = TaskSupervisor.options(shutdown=GRACE)
MAX_WAITING: Final = 10_000
"""Callers of ``check_now`` that may wait at once."""


@final
class _Due(Exempt):
    """To itself: a check is to run."""

    __slots__ = ("check",)

    def __init__(self, check: Check) -> None:
        self.check = check


@final
class _Stale(Exempt):
    """To itself: the result of a check may have become stale."""

    __slots__ = ("check",)

    def __init__(self, check: Check) -> None:
        self.check = check


@final
class _Late(Exempt):
    """To itself: the time of a run is up."""

    __slots__ = ("run",)

    def __init__(self, run: Run) -> None:
        self.run = run


@final
class _Timers:
    """The timers of one check, and whether it is to run as soon as the task of its last run has ended."""

    __slots__ = ("again", "check", "due", "stale")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.again = False
        self.due: TimerRef | None = None
        self.stale: TimerRef | None = None

    def cancel(self) -> None:
        for timer in (self.due, self.stale):
            if timer is not None:
                timer.cancel()
        self.due = self.stale = None


@final
class HealthRunner(TaskSupervisor, shared=True):
    """Runs the checks of a board. What it knows beside the board it can find out again: it may crash at any time."""

    def __init__(self, board: HealthBoard) -> None:
        """Take over the board, and begin with what is due."""
        super().__init__(max_children=board.max_running)
        self.board = board
        self._me: Process = current_process()
        self._runs: dict[Pid, Run] = {}
        self._timers: dict[str, _Timers] = {}
        self._callers: dict[str, list[Caller[Any]]] = {}
        self._caller_count = 0
        board.runner, board.running = self._me, 0
        for run in tuple(board.in_threads):
            run.is_over = True  # its task has died with the runner before this one
            if not run.hangs():
                del board.in_threads[run]
        board.state.start_again()
        for check in board.state.checks.values():
            self._begin(check)
        self._go()

    # ------------------------------------------------------------------------------------------- messages

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Take timers, results and ends of tasks."""
        match message:
            case Done(run=run, result=result):
                self._end(run, result, "returned")
            case ExitSignal(pid=pid, reason=reason):
                waits = super().handle_info(message)
                assert waits is None, "its tasks are temporary: none is restarted"
                self._task_ended(pid, reason)
            case _Late(run=run):
                self._late(run)
            case _Due(check=check):
                if self._is_current(check):
                    self._due(check)
            case _Stale(check=check):
                if self._is_current(check):
                    self.board.state.look_again(check.id)
                    self._watch_age(self._timers[check.id], self.board.now)  # a timer may be a little early
            case Changed(check_id=check_id):
                self._changed(check_id)
            case ThreadEnded():
                pass  # somebody may wait for it
            case _:
                return super().handle_info(message)
        self._go()
        return None

    @handle_call(raises=(CheckNotFound, RejectedError))
    def check_now(self, check_id: str) -> CheckReport:
        """Run a check now, or join the run that is under way, and answer with what is known then."""
        board = self.board
        check = board.check(check_id)
        if self._caller_count >= MAX_WAITING:
            msg = f"{board.process.describe()} has {MAX_WAITING} callers that wait for check_now already"
            raise RejectedError(msg)
        self._due(check)
        is_coming = check.phase in {"waiting", "queued", "running"} or self._timers[check_id].again
        if not is_coming:  # it cannot run: what is known is the answer
            self._go()
            return board.state.report(check_id, board.now)
        answer: CheckReport = reply_later(self._callers.setdefault(check_id, []).append)
        self._caller_count += 1
        self._go()
        return answer

    # ------------------------------------------------------------------------------------------- what follows

    def _is_current(self, check: Check) -> bool:
        return self.board.state.checks.get(check.id) is check

    def _remind(self, seconds: float, message: Exempt) -> TimerRef:
        return start_timer(self._me.kernel, self._me, seconds, message, is_ours=True)

    def _begin(self, check: Check) -> None:
        """Have a check run for the first time, or go on where a runner before this one was."""
        timers = self._timers[check.id] = _Timers(check)
        if check.result is None:
            self._due(check)
        else:
            now = self.board.now
            left = check.at + check.settings.interval - now
            timers.due = self._remind(max(0.0, left), _Due(check))
            self._watch_age(timers, now)

    def _due(self, check: Check) -> None:
        """Have a check run as soon as it can."""
        if check.phase in {"queued", "running"}:
            return
        timers = self._timers[check.id]
        last = self.board.last_runs.get(check)
        if last is not None and last.pid in self._runs:
            timers.again = True
        elif last is not None and last.hangs():
            # Another run would only cost another thread.
            stuck = self.board.now - last.began
            run = Run(check, self.board.now)
            self._end(run, Health("unhealthy", f"a run is still in its thread after {stuck:.3g} s"), "stuck")
        else:
            self.board.state.due(check.id, self.board.now)
            if timers.due is not None:
                timers.due.cancel()
                timers.due = None

    def _release(self, check_id: str) -> None:
        """What was held up by a check looks again whether it can run."""
        for check in self.board.state.held_up_by(check_id):
            self._due(check)

    def _go(self) -> None:
        """Start what can be started, and tell what has changed."""
        board = self.board
        while self.takes_tasks:
            threads = board.in_threads
            are_taken = len(threads) >= board.max_threads
            all_hang = are_taken and all(run.is_over for run in threads)
            check = board.state.next(blocking=all_hang or not are_taken)
            if check is None:
                break
            if all_hang and check.settings.blocks:
                # Nobody knows when there will be a thread: that is the answer, and not to wait for it.
                self._end(Run(check, board.now), Health("unknown", _hanging(threads)), "stuck")
            else:
                self._start(check)
        board.running = len(self._runs)
        board.tell()
        self._answer_blocked()

    def _start(self, check: Check) -> None:
        board = self.board
        run = board.last_runs[check] = Run(check, board.now)
        spec = _OPTIONS.spec_of(CheckTask(self._me.pid, run, board.thread_ended), (), {})
        run.pid = self.run_task(spec, spec.body).pid
        self._runs[run.pid] = run
        if check.settings.blocks:
            board.in_threads[run] = None
        run.timer = self._remind(check.settings.deadline, _Late(run))

    def _end(self, run: Run, result: Health, outcome: str) -> None:
        """A run has come to something, in whatever way."""
        if run.is_over:
            return
        run.is_over = True
        run.stop_timer()
        check, board = run.check, self.board
        if not board.record(run, result, outcome):
            return
        timers = self._timers[check.id]
        timers.cancel()
        if run.pid not in self._runs:
            self._pause(timers)
        self._watch_age(timers, board.now)
        self._release(check.id)
        self._answer(check.id)

    def _pause(self, timers: _Timers) -> None:
        """Until the next run. It begins when the task of the last one has ended: no check runs twice at once."""
        if timers.due is None:
            pause = self.board.pause_of(timers.check)
            timers.due = self._remind(pause, _Due(timers.check))

    def _watch_age(self, timers: _Timers, now: float) -> None:
        check = timers.check
        left = check.at + check.settings.stale_seconds - now
        if left > 0:
            timers.stale = self._remind(left, _Stale(check))

    def _late(self, run: Run) -> None:
        assert run.pid is not None
        run.timer = None
        if run.is_over:
            kill(run.pid)  # it was told to end and has not
            return
        self._end(
            run, Health("unhealthy", f"it did not end within {run.check.settings.deadline:g} s"), "late"
        )
        self._stop_run(run)

    def _stop_run(self, run: Run) -> None:
        """Tell a task to end; nobody wants its result."""
        assert run.pid is not None
        run.is_over = True
        run.stop_timer()
        run.timer = self._remind(GRACE, _Late(run))
        send_exit(run.pid, Shutdown())

    def _task_ended(self, pid: Pid, reason: object) -> None:
        run = self._runs.pop(pid, None)
        if run is not None:
            if not run.hangs():
                self.board.in_threads.pop(run, None)
            self._end(run, Health("unhealthy", f"its task ended without a result: {reason!r}"), "interrupted")
            run.stop_timer()
            if self._is_current(run.check):
                timers = self._timers[run.check.id]
                if timers.again:
                    timers.again = False
                    self._due(run.check)
                else:
                    self._pause(timers)

    def _changed(self, check_id: str) -> None:
        """A check was added, replaced or removed, perhaps several times since."""
        state = self.board.state
        timers = self._timers.get(check_id)
        check = state.checks.get(check_id)
        if timers is not None and timers.check is check:
            return
        if timers is not None:
            timers.cancel()
            del self._timers[check_id]
            for run in tuple(self._runs.values()):
                if run.check is timers.check and not run.is_over:
                    self._stop_run(run)
        if check is not None:
            self._begin(check)
        self._release(check_id)
        if check is None:
            for caller in self._take_waiting(check_id):
                caller.fail(self.board.not_found(check_id))

    # ------------------------------------------------------------------------------------------- those who wait

    def _take_waiting(self, check_id: str) -> list[Caller[Any]]:
        callers = self._callers.pop(check_id, [])
        self._caller_count -= len(callers)
        return callers

    def _answer(self, check_id: str) -> None:
        if check_id in self._callers:
            report = self.board.state.report(check_id, self.board.now)
            for caller in self._take_waiting(check_id):
                caller.reply(report)

    def _answer_blocked(self) -> None:
        """What was waiting for a dependency, and cannot run now, is an answer as well."""
        for check_id in tuple(self._callers):
            check = self.board.state.checks.get(check_id)
            if check is not None and check.phase == "blocked":
                self._answer(check_id)


def _hanging(runs: Iterable[Run]) -> str:
    names = [run.check.id for run in runs]
    shown = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    return f"not run: all {len(names)} threads for checks (max_threads) are taken by runs that hang: {shown}"
