"""Who waits for whom: the edges between activations."""

from __future__ import annotations

import asyncio
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from mabeam._base import innermost_frame
from mabeam.kernel._activation import Activation
from mabeam.kernel._awaited import activation_of, is_shield, parts, tasks_of_group
from mabeam.kernel._ending import LIFESPAN, TERMINATE
from mabeam.kernel._process import DEAD, STARTING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from types import CodeType, FrameType

    from mabeam.kernel._calls import Caller
    from mabeam.kernel._lock import Lock
    from mabeam.kernel._process import Process

__all__ = ("AnyWait", "Wait", "WaitKind", "any_of", "awaits", "blockers", "may_await_tasks", "what_keeps")

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
        return _owned(activation, _tasks_awaited(activation)) if may_await_tasks(activation) else ()
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
    frame = innermost_frame(activation.coroutine) if may_await_tasks(activation) else None
    if frame is None or not _is_at(_WAIT, frame, activation.waits_on) or _only_looks(frame):
        return ()
    tasks = parts(frame.f_locals["fs"])
    owned = _owned(activation, tasks)
    return owned if len(owned) == len(tasks) else ()


def what_keeps(choices: Iterable[Process | Activation]) -> tuple[Activation, ...]:
    """What must end before one of ``choices`` has ended; nothing if one of them is kept by nothing."""
    keeping = []
    for each in choices:
        found = each if isinstance(each, Activation) else next(iter(blockers(each)), None)
        if found is None:
            return ()
        keeping.append(found)
    return tuple(keeping)


def _owned(activation: Activation, futures: Iterable[Any]) -> tuple[Activation, ...]:
    """Those of its process's tasks that are among these."""
    owned = activation.process.tasks or {}
    found = (activation_of(each) for each in futures) if owned else ()
    return tuple(each for each in found if each in owned)


def _tasks_awaited(activation: Activation) -> Collection[Any]:
    """The tasks of which all must end before it goes on: one that it awaits, those of a gather or of a task group.

    A time limit after which they are cancelled counts for nothing: a cycle that only a timeout ends is one.
    """
    future = activation.waits_on
    if future is None:
        return ()
    frame = innermost_frame(activation.coroutine)
    if frame is None:
        return parts((future,))
    if frame.f_code is _WAIT_FOR and (_is_at(_WAIT_FOR, frame, future) or frame.f_locals["fut"] is future):
        return () if _only_looks(frame) else parts((frame.f_locals["fut"],))
    if _is_at(_WAIT, frame, future):
        is_for_all = frame.f_locals["return_when"] == asyncio.ALL_COMPLETED
        return parts(frame.f_locals["fs"]) if is_for_all and not _only_looks(frame) else ()
    tasks = tasks_of_group(frame, future)
    return parts((future,) if tasks is None else tasks)


def _is_at(function: CodeType, frame: FrameType, future: object) -> bool:
    """Whether ``frame`` runs this function of asyncio, and waits for the future that this has made."""
    return frame.f_code is function and frame.f_locals.get("waiter") is future


def _only_looks(frame: FrameType) -> bool:
    """Whether a function of asyncio goes on when its time is over, and leaves the tasks that it waits for alone."""
    named = frame.f_locals
    if named["timeout"] is None:
        return False
    return frame.f_code is _WAIT or is_shield(named["fut"])
