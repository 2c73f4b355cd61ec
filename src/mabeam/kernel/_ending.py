"""How a process ends: decided, wound up, dead.

An end is wound up in stages, each of which may take time: handlers in progress are cancelled and have a grace; then
``terminate`` runs (if this end has one), then the clean-up of ``lifespan``; then the tasks that its code created are
cancelled; then it is dead. A kill skips all of that: everything is thrown at once and what does not end is frozen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from mabeam.kernel._activation import Activation, activate, freeze_or_finish
from mabeam.kernel._messages import Stop
from mabeam.kernel._process import BUSY, DEAD, EXITING, SCHEDULED, STARTING, SUSPENDED
from mabeam.kernel._reasons import KILLED, Crashed

if TYPE_CHECKING:
    import asyncio

    from mabeam.kernel._calls import Caller
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = (
    "GRACE",
    "LIFESPAN",
    "TERMINATE",
    "Ending",
    "advance",
    "crash_reason",
    "end",
    "finish_kill",
    "is_decided",
    "kill",
    "kill_all",
    "stop",
    "stop_loop",
)

GRACE: Final = 1.0
"""Seconds that cancelled handlers have when nobody who stops the process has said otherwise."""

HANDLERS, TERMINATE, LIFESPAN, TASKS = range(4)


class Ending:
    """The decided end of a process and how far it has come.

    Attributes:
        reason: why it ends; may still be replaced by what ``terminate`` raises, or by ``Killed``.
        terminates: ``terminate`` is to be run.
        killed: nothing is waited for any more.
        parting: a caller that gets its reply when ``terminate`` has run.
    """

    __slots__ = ("killed", "parting", "reason", "stage", "terminates", "timer")

    def __init__(
        self, reason: ExitReason, *, terminates: bool, parting: tuple[Caller[Any], object] | None = None
    ) -> None:
        """An end that has just been decided."""
        self.reason = reason
        self.terminates = terminates
        self.killed = False
        self.parting = parting
        self.stage = HANDLERS
        self.timer: asyncio.TimerHandle | None = None

    @property
    def cancels_tasks(self) -> bool:
        """Whether the tasks that its code has created are cancelled by now."""
        return self.stage == TASKS


def stop(process: Process, reason: ExitReason, parting: tuple[Caller[Any], object] | None = None) -> None:
    """End in an orderly way, ``terminate`` included: its own decision, ``ref.stop``, a trapped exit of the parent."""
    if process.ending is None:
        process.ending = Ending(reason, terminates=not process.status & STARTING, parting=parting)
        process.status = process.status & ~SUSPENDED | EXITING
        _cancel_handlers(process)
        advance(process)


def end(process: Process, reason: ExitReason) -> None:
    """End without ``terminate``: an exit signal that is not trapped, or the end of a plain process's body."""
    ending = process.ending
    if ending is None:
        process.ending = Ending(reason, terminates=False)
        process.status = process.status & ~SUSPENDED | EXITING
    elif ending.terminates and ending.stage <= TERMINATE and not ending.killed:
        # In OTP a process in its terminate callback is an ordinary one: a signal still ends it.
        ending.reason, ending.terminates, ending.stage, ending.parting = reason, False, HANDLERS, None
    else:
        return
    _cancel_handlers(process)
    advance(process)


def kill_all(kernel: Kernel) -> None:
    """Kill every process but the root, the latest first."""
    for process in reversed(tuple(kernel.table.values())):
        if process is not kernel.root:
            kill(process)


def is_decided(process: Process) -> bool:
    """Whether its end is settled: nothing that reaches it from now on finds it alive.

    In OTP it would be dead. Here its code may still be winding up, so that those who ask are told when it is; but they are
    told what OTP tells them. While ``terminate`` is to run or runs, a process is an ordinary one.
    """
    ending = process.ending
    return bool(process.status & DEAD) or (ending is not None and (ending.killed or not ending.terminates))


def kill(process: Process, *, is_signal: bool = False) -> None:
    """End at once; cannot be trapped. Code of the process that runs now is over when it next waits or returns.

    A kill that is a signal of another process hurries an end that is settled, but comes too late for its reason.
    """
    if process.status & DEAD or (process.ending is not None and process.ending.killed):
        return
    if process.parent is None and process.kernel.on_root_signal is not None:
        # The root is whoever runs the Runtime; it cannot be frozen.
        process.kernel.on_root_signal(process, KILLED)
        return
    keeps_reason = is_signal and is_decided(process)
    if process.ending is None:
        process.ending = Ending(KILLED, terminates=False)
    _stop_timer(process.ending)
    if not keeps_reason:
        process.ending.reason = KILLED
    process.ending.killed, process.ending.parting = True, None
    process.status = process.status & ~SUSPENDED | EXITING
    if process.status & SCHEDULED:
        return
    if any(True for _ in process.running()) or _is_on_stack(process):
        process.kernel.scheduler.schedule(process)
    else:
        process.kernel.die(process)


