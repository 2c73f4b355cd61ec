"""What a supervisor tells those who listen, and the log, of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam._base import Log
from mabeam.kernel import Crashed, ExitReason, forget_tracebacks

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.otp._child_spec import ChildSpec

__all__ = ("note_exit", "note_restart", "note_started", "report_failed_restart", "report_giving_up")

logger = Log("mabeam")


def note_started(supervisor: Process, spec: ChildSpec[Any]) -> None:
    """Tell those who listen."""
    bus = supervisor.kernel.bus
    if bus.listening:
        bus.emit(
            "supervisor.child_started", {"count": 1}, {"supervisor": supervisor.pid.serial, "child": spec.id}
        )


def note_exit(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason) -> None:
    """Tell those who listen that a child ended by itself."""
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id, "reason": repr(reason)}
        bus.emit("supervisor.child_exited", {"count": 1}, metadata)


def note_restart(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason, attempt: int) -> None:
    """Tell those who listen that a child is to be restarted."""
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id, "reason": repr(reason)}
        bus.emit("supervisor.restarting", {"attempt": attempt}, metadata)


def report_failed_restart(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason) -> None:
    """Log that a restart failed and will be tried again."""
    error = reason.exception if isinstance(reason, Crashed) else None
    logger.error(
        "%s could not restart child %r: %r; it tries again",
        supervisor.describe(),
        spec.id,
        reason,
        exc_info=(type(error), error, error.__traceback__) if error is not None else None,
    )
    if error is not None:
        forget_tracebacks(error)


def report_giving_up(supervisor: Process, spec: ChildSpec[Any], count: int, seconds: float) -> None:
    """Log that a supervisor gives up."""
    logger.error(
        "%s gives up: %d restart(s) within %g s are more than it allows (max_restarts, max_seconds); the last was of child "
        "%r. It stops its other children and ends with Shutdown().",
        supervisor.describe(),
        count,
        seconds,
        spec.id,
    )
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id}
        bus.emit("supervisor.gave_up", {"restarts": count}, metadata)
