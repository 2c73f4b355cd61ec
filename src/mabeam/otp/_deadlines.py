"""Callers that have stopped waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from mabeam.errors import DeadlineExceeded
from mabeam.otp._handlers import is_start

if TYPE_CHECKING:
    from mabeam.kernel import Activation, Caller, Process

__all__ = ("check_deadline", "has_expired", "is_over_for_nobody")


def has_expired(process: Process, caller: Caller[Any]) -> bool:
    """Whether the caller has stopped waiting because its time was up."""
    return caller.deadline is not None and process.kernel.loop.time() >= caller.deadline


def is_over_for_nobody(error: object, process: Process, caller: Caller[Any]) -> TypeGuard[Exception]:
    """Whether a handler has ended only because its caller has stopped waiting; the tasks of a group may have told it so."""
    if isinstance(error, ExceptionGroup):
        _, others = error.split(DeadlineExceeded)
        return others is None and has_expired(process, caller)
    return isinstance(error, DeadlineExceeded) and has_expired(process, caller)


def check_deadline(owner: Process | Activation, method: object) -> None:
    """Call nobody for a caller who has stopped waiting. What only starts a process, which others may want, is let through.

    Raises:
        DeadlineExceeded: there is one.
    """
    deadline, now = owner.deadline, owner.process.kernel.loop.time()
    if deadline is not None and now >= deadline and not is_start(method):
        msg = (
            f"{owner.process.describe()} was to call for a caller whose deadline passed {now - deadline:.3g} s ago: nobody would "
            "get the answer. What must be done in any case belongs in a cast, or in a process of its own (spawn, TaskSupervisor)."
        )
        raise DeadlineExceeded(msg)
