"""Starting tasks with options apart from their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, final, overload

from mabeam.errors import UsageError
from mabeam.kernel import check_function, current_process, label_of
from mabeam.otp._child_spec import ChildOptions, ChildSpec
from mabeam.otp._task_body import TaskBehaviour, TaskBody
from mabeam.otp._task_pool import TaskPool, reach
from mabeam.otp._task_ref import TaskRef

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mabeam.kernel import Name, Pid
    from mabeam.otp._child_spec import Restart, ShutdownTime
    from mabeam.otp._ref import Ref
    from mabeam.otp._task_supervisor import TaskSupervisor

__all__ = ("TaskOptions", "Tasks")

P = ParamSpec("P")
R = TypeVar("R")

Tasks: TypeAlias = "Ref[TaskSupervisor] | Name"
"""Which TaskSupervisor: its handle or its name."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Starts tasks with options. Made by ``TaskSupervisor.options``, which says what they mean.

    Attributes:
        restart: when a task is restarted.
        shutdown: how long it may take to stop.
    """

    restart: Restart = "temporary"
    shutdown: ShutdownTime = 5.0

    def __post_init__(self) -> None:
        problems = [
            problem.removeprefix("child 'task': ")
            for problem in self._spec(_no_function, (), {}, None).check()
        ]
        if problems:
            raise UsageError(f"TaskSupervisor.options: {'; '.join(problems)}", problems=problems)

    async def start_child(
        self, supervisor: Tasks, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> Pid:
        """As ``TaskSupervisor.start_child``."""
        check_function(function, "start_child", args, kwargs)
        spec = self._spec(function, args, kwargs, None)
        process = await reach(supervisor).call(TaskPool.begin_task, spec)
        return process.pid

    @overload
    async def start_task(
        self,
        supervisor: Tasks,
        function: Callable[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskRef[R]: ...
    @overload
    async def start_task(
        self, supervisor: Tasks, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    async def start_task(
        self, supervisor: Tasks, function: Any, /, *args: Any, **kwargs: Any
    ) -> TaskRef[Any]:
        """As ``TaskSupervisor.start_task``."""
        return await self.start(supervisor, function, args, kwargs, link=True)

    @overload
    async def start_task_nolink(
        self,
        supervisor: Tasks,
        function: Callable[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskRef[R]: ...
    @overload
    async def start_task_nolink(
        self, supervisor: Tasks, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskRef[R]: ...
    async def start_task_nolink(
        self, supervisor: Tasks, function: Any, /, *args: Any, **kwargs: Any
    ) -> TaskRef[Any]:
        """As ``TaskSupervisor.start_task_nolink``."""
        return await self.start(supervisor, function, args, kwargs, link=False)

    async def start(
        self, supervisor: Tasks, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, link: bool
    ) -> TaskRef[Any]:
        """Start a task that has an owner; what ``start_task`` and ``start_task_nolink`` have in common."""
        how = "start_task" if link else "start_task_nolink"
        check_function(function, how, args, kwargs)
        if self.restart != "temporary":
            msg = (
                f"{how} gives a value once, so its task cannot be restarted; got restart={self.restart!r}. "
                "Use start_child for a task that is to be restarted."
            )
            raise UsageError(msg)
        reference = reach(supervisor)
        task: TaskRef[Any] = TaskRef()
        spec = self._spec(function, args, kwargs, task)
        try:
            await reference.call(TaskPool.begin_task, spec, task, link)
        except BaseException:
            task.abandon()
            raise
        return task

    def spec_of(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ChildSpec[None]:
        """The spec of a task that nobody waits for; for supervisors of tasks that start their own with ``run_task``."""
        return self._spec(function, args, kwargs, None)

    def _spec(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], task: TaskRef[Any] | None
    ) -> ChildSpec[None]:
        body = TaskBody(
            function,
            args,
            kwargs,
            finished=task.finished if task is not None else None,
            owner=current_process().pid if task is not None else None,
        )
        options = ChildOptions(default_id="task", restart=self.restart, shutdown=self.shutdown)
        return ChildSpec(TaskBehaviour(label_of(function)), body, options)


def _no_function() -> None:
    """Stands for a function where options are checked."""
