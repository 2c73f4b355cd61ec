"""Who waits for whom: the edges between activations."""

from __future__ import annotations

import asyncio
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from mabeam._base import innermost_frame
from mabeam.kernel._activation import Activation
from mabeam.kernel._awaited import activation_of, is_shield, parts, tasks_of_group
from mabeam.kernel._ending import LIFESPAN, TERMINATE
from mabeam.kernel._process import DEAD, STARTING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from mabeam.kernel._calls import Caller
    from mabeam.kernel._lock import Lock
    from mabeam.kernel._process import Process

__all__ = (
    "AnyWait",
    "Wait",
    "WaitKind",
    "any_of",
    "awaits",
    "blockers",
    "may_await_tasks",
    "may_lead_to",
    "tasks_awaited",
    "what_keeps",
)

WaitKind: TypeAlias = Literal["call", "stop", "start", "room", "lock", "stream", "await"]
"""For an answer, an end, a start, room in a mailbox, a lock, an item or the reader of a stream, or anything else of a process."""

_WAIT: Final = asyncio.tasks._wait.__code__  # type: ignore[attr-defined]  # not for others
_WAIT_FOR: Final = asyncio.wait_for.__code__
"""Before Python 3.12 it makes a task of what it waits for, and waits for a future of its own."""
_WAIT_FOR_TASKS: Final = frozenset(("_wait", "wait_for", "__aexit__", "_aexit"))
"""The names of all functions of asyncio and anyio that wait for tasks by a future of their own."""


class AnyWait:
    """What an activation waits for of another process: a :class:`Wait`, or for an answer the ``Caller`` itself.

    Attributes:
        process: the other process.
        kind: what kind of thing.
        what: the same in words of people: ``Class.method`` for a call.
        since: when the wait began, in loop time.
        caller: for a call, who is to be answered.
        lock: for a lock, which one.
        stream: for a stream, the activation at its other end.
        is_reader: for a stream, that it waits for an item, which only the other end can make.
        choices: when it waits for any of several processes or activations to end, those that there are at the moment.
        all_of: when it waits for all of several processes to end, those that have not; ``process`` is one of them.
    """

    __slots__ = ()

    process: Process
    kind: WaitKind = "await"
    what: str
    since: float
    caller: Caller[Any] | None = None
    lock: Lock | None = None
    stream: Activation | None = None
    is_reader: bool = False
    choices: Callable[[], Iterable[Process | Activation]] | None = None
    all_of: Callable[[], Iterable[Process]] | None = None

    @property
    def is_refusable(self) -> bool:
        """Whether who waits can be told to wait no longer: for an answer, a lock, or an item of a stream."""
        return self.caller is not None or self.lock is not None or self.is_reader


class Wait(AnyWait):
    """One that is for no call of a server."""

    __slots__ = (
        "all_of",
        "caller",
        "choices",
        "is_reader",
        "kind",
        "lock",
        "process",
        "since",
        "stream",
        "what",
    )

    def __init__(
        self,
        process: Process,
        what: str,
        since: float,
        caller: Caller[Any] | None = None,
        lock: Lock | None = None,
        stream: Activation | None = None,
        *,
        is_reader: bool = False,
        choices: Callable[[], Iterable[Process | Activation]] | None = None,
        all_of: Callable[[], Iterable[Process]] | None = None,
        kind: WaitKind = "await",
    ) -> None:
        """A wait that begins now."""
        self.kind = kind
        self.all_of = all_of
        self.lock = lock
        self.stream = stream
        self.is_reader = is_reader
        self.choices = choices
        self.process = process
        self.what = what
        self.since = since
        self.caller = caller


def blockers(process: Process) -> Iterable[Activation]:
    """What must end by itself before ``process`` takes its next message, or before it is dead if it is ending.

    Handlers and tasks that are being cancelled are none: they have a grace and are frozen after it.
    """
    if process.status & DEAD:
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
    if activation.goes_on:
        return ()
    wait = activation.waits_for
    if wait is None:
        tasks = tasks_awaited(activation)
        return () if tasks is None or tasks.only_looks or tasks.is_any else tasks.owned(activation)
    if wait.lock is not None:
        _, holder = wait.lock.held_by() or (None, None)
        return (holder,) if isinstance(holder, Activation) else ()
    if wait.choices is not None:
        return ()
    if wait.all_of is not None:
        return tuple(found for each in wait.all_of() for found in blockers(each))
    if wait.stream is not None:
        return (wait.stream,) if wait.is_reader else ()  # another activation of the reader may read on
    caller = wait.caller
    if caller is not None and (caller.detached or caller.needs_place or not caller.is_waiting):
        return ()
    return (
        (caller.answerer,) if caller is not None and caller.answerer is not None else blockers(wait.process)
    )