def finish_kill(process: Process) -> None:
    """The second half of a kill, from the run queue, when no code of the process is on the stack."""
    if process.ending is None or not process.ending.killed or process.status & DEAD:
        return
    if _is_on_stack(process):
        process.kernel.scheduler.schedule(process)
        return
    _freeze_all(process)
    process.kernel.die(process)


def advance(process: Process) -> None:
    """Go on with an end as far as it goes without waiting. Called whenever something of the process has ended."""
    ending = process.ending
    while ending is not None and not process.status & DEAD:
        if ending.killed:
            if not process.status & SCHEDULED:
                process.kernel.scheduler.schedule(process)
            return
        if ending.stage == HANDLERS:
            if process.activations or _is_on_stack(process):
                return
            _stop_timer(ending)
            ending.stage = TERMINATE
            if ending.terminates and not _terminate(process, ending):
                return
        elif ending.stage == TERMINATE:
            if process.activations or _is_on_stack(process):
                return
            ending.stage = LIFESPAN
            if ending.parting is not None:
                (caller, value), ending.parting = ending.parting, None
                caller.reply(value)
            process.behaviour.leave_lifespan(process)
        elif ending.stage == LIFESPAN:
            if process.hold is not None:
                return
            ending.stage = TASKS
            for task in tuple(process.tasks or ()):
                task.cancel()
            _start_timer(process, ending, needed=bool(process.tasks))
        elif process.tasks:
            return
        else:
            _stop_timer(ending)
            process.kernel.die(process)
            return


def crash_reason(error: BaseException) -> ExitReason:
    """The exit reason of code that ended by raising."""
    return error.reason if isinstance(error, Stop) else Crashed(error)


def _is_on_stack(process: Process) -> bool:
    return bool(process.status & BUSY) and process.serial is None


def _cancel_handlers(process: Process) -> None:
    handlers = tuple(process.activations or ())
    for activation in handlers:
        activation.cancel()
    if process.ending is not None and not process.status & DEAD:
        _start_timer(process, process.ending, needed=bool(handlers))


def _start_timer(process: Process, ending: Ending, *, needed: bool) -> None:
    _stop_timer(ending)
    loop = process.kernel.loop
    until = process.grace_until if process.grace_until is not None else loop.time() + GRACE
    if needed and until < math.inf:
        # When the time of whoever stops it has run out it is killed, and says so in its reason.
        too_late = _grace_is_over if process.grace_until is None else kill
        ending.timer = loop.call_at(until, too_late, process)


def _stop_timer(ending: Ending) -> None:
    if ending.timer is not None:
        ending.timer.cancel()
        ending.timer = None


def _grace_is_over(process: Process) -> None:
    """Whatever swallowed its cancellation is left behind."""
    ending = process.ending
    if ending is not None and not ending.killed and not process.status & DEAD:
        late = process.activations if ending.stage <= TERMINATE else process.tasks
        for activation in tuple(late or ()):
            _force(process, activation)
        advance(process)


def _freeze_all(process: Process) -> None:
    for activation in process.running():
        _force(process, activation)


def _force(process: Process, activation: Activation) -> None:
    stack = activation.stack()
    # The clean-up of a lifespan does not run after a kill, so nothing is thrown into it.
    freeze_or_finish(activation, throw=process.hold is not activation)
    if process.activations is not None:
        process.activations.pop(activation, None)
    if process.tasks is not None:
        process.tasks.pop(activation, None)
    if process.serial is activation:
        process.serial = None
        process.status &= ~BUSY
    if process.hold is activation:
        process.hold = None
    if activation.frozen:
        process.kernel.incidents.left_behind(process, activation, stack)


def _terminate(process: Process, ending: Ending) -> bool:
    """Run ``terminate``; false when it goes on for a while."""
    process.status |= BUSY
    try:
        rest = process.behaviour.terminate(process, ending.reason)
    except BaseException as error:  # noqa: BLE001  (what it raises is the new reason)
        _replace_reason(process, error)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            # It stops the loop, but not before this end has gone on.
            stop_loop(process.kernel, error)
        rest = None
    finally:
        process.status &= ~BUSY
    if rest is None:
        return True
    activate(process, rest, None, _terminate_done)
    return False


def stop_loop(kernel: Kernel, error: BaseException) -> None:
    """Have whoever runs the loop get ``SystemExit`` or ``KeyboardInterrupt``, and not who is on the stack now, who could catch it."""
    kernel.loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error


def _terminate_done(activation: Activation, _value: object, error: BaseException | None) -> None:
    process = activation.process
    if error is not None and process.ending is not None and process.ending.terminates:
        _replace_reason(process, error)


def _replace_reason(process: Process, error: BaseException) -> None:
    ending = process.ending
    if ending is not None and not ending.killed and ending.terminates:
        ending.reason = crash_reason(error)
        process.kernel.incidents.crash(process, ending.reason, "terminate")
