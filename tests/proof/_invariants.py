"""What must hold of a Runtime: between any two turns of its loop, when it has come to rest, and when it has stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam import DynamicSupervisor, ExitSignal, Registry, Supervisor
from mabeam.kernel import DEAD, EXITING, STARTING, Crashed, NoProcess
from mabeam.otp._requests import Arguments
from mabeam.otp._server import ServerBehaviour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mabeam.kernel import Kernel, Process
    from mabeam.otp._supervisor_state import Child
    from tests.proof._world import World

__all__ = ("at_any_time", "at_rest", "deaf_orphans", "of_the_dead", "outlived_by")

_EMPTY_WHEN_DEAD = (
    "activations",
    "callers",
    "hold",
    "links",
    "mailbox",
    "monitors",
    "on_death",
    "receivers",
    "registrations",
    "serial",
    "start",
    "tasks",
    "timers",
    "watchers",
)
"""What a dead process must not hold on to: it would keep others alive, or be told of."""


def at_any_time(kernel: Kernel) -> Iterator[str]:
    """What is wrong with the tables: links, monitors, names, registries."""
    for serial, process in kernel.table.items():
        who = process.describe()
        if serial != process.pid.serial or process.status & DEAD:
            yield f"{who} is in the table, and dead or under a wrong number"
        for other in process.links:
            if other.status & DEAD or process not in other.links:
                yield f"{who} is linked with {other.describe()}, which is dead or does not know"
        for ref in process.monitors or ():
            target = ref.target
            if ref.watcher is not process or target is None or ref not in (target.watchers or ()):
                yield f"{who} has {ref!r}, of which its target does not know"
        for ref in process.watchers or ():
            if ref.target is not process or ref not in (ref.watcher.monitors or ()):
                yield f"{who} is watched by {ref!r}, of which its watcher does not know"
        if isinstance(process.body, Registry):
            yield from _registry(process)
    for name, process in kernel.names._processes.items():
        if process.status & DEAD or process.name != name:
            yield f"the name {name!r} leads to {process.describe()}, which is dead or is not called so"


def _registry(process: Process) -> Iterator[str]:
    registrations = process.body.registrations
    table = registrations.table
    for entry in table:
        holder = entry.holder._process
        if holder.status & DEAD:
            yield f"{process.describe()} has {entry!r} of a dead process"
        elif registrations not in (holder.registrations or ()):
            yield f"{holder.describe()} does not know that it is registered: {entry!r}"
        elif holder is not process and process not in holder.links:
            yield f"{holder.describe()} is registered, and not linked: {entry!r}"
    if len(table) != sum(len(table.of(holder)) for holder in {entry.holder for entry in table}):
        yield f"{process.describe()} counts {len(table)} entries"


def of_the_dead(processes: Iterable[Process]) -> Iterator[str]:
    """What is wrong with processes that have ended."""
    for process in processes:
        if not process.status & DEAD:
            continue
        held = [field for field in _EMPTY_WHEN_DEAD if getattr(process, field)]
        if held:
            yield f"{process.describe()} is dead and holds {held}"
        if process.reason is None:
            yield f"{process.describe()} is dead for no reason"
        if process.behaviour.is_supervisor and isinstance(process.reason, Crashed | NoProcess):
            # No code of users runs in it. It is killed, or told to end, or gives up.
            yield f"{process.describe()} is a supervisor and ended with {process.reason!r}"


def outlived_by(kernel: Kernel, serial: int, reason: str) -> Iterator[str]:
    """What is wrong when a process ends: a supervisor that was not killed has stopped its children before."""
    for process in kernel.table.values():
        parent = process.parent
        if (
            parent is not None
            and parent.pid.serial == serial
            and parent.behaviour.is_supervisor
            and reason != "Killed()"
        ):
            yield f"{parent.describe()} ended with {reason} before {process!r}"


def deaf_orphans(kernel: Kernel) -> list[Process]:
    """Those that trap exits and hang in a handler, so that the end of their supervisor waits in their mailbox.

    OTP has them as well. What they have, a name say, nobody else can get.
    """
    return [
        process
        for process in kernel.table.values()
        if process.parent is not None
        and process.parent.status & DEAD
        and any(
            isinstance(message, ExitSignal) and message.pid is process.parent.pid
            for message in process.mailbox or ()
        )
    ]


def at_rest(world: World, kernel: Kernel) -> Iterator[str]:
    """What is wrong when time has passed and nobody begins anything new."""
    yield from at_any_time(kernel)
    for what, caller, callee in world.open.values():
        if not caller.status & DEAD and (callee is None or callee.status & DEAD):
            yield f"never answered: {what} by {caller.describe()}"
    if kernel.scheduler.ready:
        yield f"still ready to run: {[process.describe() for process in kernel.scheduler.ready]}"
    for process in kernel.table.values():
        if process.parent is None:
            continue
        if process.status & (STARTING | EXITING):
            yield f"{process!r} neither starts nor ends"
        if process.status == 0 and process.mailbox:
            yield f"{process!r} sleeps over its messages"
        yield from _has_its_place(world, process)
        if _is(process, Supervisor):
            yield from _children(world, process)
    for ref, watch in world.watches.items():
        target_is_gone = watch.target is None or bool(watch.target.status & DEAD)
        # One who is busy for ever has not come to reading it.
        reads = not watch.watcher.status & DEAD and not watch.watcher.mailbox
        if watch.downs > target_is_gone or (reads and target_is_gone and not (watch.downs or watch.removed)):
            yield f"{ref!r} was told {watch.downs} times, of one that is {'gone' if target_is_gone else 'there'}"


def _is(process: Process | None, cls: type) -> bool:
    behaviour = None if process is None else process.behaviour
    return isinstance(behaviour, ServerBehaviour) and issubclass(behaviour.cls, cls)


def _has_its_place(world: World, process: Process) -> Iterator[str]:
    """Nobody is left over: a process has a supervisor that knows it, or was started without one."""
    parent: Any = process.parent
    if process.pid in world.free or parent is None or parent.parent is None:
        return
    if parent.status & DEAD:
        yield f"{process.describe()} has outlived its supervisor {parent.describe()}"
    elif _is(parent, Supervisor):
        if process not in parent.body._children.by_process:
            yield f"{process.describe()} is unknown to its supervisor {parent.describe()}"
    elif _is(parent, DynamicSupervisor):
        if process not in parent.body._children:
            yield f"{process.describe()} is unknown to its supervisor {parent.describe()}"
    else:
        yield f"{process.describe()} was started by {parent.describe()}"


def _children(world: World, supervisor: Process) -> Iterator[str]:
    """A supervisor has the children that their specs say."""
    who = supervisor.describe()
    children = supervisor.body._children
    running = {child.process: child for child in children.by_id.values() if child.process is not None}
    if running != children.by_process:
        yield f"{who} finds {children.by_process} by process, and has {running}"
    for child in children.by_id.values():
        if child.restarting:
            # With a backoff that may take as long as the reason does: its name is taken by one that hangs, say.
            if supervisor.body._backoff is None:
                yield f"{who} is still restarting child {child.spec.id}"
        elif child.process is None:
            if child.spec.restart == "permanent" and not _may_rest(world, supervisor, child):
                yield f"{who} has lost its permanent child {child.spec.id}"
        elif child.process.status & DEAD or supervisor not in child.process.links:
            yield f"{who} has {child.process!r} as child {child.spec.id}, which is dead or not linked"


def _may_rest(world: World, supervisor: Process, child: Child) -> bool:
    """Whether a permanent child may be at rest: it chose not to run, or somebody has stopped it, or one it goes with.

    As in OTP, terminating a child whose restart has failed leaves those at rest that were stopped for that restart.
    """
    arguments = child.spec.body
    may_ignore = isinstance(arguments, Arguments) and arguments.kwargs.get("odd", False)
    alone = supervisor.body._children.strategy == "one_for_one"
    return may_ignore or (child.spec.id if alone else supervisor.name) in world.set_aside
