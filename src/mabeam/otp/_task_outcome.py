"""What comes of a task: the message that brings its value, and the two outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from mabeam.kernel import Exempt

if TYPE_CHECKING:
    from mabeam.kernel import ExitReason, MonitorRef

__all__ = ("TaskExit", "TaskOk", "TaskOutcome", "TaskResult")

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TaskResult(Exempt):
    """The value of a task, as the process that started it finds it in its mailbox when nobody awaited it.

    A ``Down`` with the same ``ref`` and ``Normal()`` follows. A task that fails sends its ``Down`` only.

    Attributes:
        ref: the monitor of the task: ``task.ref`` of its handle.
        value: what its function returned.
    """

    ref: MonitorRef
    value: Any


@dataclass(frozen=True, slots=True)
class TaskOk(Generic[R_co]):
    """A task has returned.

    Attributes:
        value: what its function returned.
    """

    value: R_co


@dataclass(frozen=True, slots=True)
class TaskExit:
    """A task has ended without a value.

    Attributes:
        reason: its exit reason; ``Exited("timeout")`` for an item of a stream that took too long.
        item: the item of the stream that it was for; ``None`` for other tasks.
    """

    reason: ExitReason
    item: Any = None


TaskOutcome: TypeAlias = TaskOk[R_co] | TaskExit
"""What came of a task."""
