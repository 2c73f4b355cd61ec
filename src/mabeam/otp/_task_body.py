"""What the process of a task runs: one function, with telemetry at its beginning and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.kernel import Body, PlainBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Pid, Process

__all__ = ("TaskBehaviour", "TaskBody")


class TaskBody(Body):
    """A function with its arguments, and the process that it works for."""

    __slots__ = ("owner",)

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        finished: Callable[[object, BaseException | None], None] | None,
        owner: Pid | None,
    ) -> None:
        """As of a plain process; ``owner`` is ``None`` when nobody waits for the value."""
        super().__init__(function, args, kwargs, finished)
        self.owner = owner


class TaskBehaviour(PlainBehaviour):
    """Runs a task."""

    __slots__ = ()

    def start(self, process: Process) -> None:
        """Begin, and tell those who listen."""
        bus = process.kernel.bus
        if bus.listening:
            span = _TaskSpan(process)
            bus.emit("task.started", {}, span.metadata)
            if process.registrations is None:
                process.registrations = {}
            process.registrations[span] = None
        super().start(process)


class _TaskSpan:
    """Tells of the end of a task, in the moment of that end."""

    __slots__ = ("metadata", "process", "started_at")

    def __init__(self, process: Process) -> None:
        owner = process.body.owner
        self.process = process
        self.started_at = process.kernel.loop.time()
        self.metadata = {
            "pid": process.pid.serial,
            "label": process.label,
            "owner": None if owner is None else owner.serial,
        }

    def process_ended(self, _pid: Pid) -> None:
        """The task has ended."""
        kernel, ending = self.process.kernel, self.process.ending
        if kernel.bus.listening:
            reason = repr(ending.reason if ending is not None else None)
            kernel.bus.emit(
                "task.finished",
                {"duration": kernel.loop.time() - self.started_at},
                {**self.metadata, "reason": reason},
            )
