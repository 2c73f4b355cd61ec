"""Callers that have stopped waiting, and servers that ended before they were reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.errors import DeadlineExceeded, NoSuchProcess
from mabeam.kernel import NoProcess

if TYPE_CHECKING:
    from mabeam.errors import Operation
    from mabeam.kernel import Activation, Caller, Process

__all__ = ("check_deadline", "has_expired", "was_gone")


def has_expired(process: Process, caller: Caller[Any]) -> bool:
    """Whether the caller has stopped waiting because its time was up."""
    return caller.deadline is not None and process.kernel.loop.time() >= caller.deadline


def check_deadline(owner: Process | Activation) -> None:
    """Begin nothing new for a caller who has stopped waiting.

    Raises:
        DeadlineExceeded: there is one.
    """
    loop = owner.process.kernel.loop
    if owner.deadline is not None and loop.time() >= owner.deadline:
        msg = (
            f"{owner.process.describe()} was to call for a caller whose deadline passed {loop.time() - owner.deadline:.3g} s "
            "ago: nobody would get the answer. Calls that must be made in any case belong in a cast, or in a task."
        )
        raise DeadlineExceeded(msg)


def was_gone(process: Process, operation: Operation) -> NoSuchProcess:
    """The error for whoever came when the end of a process was settled, now that it is dead."""
    return NoSuchProcess(process.describe(), NoProcess(), operation=operation, pid=process.pid)
