"""A process as seen from outside: everything the kernel knows of it, without asking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.kernel._current import current_kernel, find_or_raise
from mabeam.kernel._links import linked
from mabeam.kernel._messages import HandlerMessage

if TYPE_CHECKING:
    from mabeam._base import Position
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._current import Target
    from mabeam.kernel._names import Name
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process

__all__ = ("ActivityInfo", "ProcessInfo", "info", "name_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityInfo:
    """One coroutine that runs for a process.

    Attributes:
        kind: ``handler`` (or the function of a plain process), ``concurrent``, ``lifespan`` or ``task``.
        name: ``Class.method``, or the name of the task.
        waits_for: the process whose answer it waits for; ``None`` when it waits for something else, or for nothing.
        since: when that wait began, in loop time.
        stack: where it is, innermost frame last.
    """

    kind: str
    name: str
    waits_for: Pid | None
    since: float | None
    stack: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """A process at one moment.

    Attributes:
        pid: which one.
        name: its registered name.
        label: the class of a server, the function of a plain process.
        state: ``starting``, ``idle``, ``ready``, ``busy``, ``receiving``, ``suspended``, ``exiting``.
        parent: who started it; ``None`` for the root.
        is_supervisor: whether it is one.
        traps_exits: whether exit signals reach it as messages.
        links: whom it is linked to, in the order of linking.
        monitors: whom it monitors.
        watched_by: who monitors it.
        messages: how many wait in its mailbox.
        mailbox_limit: how many may.
        on_full: what happens to more.
        unanswered: callers that it has taken and not answered yet.
        timers: timers that will send to it.
        blocked: how often its code has blocked the event loop, as the watchdog saw it.
        activities: what runs for it, oldest first.
    """

    pid: Pid
    name: Name | None
    label: str
    state: str
    parent: Pid | None
    is_supervisor: bool
    traps_exits: bool
    links: tuple[Pid, ...]
    monitors: tuple[Pid, ...]
    watched_by: tuple[Pid, ...]
    messages: int
    mailbox_limit: int
    on_full: str
    unanswered: int
    timers: int
    blocked: int
    activities: tuple[ActivityInfo, ...]


def info(target: Target, /) -> ProcessInfo:
    """Look at a process from outside. Never waits: also one that is busy, suspended or hangs can be looked at.

    Raises:
        NoSuchProcess: there is no such process.
        UsageError: what is given leads to no process; or this code runs in no Runtime.

    Example:
        from mabeam import info, receive, spawn

        async def main() -> str:
            pid = spawn(receive)
            return info(pid).state

        assert mabeam.run(main) == "starting"
    """
    process = find_or_raise(current_kernel(), target, "info")
    behaviour, watchdog = process.behaviour, process.kernel.watchdog
    return ProcessInfo(
        pid=process.pid,
        name=process.name,
        label=process.label,
        state=process.state,
        parent=process.parent.pid if process.parent is not None else None,
        is_supervisor=behaviour.is_supervisor,
        traps_exits=process.trap_exit,
        links=tuple(other.pid for other in linked(process)),
        monitors=tuple(ref.target.pid for ref in process.monitors or () if ref.target is not None),
        watched_by=tuple(ref.watcher.pid for ref in process.watchers or ()),
        messages=len(process.mailbox or ()),
        mailbox_limit=behaviour.mailbox_limit,
        on_full=behaviour.on_full,
        unanswered=sum(caller.is_waiting for caller in process.callers or ()),
        timers=len(process.timers or ()),
        blocked=watchdog.counts[process.pid.serial] if watchdog is not None else 0,
        activities=tuple(_activity(process, each) for each in process.running()),
    )


def name_of(activation: Activation) -> str:
    """``Class.method`` of a handler, else the name of its task."""
    if issubclass(type(activation.message), HandlerMessage):
        return str(activation.message.handler.what)
    return activation.task.get_name() if activation.task is not None else activation.process.label


def _activity(process: Process, activation: Activation) -> ActivityInfo:
    if activation is process.hold:
        kind = "lifespan"
    elif activation is process.serial:
        kind = "handler"
    else:
        kind = "concurrent" if activation in (process.activations or ()) else "task"
    wait = activation.waits_for
    return ActivityInfo(
        kind=kind,
        name=name_of(activation),
        waits_for=wait.process.pid if wait is not None else None,
        since=wait.since if wait is not None else None,
        stack=activation.stack(),
    )
