"""The tasks of one async_stream: started, watched for their time, and stopped all together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.kernel import (
    Exited,
    NoProcess,
    Normal,
    add_link,
    crash_reason,
    kill_process,
    label_of,
    remove_link,
)
from mabeam.otp._child_spec import ChildOptions, ChildSpec
from mabeam.otp._stopping import begin_stop
from mabeam.otp._task_body import TaskBehaviour, TaskBody
from mabeam.otp._task_outcome import TaskExit, TaskOk, TaskOutcome
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mabeam.kernel import Pid, Process
    from mabeam.otp._child_spec import ShutdownTime
    from mabeam.otp._task_pool import TaskPool

__all__ = ("StreamTask", "StreamTasks")

_NO_KEYWORDS: Final[dict[str, Any]] = {}


class StreamTask:
    """The task of one item. Registered with its process, which tells it of its end before the links are told.

    Attributes:
        outcome: what has come of it.
        process: the process, until it is dead.
    """

    __slots__ = ("_tasks", "deadline", "item", "outcome", "process", "timed_out")

    def __init__(self, tasks: StreamTasks, item: Any) -> None:
        """Not started yet."""
        self._tasks = tasks
        self.item = item
        self.process: Process | None = None
        self.outcome: TaskOutcome[Any] | None = None
        self.deadline = 0.0
        self.timed_out = False

    def finished(self, value: object, error: BaseException | None) -> None:
        """The function has returned or raised; the process ends next."""
        process = self.process
        if error is None:
            self.outcome = TaskOk(value)
        elif process is not None:
            process.kernel.incidents.crash(process, crash_reason(error), process.label)

    def process_ended(self, _pid: Pid) -> None:
        """The process is dead."""
        process, self.process = self.process, None
        if process is None:
            return
        reason = process.ending.reason if process.ending is not None else NoProcess()
        if self.outcome is None:
            self.outcome = TaskExit(Exited("timeout") if self.timed_out else reason, self.item)
        self._tasks.ended(self, process, failed=not isinstance(reason, Normal))


class StreamTasks:
    """The tasks of a stream that run at the moment.

    Attributes:
        running: in the order of their start, which is that of their deadlines.
        on_end: is given each task when it is dead.
        on_late: is given each task whose time is up; without it, such a task is stopped.
    """

    def __init__(
        self, function: Callable[[Any], object], *, link: bool, timeout: float | None, shutdown: ShutdownTime
    ) -> None:
        """Options; it runs nothing before it is given an owner and a pool."""
        self._function = function
        self._link = link
        self.timeout = timeout
        # One spec stands for all: a task is never restarted, so its body is not needed again.
        self._spec: ChildSpec[None] = ChildSpec(
            TaskBehaviour(label_of(function)),
            None,
            ChildOptions(default_id="task", restart="temporary", shutdown=shutdown),
        )
        self.running: dict[StreamTask, None] = {}
        self.on_end: Callable[[StreamTask], None] = _ignore
        self.on_late: Callable[[StreamTask, Process], None] = self._stop_late
        self._timer: asyncio.TimerHandle | None = None
        self._trace = current_trace()
        self.owner: Process
        self.pool: TaskPool

    def start(self, item: Any) -> StreamTask:
        """Start the task of an item."""
        owner = self.owner
        task = StreamTask(self, item)
        body = TaskBody(self._function, (item,), _NO_KEYWORDS, finished=task.finished, owner=owner.pid)
        body.trace = self._trace
        task.process = process = self.pool.run_task(self._spec, body)
        process.registrations = {task: None}
        if self._link:
            add_link(owner, process)
        self.running[task] = None
        if self.timeout is not None:
            loop = owner.kernel.loop
            task.deadline = loop.time() + self.timeout
            if self._timer is None:
                self._timer = loop.call_at(task.deadline, self._look_at_deadlines)
        return task

    def ended(self, task: StreamTask, process: Process, *, failed: bool) -> None:
        """A task is dead. Its link is cut unless it has to end the reader: no ``ExitSignal`` comes from a stream."""
        self.running.pop(task, None)
        owner = self.owner
        # The root of a Runtime traps for its own reasons: what fails there ends the block, as with any other link.
        if self._link and (not failed or (owner.trap_exit and owner.parent is not None)):
            remove_link(owner, process)
        self.on_end(task)

    def stop(self) -> dict[Process, asyncio.Future[None]]:
        """Begin to stop all that run; returns what to wait for."""
        if self._timer is not None:
            self._timer.cancel()
        processes = [task.process for task in tuple(self.running) if task.process is not None]
        stops = {process: self._stop(process) for process in processes}
        return {process: ended for process, ended in stops.items() if ended is not None}

    def kill(self) -> None:
        """End all that still run, at once."""
        for task in tuple(self.running):
            if task.process is not None:
                kill_process(task.process)

    def _stop(self, process: Process) -> asyncio.Future[None] | None:
        remove_link(self.owner, process)
        return begin_stop(process, self.owner, self._spec.shutdown_seconds)

    def _look_at_deadlines(self) -> None:
        """One timer for all: it is set for the oldest task, and looks for the next one when it fires."""
        loop = self.owner.kernel.loop
        self._timer, now = None, loop.time()
        late = []
        for task in self.running:
            if task.deadline > now:
                self._timer = loop.call_at(task.deadline, self._look_at_deadlines)
                break
            if not task.timed_out:
                late.append(task)
        for task in late:
            if task.process is not None:
                task.timed_out = True
                task.process.kernel.incidents.call_timeout(task.process, "async_stream", self.timeout or 0.0)
                self.on_late(task, task.process)

    def _stop_late(self, _task: StreamTask, process: Process) -> None:
        self._stop(process)


def _ignore(_task: StreamTask) -> None:
    """Nobody listens yet."""
