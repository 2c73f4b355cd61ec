"""What goes wrong in a Runtime, told once and where it happens: in the log, to telemetry, and counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mabeam._base import Log
from mabeam.kernel._reasons import Crashed
from mabeam.kernel._reports import crash_report, forget_tracebacks

if TYPE_CHECKING:
    from mabeam._base import BoundedThreads, Position
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason
    from mabeam.telemetry import Bus

__all__ = ("Incidents",)

logger = Log("mabeam")


class Incidents:
    """Those of one Runtime.

    Attributes:
        is_stopping: the program has been told to stop.
        frozen: labels and stacks of coroutines that were left behind, the latest ones.
        frozen_count: how many there were.
        expired_count: how much work was not done because nobody waited for it any more.
    """

    def __init__(self, runtime_id: str, bus: Bus, threads: BoundedThreads) -> None:
        """None yet."""
        self._runtime_id = runtime_id
        self._bus = bus
        self._threads = threads
        self.is_stopping = False
        self.frozen: deque[tuple[str, tuple[Position, ...]]] = deque(maxlen=1_000)
        self.frozen_count = 0
        self.expired_count = 0

    def crash(self, process: Process, reason: ExitReason, where: str) -> None:
        """Log the crash of a process, once, where it happened."""
        if isinstance(reason, Crashed):
            crash_report(logger, process, reason.exception, where)
            forget_tracebacks(reason.exception)
            if self._bus.listening:
                metadata = {"pid": process.pid.serial, "label": process.label, "reason": repr(reason)}
                self._bus.emit("process.crashed", {"count": 1}, metadata)

    def failure(self, process: Process, error: BaseException, where: str) -> None:
        """Log the failure of a handler that its process survives, once, where it happened."""
        crash_report(logger, process, error, where, survives=True)
        forget_tracebacks(error)

    def flood(self, count: int) -> None:
        """While all processes were stopped, far more have been started than there were."""
        logger.error(
            "runtime %s: %d processes are killed, because while all were stopped thousands of others were started. Likely "
            "each starts the next, without end.",
            self._runtime_id,
            count,
        )

    def left_behind(self, process: Process, activation: Activation, stack: tuple[Position, ...]) -> None:
        """A coroutine did not end when it was told to and was left behind."""
        name = activation.task.get_name() if activation.task is not None else "?"
        self.frozen.append((f"{process.describe()}: {name}", stack))
        self.frozen_count += 1
        logger.error(
            "%s: %s did not end when it was cancelled and was left behind (frozen) at %s. %s",
            process.describe(),
            name,
            stack[-1] if stack else "an unknown place",
            "A kill leaves no time for clean-up that awaits, the end of a TaskGroup included."
            if process.ending is not None and process.ending.killed
            else "It swallows CancelledError, which it should let pass, or cleans up for too long.",
        )
        if self._bus.listening:
            metadata = {
                "pid": process.pid.serial,
                "label": process.label,
                "stack": " < ".join(str(place) for place in reversed(stack)),
            }
            self._bus.emit("process.frozen", {"count": 1}, metadata)

    def fenced(self, process: Process, what: str, stack: tuple[Position, ...]) -> None:
        """A thread goes on though nobody waits for it any more."""
        # When the program has been told to stop it is ended all the same, and with it all that it had threads for.
        log = logger.debug if self.is_stopping else logger.warning
        log(
            "%s: the thread that runs %s was left behind (fenced) at %s. It cannot be interrupted, and takes one of the "
            "Runtime's %d threads until it returns: give what it waits for a timeout of its own.",
            process.describe(),
            what,
            stack[-1] if stack else "an unknown place",
            self._threads.statistics().limit,
        )
        if self._bus.listening:
            metadata = {
                "pid": process.pid.serial,
                "label": process.label,
                "function": what,
                "stack": " < ".join(str(place) for place in reversed(stack)),
            }
            self._bus.emit("thread.fenced", {"count": 1}, metadata)

    def expired(self, process: Process, what: str, why: str) -> None:
        """Work for a caller who no longer waits was not begun, or not gone on with."""
        self.expired_count += 1
        if self._bus.listening:
            metadata = {"pid": process.pid.serial, "handler": what, "why": why}
            self._bus.emit("call.expired", {"count": 1}, metadata)

    def call_timeout(self, process: Process, what: str, timeout: float) -> None:
        """A caller of ``process`` has given up."""
        if self._bus.listening:
            self._bus.emit(
                "call.timed_out", {"timeout": timeout}, {"pid": process.pid.serial, "handler": what}
            )