def may_await_tasks(activation: Activation) -> bool:
    """Whether what it waits for may be tasks of its own; a quick look, which says no of sockets, timers and the like."""
    future = activation.waits_on
    # What wakes the code that waits is no function of Python; what a shield has added is.
    if type(future) is not asyncio.Future or any(
        type(each) is FunctionType for each, _ in future._callbacks or ()
    ):
        return future is not None
    frame = innermost_frame(activation.coroutine)
    return frame is not None and frame.f_code.co_name in _WAIT_FOR_TASKS


def may_lead_to(owner: Activation, activation: Activation) -> bool:
    """Whether what ``activation`` waits for may lead to ``owner``; a quick look, since its process may have thousands of tasks.

    Who waits for tasks of its own process leads to another process only if one of these waits for that.
    """
    process = activation.process
    return (
        activation.waits_for is not None
        or process is owner.process
        or any(task.waits_for is not None for task in process.tasks or ())
    )


def any_of(activation: Activation) -> tuple[Activation, ...]:
    """Those of which one must end before ``activation`` goes on. Nothing if others could wake it as well.

    They run the concurrent handler that its call has no place in, are the tasks of a stream that it reads, or those that
    ``asyncio.wait`` was given.
    """
    if activation.goes_on:
        return ()
    wait = activation.waits_for
    if wait is not None:
        if wait.choices is not None:
            return what_keeps(wait.choices())
        caller = wait.caller
        if caller is None or not caller.needs_place:
            return ()
        return tuple(wait.process.behaviour.place_holders(wait.process, caller.what))
    tasks = tasks_awaited(activation)
    if tasks is None or tasks.only_looks or not tasks.is_any:
        return ()
    owned = tasks.owned(activation)
    return owned if len(owned) == len(tasks.futures) else ()


def what_keeps(choices: Iterable[Process | Activation]) -> tuple[Activation, ...]:
    """What must end before one of ``choices`` has ended; nothing if one of them is kept by nothing."""
    keeping = []
    for each in choices:
        found = each if isinstance(each, Activation) else next(iter(blockers(each)), None)
        if found is None:
            return ()
        keeping.append(found)
    return tuple(keeping)


class TasksAwaited(NamedTuple):
    """What code waits for when that are tasks, or other futures.

    Attributes:
        futures: those, without what only gathers or shields them.
        is_any: it goes on when one of them is done.
        only_looks: it goes on when its time is over, too, and leaves them alone.
    """

    futures: Collection[Any]
    is_any: bool = False
    only_looks: bool = False

    @property
    def are_done(self) -> bool:
        """Whether it is about to hear that they are done."""
        if not self.futures:
            return False
        done = (issubclass(type(each), asyncio.Future) and asyncio.Future.done(each) for each in self.futures)
        return any(done) if self.is_any else all(done)

    def owned(self, activation: Activation) -> tuple[Activation, ...]:
        """Those of its process's tasks that are among them."""
        owned = activation.process.tasks or {}
        found = (activation_of(each) for each in self.futures) if owned else ()
        return tuple(each for each in found if each in owned)


def tasks_awaited(activation: Activation) -> TasksAwaited | None:
    """The tasks that must end before it goes on: one that it awaits, those of a gather or of a task group.

    A time limit after which they are cancelled counts for nothing: a cycle that only a timeout ends is one.
    """
    if not may_await_tasks(activation):
        return None
    future = activation.waits_on
    frame = innermost_frame(activation.coroutine)
    if frame is None:
        return TasksAwaited(parts((future,)))
    named = frame.f_locals
    if frame.f_code is _WAIT and named.get("waiter") is future:
        is_any = named["return_when"] != asyncio.ALL_COMPLETED
        return TasksAwaited(parts(named["fs"]), is_any, named["timeout"] is not None)
    if frame.f_code is _WAIT_FOR and (future is named.get("waiter") or future is named["fut"]):
        inner = named["fut"]
        return TasksAwaited(parts((inner,)), only_looks=named["timeout"] is not None and is_shield(inner))
    tasks = tasks_of_group(frame, future)
    return TasksAwaited(parts((future,) if tasks is None else tasks))
