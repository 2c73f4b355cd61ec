"""spawn_supervised: start a function under a TaskSupervisor, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVarTuple

from mabeam.otp._task_supervisor import TaskSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Pid
    from mabeam.otp._task_options import Tasks

__all__ = ("spawn_supervised",)

Ts = TypeVarTuple("Ts")


async def spawn_supervised(function: Callable[[*Ts], object], /, *args: *Ts, supervisor: Tasks) -> Pid:
    """Start a task that nobody waits for, under a TaskSupervisor that is named: ``TaskSupervisor.start_child``.

    Guarantees:
        The function never runs unsupervised: without a running supervisor nothing is started. It is not restarted; what
        is to be restarted is a child with a spec of its own.

    Args:
        function: what the task runs; ``async def`` or ``def``.
        args: its arguments; for keywords use ``functools.partial``.
        supervisor: handle or name of the TaskSupervisor.

    Returns:
        The pid of the task.

    Raises:
        NoSuchProcess: the supervisor does not run; the message says how to start it.
        RejectedError: it has ``max_children`` tasks already; nothing was done.
        UsageError: it is no TaskSupervisor; or ``function`` is no function, or the arguments do not fit it.

    Example:
        seen: list[str] = []

        async def main() -> list[str]:
            await mabeam.Supervisor.start_link(
                [TaskSupervisor.child_spec(max_children=10).named("tasks")], strategy="one_for_one"
            )
            task = await spawn_supervised(seen.append, "hello", supervisor="tasks")
            mabeam.monitor(task)
            await mabeam.receive(mabeam.Down)
            return seen

        assert mabeam.run(main) == ["hello"]
    """
    return await TaskSupervisor.start_child(supervisor, function, *args)
