"""A function that runs in a task of its own for a caller that waits: the result goes straight there."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, final

from mabeam.errors import ProcessDied, RejectedError, TimeLimitExceeded
from mabeam.kernel import Crashed, Shutdown, current_process, end, find, is_decided, label_of
from mabeam.otp import TaskExit, TaskSupervisor, ref
from mabeam.services._circuit_settings import TaskRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Pid, Process
    from mabeam.otp import TaskOutcome, TaskRef
    from mabeam.services._circuits import Circuits

__all__ = ("run_supervised",)

GRACE: Final = 1.0
"""Seconds that a task has to end when nobody wants its result any more; then it is killed."""


async def run_supervised(
    circuits: Circuits,
    limit: str,
    timeout: float | None,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run a function in a task of the service, and wait for it.

    Guarantees:
        However this ends, the task has ended before, or was killed; unless the caller itself is ending, and must not be held
        up: then the task was told to end, and has its grace.

    Raises:
        RejectedError: there are too many tasks, or they are being restarted; nothing was run.
        TimeLimitExceeded: it took longer than ``timeout`` seconds.
        ProcessDied: the task ended without a result: it was stopped or killed.
        Exception: what the function raised.
    """
    pool = circuits.pool
    if pool is None or not pool.is_alive:
        raise _no_pool(circuits, limit)
    try:
        task = await TaskSupervisor.options(shutdown=GRACE).start_task_nolink(
            ref(pool.pid, TaskSupervisor), _Call(function, args, kwargs)
        )
    except RejectedError:
        msg = (
            f"{circuits.process.describe()} has {circuits.max_tasks} supervised calls under way, and max_tasks allows no more: nothing "
            "was run. Try again when some have ended, put a Bulkhead around the callers, or start the service with a higher limit."
        )
        raise TaskRefused(msg, limit) from None
    except ProcessDied as error:
        raise _no_pool(circuits, limit) from error
    tie = _Tie(circuits, task.pid)
    try:
        outcome = await task.wait(timeout)
        if outcome is None:
            raise TimeLimitExceeded(limit, timeout or 0.0)
    except BaseException:
        if is_decided(tie.caller):
            # What waits while its process is being ended is taken for code that swallows its cancellation, and left behind.
            tie.end()
        else:
            # From here on the task is being ended, also when this very wait is cut short.
            await task.shutdown(GRACE)
        raise
    finally:
        tie.cut()
    return _value_of(outcome, task)


def _value_of(outcome: TaskOutcome[tuple[bool, Any]], task: TaskRef[Any]) -> Any:
    if isinstance(outcome, TaskExit):
        cause = outcome.reason.exception if isinstance(outcome.reason, Crashed) else None
        raise ProcessDied(repr(task), outcome.reason, operation="await", pid=task.pid) from cause
    is_value, value = outcome.value
    if is_value:
        return value
    raise value


@final
class _Call:
    """What the task runs; in reports it is called as the function is."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.__qualname__ = label_of(function)
        self._function = function
        self._args = args
        self._kwargs = kwargs

    async def __call__(self) -> tuple[bool, Any]:
        """Run it. What it raises is a result as well: no crash, of which a report would be logged."""
        try:
            result = self._function(*self._args, **self._kwargs)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # noqa: BLE001 - it is the caller's business, to whom it goes
            return False, error
        return True, result


def _no_pool(circuits: Circuits, circuit_id: str) -> TaskRefused:
    return TaskRefused(
        f"the tasks of {circuits.process.describe()} are being restarted, or stopped: nothing was run. Try again.",
        circuit_id,
    )


@final
class _Tie:
    """Ends a task in the moment in which its caller dies. A link would also do so the other way round.

    Attributes:
        caller: the process that waits.
    """

    __slots__ = ("_circuits", "_task", "caller")

    def __init__(self, circuits: Circuits, task: Pid) -> None:
        self._circuits = circuits
        self.caller: Process = current_process()
        self._task = find(self.caller.kernel, task)
        circuits.running += 1
        if self.caller.registrations is None:
            self.caller.registrations = {}
        self.caller.registrations[self] = None

    def process_ended(self, _pid: Pid) -> None:
        """The caller is dead: what is left of its wait never runs again."""
        self.end()

    def end(self) -> None:
        """Tell the task to end; nobody waits for it."""
        task, self._task = self._task, None
        if task is not None:
            self._circuits.running -= 1
            end(task, Shutdown())

    def cut(self) -> None:
        """The task is over."""
        task, self._task = self._task, None
        if task is not None:
            self._circuits.running -= 1
        if self.caller.registrations is not None:
            self.caller.registrations.pop(self, None)
