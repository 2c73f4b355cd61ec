"""TaskSupervisor: functions that run once, each in a process of its own, with an owner for each of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from mabeam.kernel import check_function
from mabeam.otp._async_stream import AsyncStream
from mabeam.otp._task_options import TaskOptions
from mabeam.otp._task_pool import TaskPool, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Coroutine, Iterable

    from mabeam.kernel import Pid
    from mabeam.otp._async_stream import OnTimeout
    from mabeam.otp._child_spec import Restart, ShutdownTime
    from mabeam.otp._task_options import Tasks
    from mabeam.otp._task_ref import TaskRef

__all__ = ("TaskSupervisor",)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_DEFAULT: Final = TaskOptions()


class TaskSupervisor(TaskPool):
    """A supervisor of functions that run once: each in a process of its own, all of them bounded by ``max_children``.

    Tasks are started by the functions of this class, which take the handle or the name of the supervisor first. What
    follows the function belongs to it; options are apart: ``TaskSupervisor.options(shutdown=1.0).start_task(...)``.

    A task may be ``async def`` or ``def``; a ``def`` runs to its end in the event loop, so it must not block. Tasks are not
    restarted unless said otherwise. They are stopped with their supervisor, all at once.

    Example:
        async def fetch(url: str) -> int:
            return len(url)

        async def main() -> int:
            tasks = await TaskSupervisor.start_link(max_children=10)
            first = await TaskSupervisor.start_task(tasks, fetch, "/index")
            second = await TaskSupervisor.start_task(tasks, fetch, "/about-us")
            return await first + await second

        assert mabeam.run(main) == 15
    """

    # ------------------------------------------------------------------------------------------- starting tasks

    @staticmethod
    def options(*, restart: Restart = "temporary", shutdown: ShutdownTime = 5.0) -> TaskOptions:
        """Start tasks with other options: ``await TaskSupervisor.options(restart="transient").start_child(tasks, poll)``.

        Args:
            restart: ``temporary`` (never), ``transient`` (after an abnormal end) or ``permanent``; for ``start_child``.
            shutdown: seconds that a task has to end when it is stopped, ``"brutal_kill"`` or ``"infinity"``.

        Raises:
            UsageError: lists all problems.
        """
        return TaskOptions(restart=restart, shutdown=shutdown)

    @staticmethod
    async def start_child(  # type: ignore[override]  # of the class, not a handler: takes a function, not a spec
        supervisor: Tasks, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> Pid:
        """Start a task that nobody waits for: supervised, and neither linked to the caller nor monitored by it.

        Returns:
            Its pid.

        Raises:
            NoSuchProcess: the supervisor does not run; nothing was done.
            ProcessDied: it ended in this moment; no task is left.
            RejectedError: it has ``max_children`` tasks already; nothing was done.
            UsageError: it is no TaskSupervisor; or ``function`` is no function, or the arguments do not fit it.
        """
        return await _DEFAULT.start_child(supervisor, function, *args, **kwargs)

    @overload
    @staticmethod
    async def start_task(
        supervisor: Tasks, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    @overload
    @staticmethod
    async def start_task(
        supervisor: Tasks, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    @staticmethod
    async def start_task(supervisor: Tasks, function: Any, /, *args: Any, **kwargs: Any) -> TaskRef[Any]:
        """Start a task whose value the caller wants: linked to the caller, so that they share their fate.

        When the task fails, the caller ends with its reason unless it traps exits; when the caller fails, the task ends.

        Guarantees:
            Link and monitor are there before the function begins. Cancelled, no task is left behind.

        Returns:
            Its handle, to be awaited.

        Raises:
            NoSuchProcess: the supervisor does not run; nothing was done.
            ProcessDied: it ended in this moment; no task is left.
            RejectedError: it has ``max_children`` tasks already; nothing was done.
            UsageError: it is no TaskSupervisor; or ``function`` is no function, or the arguments do not fit it.
        """
        return await _DEFAULT.start(supervisor, function, args, kwargs, link=True)

    @overload
    @staticmethod
    async def start_task_nolink(
        supervisor: Tasks, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    @overload
    @staticmethod
    async def start_task_nolink(
        supervisor: Tasks, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    @staticmethod
    async def start_task_nolink(
        supervisor: Tasks, function: Any, /, *args: Any, **kwargs: Any
    ) -> TaskRef[Any]:
        """As :meth:`start_task`, not linked: the caller survives a failure, which ``await`` raises as ``ProcessDied``.

        The task also survives its caller.
        """
        return await _DEFAULT.start(supervisor, function, args, kwargs, link=False)

    @overload
    @staticmethod
    def async_stream(
        supervisor: Tasks,
        function: Callable[[T], Coroutine[Any, Any, R]],
        items: Iterable[T] | AsyncIterable[T],
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[R]: ...
    @overload
    @staticmethod
    def async_stream(
        supervisor: Tasks,
        function: Callable[[T], R],
        items: Iterable[T] | AsyncIterable[T],
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[R]: ...
    @staticmethod
    def async_stream(
        supervisor: Tasks,
        function: Any,
        items: Any,
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[Any]:
        """Run a task for each item and read what comes of them, as a block.

        ``async with TaskSupervisor.async_stream(tasks, fetch, urls, max_concurrency=8) as outcomes:`` and in it
        ``async for outcome in outcomes:``. Each outcome is ``TaskOk(value)`` or ``TaskExit(reason, item)``. The tasks are
        linked to the caller: one that fails ends it, unless it traps exits, in which case that item is a ``TaskExit``.

        Guarantees:
            At most ``max_concurrency`` items are ahead of the reader, running ones and unread outcomes together, so
            ``items`` may be infinite. The supervisor's ``max_children`` holds over all its streams: one that finds it full
            waits for room. When the block is left, in whatever way, every task still running is stopped and waited for;
            when the caller dies they are stopped. Nothing goes to the caller's mailbox.

        Args:
            supervisor: handle or name of the TaskSupervisor.
            function: called with one item; ``async def`` or ``def``.
            items: any iterable. It is read in the caller. An async one is read beside the caller, in an activation of its
                own, which ``receive()`` is not for.
            max_concurrency: most tasks of this stream at once.
            ordered: outcomes come in the order of the items; if not, as they are ready.
            timeout: seconds for each item, from its start; ``None`` sets no limit.
            on_timeout: ``kill_task`` stops that task and reports ``TaskExit(Exited("timeout"), item)`` in its place;
                ``exit`` raises ``CallTimeout`` in the reader.
            shutdown: seconds that a task has to end when it is stopped, ``"brutal_kill"`` or ``"infinity"``.

        Raises:
            UsageError: the options are wrong; or, on iterating, the block was left out.
            NoSuchProcess: on entering the block: the supervisor does not run.
            ProcessDied: on reading, after what has come of the items so far: the supervisor has ended.
            CallCycle: on reading: all tasks that the next outcome may come from wait for whoever reads, in a call say.
        """
        check_function(function, "async_stream", (None,), {})
        return AsyncStream(
            partial(open_pool, supervisor),
            function,
            items,
            link=True,
            max_concurrency=max_concurrency,
            ordered=ordered,
            timeout=timeout,
            on_timeout=on_timeout,
            shutdown=shutdown,
        )

    @overload
    @staticmethod
    def async_stream_nolink(
        supervisor: Tasks,
        function: Callable[[T], Coroutine[Any, Any, R]],
        items: Iterable[T] | AsyncIterable[T],
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[R]: ...
    @overload
    @staticmethod
    def async_stream_nolink(
        supervisor: Tasks,
        function: Callable[[T], R],
        items: Iterable[T] | AsyncIterable[T],
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[R]: ...
    @staticmethod
    def async_stream_nolink(
        supervisor: Tasks,
        function: Any,
        items: Any,
        /,
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> AsyncStream[Any]:
        """As :meth:`async_stream`, not linked: an item that fails is a ``TaskExit`` in its place, and nothing else."""
        check_function(function, "async_stream_nolink", (None,), {})
        return AsyncStream(
            partial(open_pool, supervisor),
            function,
            items,
            link=False,
            max_concurrency=max_concurrency,
            ordered=ordered,
            timeout=timeout,
            on_timeout=on_timeout,
            shutdown=shutdown,
        )
