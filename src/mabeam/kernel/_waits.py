"""Who waits for whom: the edges between activations, and the cycles they can close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.kernel._ending import LIFESPAN, TERMINATE
from mabeam.kernel._process import DEAD, STARTING, SUSPENDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.kernel._activation import Activation
    from mabeam.kernel._calls import Caller
    from mabeam.kernel._process import Process

__all__ = ("Wait", "awaits", "blockers", "find_cycle")


class Wait:
    """What an activation waits for of another process.

    Attributes:
        process: the other process.
        what: ``Class.method`` for a call; ``stop``, ``start``, ``await`` or ``room in the mailbox``.
        since: when the wait began, in loop time.
        caller: for a call, who is to be answered.
    """

    __slots__ = ("caller", "process", "since", "what")

    def __init__(self, process: Process, what: str, since: float, caller: Caller[object] | None) -> None:
        """A wait that begins now."""
        self.process = process
        self.what = what
        self.since = since
        self.caller = caller


def blockers(process: Process) -> Iterable[Activation]:
    """What must end by itself before ``process`` takes its next message, or before it is dead if it is ending.

    Handlers and tasks that are being cancelled are none: they have a grace and are frozen after it.
    """
    if process.status & (DEAD | SUSPENDED):
        return ()
    if process.ending is not None:
        if process.ending.stage == TERMINATE:
            return tuple(process.activations or ())
        return (process.hold,) if process.ending.stage == LIFESPAN and process.hold is not None else ()
    if process.serial is not None:
        return (process.serial,)
    return (process.hold,) if process.status & STARTING and process.hold is not None else ()


def awaits(activation: Activation) -> Iterable[Activation]:
    """Those of which all must end, or answer, before ``activation`` goes on. Nothing if others could wake it as well."""
    wait = activation.waits_for
    if wait is None:
        task = activation.waits_on
        return tuple(each for each in activation.process.tasks or () if each.task is task is not None)
    caller = wait.caller
    if caller is not None and caller.detached:
        return ()
    return (
        (caller.answerer,) if caller is not None and caller.answerer is not None else blockers(wait.process)
    )


def find_cycle(owner: Activation, callee: Process) -> tuple[Process, ...] | None:
    """The processes in the order of waiting if ``callee`` can only go on when ``owner`` has, which is about to wait for it.

    The last link of a cycle is always a wait that begins, so this finds every cycle that the edges show.
    """
    path: tuple[Process, ...] = (owner.process, callee)
    pending = [(activation, path) for activation in blockers(callee)]
    seen: set[Activation] = set()
    while pending:
        activation, path = pending.pop()
        if activation is owner:
            return path
        if activation in seen:
            continue
        seen.add(activation)
        for other in awaits(activation):
            further = path if other.process is path[-1] else (*path, other.process)
            pending.append((other, further))
    return None
