"""The server inside a TaskSupervisor: starts tasks, forgets those that have ended, and hands out room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from mabeam.errors import NoSuchProcess, RejectedError, UsageError
from mabeam.kernel import (
    DEAD,
    EXITING,
    ExitSignal,
    NoProcess,
    current_kernel,
    current_process,
    find,
    name_target,
)
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._dynamic_supervisor import DynamicSupervisor
from mabeam.otp._handlers import system_call
from mabeam.otp._ref import Ref
from mabeam.otp._server import ServerBehaviour
from mabeam.otp._supervisor_checks import check_limits
from mabeam.otp._supervisor_reports import note_exit, note_started
from mabeam.otp._supervisor_state import restarts_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from mabeam.kernel import Activation, Name, Process
    from mabeam.otp._child_spec import ChildSpec
    from mabeam.otp._restart_state import Backoff
    from mabeam.otp._task_body import TaskBody
    from mabeam.otp._task_ref import TaskRef

__all__ = ("TaskPool", "open_pool", "reach")


class Waiting(Protocol):
    """A stream that waits for room."""

    def wake(self) -> None:
        """There is room, or was a moment ago: look again."""
        ...


class TaskPool(DynamicSupervisor):
    """What a TaskSupervisor does as a process."""

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
            max_children: most tasks at once, over all who start some; ``None``, the default, sets no limit.
            max_restarts: restarts allowed within ``max_seconds``; 0 allows none.
            max_seconds: length of that window in seconds.
            backoff: wait before restarts; none unless given.

        Raises:
            UsageError: lists all problems.
        """
        super().__init__(
            max_children=max_children, max_restarts=max_restarts, max_seconds=max_seconds, backoff=backoff
        )
        self.process = current_process()
        self._waiting: dict[Waiting, None] = {}
        """Streams that wait for room, the first one first."""

    @system_call(raises=(RejectedError,), starts=True)
    def begin_task(
        self,
        spec: ChildSpec[Any],
        task: TaskRef[Any] | None = None,
        link: bool = False,  # noqa: FBT001, FBT002  (a handler)
        /,
    ) -> Process:
        """Start a task for whoever calls, and give it to its owner, if it has one, before it runs.

        Raises:
            RejectedError: there are ``max_children`` already.
        """
        if self.is_full:
            msg = (
                f"{self.process.describe()} has {len(self._children)} tasks, and max_children allows no more: nothing was "
                "started. Try again when some have ended, or start fewer at once with async_stream."
            )
            raise RejectedError(msg)
        process = self.run_task(spec, spec.body)
        if task is not None:
            task.begin(process, link=link)
        return process

    @system_call(starts=True)
    def open_stream(self) -> TaskPool:
        """Let a stream have it, which starts its tasks directly."""
        return self

    @property
    def limit(self) -> int | None:
        """Most tasks at once."""
        return self._max_children

    @property
    def is_full(self) -> bool:
        """Whether ``max_children`` tasks are there."""
        return self._max_children is not None and len(self._children) >= self._max_children

    @property
    def takes_tasks(self) -> bool:
        """Whether a task can be started now."""
        return not self.is_full and not self.process.status & (EXITING | DEAD)

    def run_task(self, spec: ChildSpec[Any], body: TaskBody) -> Process:
        """Start a task: it runs from the run queue, so that whoever asked for it can link and monitor it first.

        No code of a user is involved and nothing is waited for; so the streams, which start many, call this directly.
        """
        me = self.process
        process = me.kernel.spawn(spec.behaviour, body, me, link=True)
        self._children[process] = spec
        note_started(me, spec)
        return process

    def tasks(self) -> Iterator[Process | Activation]:
        """Those that there are."""
        return iter(tuple(self._children))

    def wait_for_room(self, stream: Waiting) -> None:
        """Have ``stream`` woken when a task can be started."""
        self._waiting[stream] = None

    def stop_waiting(self, stream: Waiting) -> None:
        """The stream was woken, or has gone. If there is still room it is for the next."""
        self._waiting.pop(stream, None)
        self._offer_room()

    def _offer_room(self) -> None:
        """Wake the stream that has waited longest. Whoever is woken passes on what it leaves."""
        if self._waiting and self.takes_tasks:
            stream = next(iter(self._waiting))
            del self._waiting[stream]
            stream.wake()

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Take the end of a task."""
        if type(message) is not ExitSignal:
            return super().handle_info(message)
        process = cast("Process", message.pid._process)
        spec = self._children.get(process)
        if spec is not None and restarts_after(spec, message.reason):
            return super().handle_info(message)
        if spec is not None:
            note_exit(self.process, spec, message.reason)
            del self._children[process]
        self._offer_room()
        return None

    async def _stop(self, process: Process) -> None:
        await super()._stop(process)
        self._offer_room()


def reach(supervisor: Ref[Any] | Name) -> Ref[TaskPool]:
    """The TaskSupervisor that is meant, as the process that it is now.

    Raises:
        NoSuchProcess: it does not run.
        UsageError: it is something else.
    """
    kernel = current_kernel()
    process = find(kernel, supervisor)
    if process is None or process.status & DEAD:
        name = name_target(supervisor)
        hint = (
            "There is no TaskSupervisor to own the task, and a task is never started without one. Start it first, as a child "
            'of your supervisor: TaskSupervisor.child_spec(max_children=100).named("tasks").'
        )
        raise NoSuchProcess(
            name, NoProcess(), operation="start", pid=process.pid if process else None, hint=hint
        )
    behaviour = process.behaviour
    if not isinstance(behaviour, ServerBehaviour) or not issubclass(behaviour.cls, TaskPool):
        msg = f"expected the handle or the name of a TaskSupervisor, got {supervisor!r}, which is {process.describe()}"
        raise UsageError(msg)
    if process.kernel is not kernel:
        msg = f"{process.describe()} lives in another Runtime; its tasks can be started there only"
        raise UsageError(msg)
    return Ref(process, kernel)


async def open_pool(supervisor: Ref[Any] | Name) -> TaskPool:
    """Make sure that the supervisor serves, and hand it to a stream."""
    return await reach(supervisor).call(TaskPool.open_stream)
