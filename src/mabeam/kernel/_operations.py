"""What processes do to each other: spawn, link, monitor, send, exit signals, names. For code that runs in a process."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, get_origin

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel._activation import here
from mabeam.kernel._checks import check_function, check_seconds, check_target, is_seconds, short_name
from mabeam.kernel._current import (
    Target,
    current_kernel,
    current_process,
    find,
    find_or_raise,
    is_on_loop,
    name_target,
    refuse_left_behind,
)
from mabeam.kernel._ending import is_decided
from mabeam.kernel._ending import kill as kill_process
from mabeam.kernel._full_mailbox import admit, check_mailbox
from mabeam.kernel._links import add_link, add_monitor, remove_link, remove_monitor
from mabeam.kernel._mailbox import remove_matching, take_matching
from mabeam.kernel._messages import Down, ExitSignal, MonitorRef
from mabeam.kernel._pid import Pid
from mabeam.kernel._plain import Body, PlainBehaviour, label_of
from mabeam.kernel._process import EXITING
from mabeam.kernel._reasons import NO_PROCESS, check_reason
from mabeam.kernel._timers import start_timer

if TYPE_CHECKING:
    from mabeam.kernel._behaviour import OnFull
    from mabeam.kernel._names import Name
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason
    from mabeam.kernel._timers import TimerRef

__all__ = (
    "Match",
    "check_function",
    "demonitor",
    "kill",
    "limit_mailbox",
    "link",
    "matcher",
    "monitor",
    "receive",
    "register",
    "self_pid",
    "send",
    "send_after",
    "send_exit",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "trap_exit",
    "unlink",
    "unregister",
    "whereis",
)

P = ParamSpec("P")

Match: TypeAlias = type | tuple[type, ...] | Callable[[Any], bool]
"""What ``receive`` waits for: a class, several, or a predicate."""


def self_pid() -> Pid:
    """The pid of the process that the calling code runs for.

    Raises:
        UsageError: the code runs for no process, or in a thread.
    """
    return current_process().pid


# ------------------------------------------------------------------------------------------------- starting


def spawn(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Pid:
    """Start a process that runs ``function`` and ends with it. It runs soon, never before the caller waits or returns.

    The function may be ``async def`` (then ``receive`` may be used in it) or ``def``. It ends with ``Normal`` when it
    returns, with ``Crashed`` when it raises, and with the reason of ``raise Stop(reason)``.

    The caller is its parent but is not told of its end, and does not take it along: see ``spawn_link`` and
    ``spawn_monitor``. If the parent ends first, the process is an orphan that the Runtime stops in the end.

    Raises:
        UsageError: ``function`` is none: a coroutine, say, because it was called already, or a server class, which is
            started with its ``start_link``. Arguments that do not fit are a crash of the new process, as in OTP.
    """
    return _spawn(current_process(), function, args, kwargs, link=False).pid


def spawn_link(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Pid:
    """As :func:`spawn`, linked to the caller from the first moment: an abnormal end of one ends the other."""
    return _spawn(current_process(), function, args, kwargs, link=True).pid


def spawn_monitor(
    function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
) -> tuple[Pid, MonitorRef]:
    """As :func:`spawn`, monitored by the caller from the first moment."""
    process = _spawn(current_process(), function, args, kwargs, link=False)
    return process.pid, monitor(process.pid)


def _spawn(
    parent: Process,
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    link: bool,
) -> Process:
    check_function(function, "spawn")
    behaviour = PlainBehaviour(label_of(function))
    return parent.kernel.spawn(behaviour, Body(function, args, kwargs), parent, link=link)


# ------------------------------------------------------------------------------------------------- messages


def send(target: Target, message: object, /) -> None:
    """Put a message into a mailbox. Never waits; may be called from threads of a process, too.

    Guarantees:
        Messages from one process to another arrive in the order sent. One that cannot be delivered (the process has
        ended, or its mailbox is full) becomes a dead letter.

    Raises:
        NoSuchProcess: no process has that name.
    """
    kernel = (
        target._process.kernel
        if isinstance(target, Pid) and target._process is not None
        else current_kernel()
    )
    if not is_on_loop(kernel):
        refuse_left_behind("send")
        check_target(target)  # now, while there is somebody to be told
        if not kernel.hand_over(_send_or_bury, target, message, kernel):
            kernel.dead_letters.add(name_target(target), message, "dead")
        return
    process = find(kernel, target)
    if process is not None:
        _deliver(kernel, process, message)
    elif isinstance(target, Pid):
        kernel.dead_letters.add(repr(target), message, "dead")
    else:
        raise NoSuchProcess(name_target(target), NO_PROCESS, operation="send")


def _send_or_bury(target: Target, message: object, kernel: Any) -> None:
    process = find(kernel, target)
    if process is None:
        kernel.dead_letters.add(name_target(target), message, "no_name")
    else:
        _deliver(kernel, process, message)


def _deliver(kernel: Any, process: Process, message: object) -> None:
    if process.kernel is kernel:
        kernel.send(process, message)
    else:  # found by a handle or through a registry of another Runtime, which may be in another thread
        send(process.pid, message)


def send_after(seconds: float, target: Target, message: object, /) -> TimerRef:
    """Send a message later.

    Guarantees:
        A timer on a process goes with that process. A name is looked up when the time has come; when it leads nowhere
        then, the message is a dead letter.

    Args:
        seconds: how long to wait; 0 is at the next turn of the loop.
        target: whom to send it to.
        message: what to send.

    Returns:
        The timer: ``cancel()`` and ``read()`` tell the seconds left.

    Raises:
        UsageError: ``seconds`` is no duration, or ``target`` can lead to no process.
    """
    if not is_seconds(seconds):
        check_seconds("send_after expects seconds", seconds)
    check_target(target)
    kernel = current_process().kernel
    address: Any = target
    while not isinstance(address, Pid) and hasattr(address, "address"):
        address = address.address()
    if isinstance(address, Pid):
        process = address._process
        if process is not None:
            return start_timer(kernel, process, seconds, message)
    return start_timer(kernel, address, seconds, message)


async def receive(match: Match | None = None, /, *, timeout: float | None = None) -> Any:
    """Take the next message of a plain process, or the first that matches; others stay where they are.

    Guarantees:
        Messages come in the order of arrival. When it is cancelled, no message is lost.

    Args:
        match: a class, a tuple of classes, or a predicate; everything when left out.
        timeout: longest wait in seconds; 0 only looks; ``None`` waits without limit.

    Raises:
        TimeoutError: nothing came in time.
        UsageError: called elsewhere than in the function of a plain process (a server gets ``handle_info``); or ``match``
            or ``timeout`` is none; or the predicate has changed the mailbox that it was asked about, by a ``send`` say.
    """
    if timeout is not None and not is_seconds(timeout):
        check_seconds("receive expects a timeout in seconds", timeout, none="to wait without limit")
    process = current_process()
    owner = here.get()
    if not isinstance(process.behaviour, PlainBehaviour) or not (
        owner is process.serial or process.parent is None
    ):
        msg = (
            f"receive() belongs to the function of a plain process itself; this is {process.describe()}. A server gets "
            "its messages in handle_info; a task can ask its process with a call. A limit is receive(timeout=...); "
            "asyncio.wait_for may put the wait into a task."
        )
        raise UsageError(msg)
    return await take_matching(process, matcher(match, "receive"), timeout)


def matcher(match: Match | None, operation: str) -> Callable[[Any], bool]:
    """What says of a message whether ``match`` stands for it.

    Raises:
        UsageError: it can stand for none; names the operation that it was given to.
    """
    if match is None:
        return lambda _message: True
    if isinstance(match, type | types.UnionType):
        classes: Any = match
        return lambda message: isinstance(message, classes)
    if isinstance(match, tuple) and all(isinstance(each, type | types.UnionType) for each in match):
        several: Any = match
        return lambda message: isinstance(message, several)
    if isinstance(match, tuple) or not callable(match) or get_origin(match) is not None:
        hint = f": a limit is given by name, {operation}(timeout={match!r})" if is_seconds(match) else ""
        msg = f"{operation} expects a class, a tuple of classes, or a function that says of a message whether it is wanted, got {match!r}{hint}"
        raise UsageError(msg)
    if inspect.iscoroutinefunction(match):
        msg = f"{operation} asks {short_name(match)} while it looks through the messages, so it must be a plain function, and it is async"
        raise UsageError(msg)
    return match


# ------------------------------------------------------------------------------------------------- links, monitors


def link(target: Target, /) -> None:
    """Link the calling process with another: when one ends, the other gets an exit signal with the reason.

    Linking twice, or with itself, changes nothing.

    Raises:
        NoSuchProcess: the other is dead, or its end is settled. A caller that traps exits gets ``ExitSignal(pid, NoProcess())`` instead.
    """
    process = current_process()
    other = find(process.kernel, target)
    if other is None or (is_decided(other) and other is not process):
        pid = other.pid if other is not None else target
        if not process.trap_exit or not isinstance(pid, Pid):
            find_or_raise(process.kernel, target, "link")
            raise NoSuchProcess(
                name_target(target), NO_PROCESS, operation="link", pid=other.pid if other else None
            )
        process.kernel.scheduler.enqueue(process, ExitSignal(pid, NO_PROCESS))
        return
    _check_same_runtime(process, other, "linked")
    add_link(process, other)


def _check_same_runtime(process: Process, other: Process, what: str) -> None:
    if other.kernel is not process.kernel:
        msg = f"{other.describe()} lives in another Runtime; only processes of one Runtime can be {what}"
        raise UsageError(msg)


def unlink(target: Target, /) -> None:
    """Cut the link to another process. An ``ExitSignal`` that has arrived before stays in the mailbox."""
    process = current_process()
    other = find(process.kernel, target)
    if other is not None:
        remove_link(process, other)


def monitor(target: Target, /) -> MonitorRef:
    """Ask to be told of the end of a process, once, by a ``Down`` message.

    One that is not there gives ``Down`` with ``NoProcess()`` at once, one whose end is settled gives it when it is dead.
    Each call is a monitor of its own.
    """
    process = current_process()
    other = find(process.kernel, target)
    name = None if isinstance(target, Pid) else name_target(target)
    if other is None or not other.is_alive:
        ref = MonitorRef(process, other, name)
        pid = target if isinstance(target, Pid) else (other.pid if other is not None else None)
        process.kernel.scheduler.enqueue(process, Down(ref, pid, NO_PROCESS))
        return ref
    _check_same_runtime(process, other, "monitored")
    ref = add_monitor(process, other, name)
    ref.came_late = is_decided(other)
    return ref


def demonitor(ref: MonitorRef, /, *, flush: bool = False) -> None:
    """End a monitor. With ``flush`` a ``Down`` of it that waits in the mailbox is taken out as well."""
    process = current_process()
    if not isinstance(ref, MonitorRef):
        msg = (
            f"demonitor expects what monitor() returned, or the second of what spawn_monitor() returned, got {ref!r}. "
            "A process may have many monitors, so a pid does not say which one.\n"
            "    right:  monitor_ref = monitor(pid); ...; demonitor(monitor_ref)"
        )
        raise UsageError(msg)
    if ref.watcher is not process:
        msg = f"{ref!r} can be ended by its watcher only, and this is {process.describe()}"
        raise UsageError(msg)
    remove_monitor(ref)
    if flush:
        remove_matching(process, lambda message: isinstance(message, Down) and message.ref is ref)


def limit_mailbox(limit: int, *, on_full: OnFull = "reject") -> None:
    """Bound the mailbox of the calling plain process; it is 100,000 and ``reject`` before. A server says so in its class.

    Args:
        limit: messages that may wait; signals and requests to stop always fit.
        on_full: ``reject``, ``block``, ``drop_oldest`` or ``drop_newest``: see ``GenServer.on_full``.

    Raises:
        UsageError: the options are wrong, or the calling process is a server.
    """
    process = current_process()
    problems = check_mailbox(limit, on_full)
    if not isinstance(process.behaviour, PlainBehaviour):
        problems.append(
            f"{process.describe()} is a server: set mailbox_limit and on_full in its class, where all of its kind have them"
        )
    if problems:
        raise UsageError(f"limit_mailbox: {'; '.join(problems)}", problems=problems)
    process.behaviour = own = copy(process.behaviour)  # its brothers may share it
    own.mailbox_limit, own.on_full = limit, on_full
    admit(process)


def trap_exit(trap: bool = True, /) -> bool:  # noqa: FBT001, FBT002  (OTP's flag, read as a sentence: trap_exit(False))
    """Have exit signals delivered as ``ExitSignal`` messages instead of ending the calling process.

    Returns:
        What it was before.

    Raises:
        UsageError: ``trap`` is neither true nor false.
    """
    process = current_process()
    if trap is not True and trap is not False:
        msg = f"trap_exit expects True or False, got {trap!r}; it is about the calling process, and no other"
        raise UsageError(msg)
    before, process.trap_exit = process.trap_exit, trap
    return before


# ------------------------------------------------------------------------------------------------- ends


def send_exit(target: Target, reason: ExitReason, /) -> None:
    """Send an exit signal: the receiver ends with that reason, or gets ``ExitSignal`` when it traps exits.

    ``Normal()`` does nothing to one that does not trap, except to the caller itself, whom it ends. Sent to itself and
    not trapped, it ends the caller's code right here. ``Killed()`` is an ordinary reason: see :func:`kill`.

    Raises:
        UsageError: the reason is none.
    """
    check_reason(reason)
    sender = current_process()
    receiver = _find_in_loop(sender, target)
    if receiver is not None:
        receiver.kernel.signal(receiver, sender, reason)
        if receiver is sender and sender.status & EXITING and not sender.trap_exit:
            raise asyncio.CancelledError


def kill(target: Target, /) -> None:
    """End a process at once, with ``Killed()``; it cannot trap that. No clean-up of it runs but ``finally`` blocks.

    A coroutine of it that waits again after its cancellation is frozen: left behind and never stepped again.
    """
    sender = current_process()
    receiver = _find_in_loop(sender, target)
    if receiver is not None:
        kill_process(receiver, is_signal=True)
        if receiver is sender:
            raise asyncio.CancelledError


def _find_in_loop(sender: Process, target: Target) -> Process | None:
    receiver = find(sender.kernel, target)
    if receiver is not None and receiver.kernel.loop is not sender.kernel.loop:
        msg = f"{receiver.describe()} lives in another event loop, where only messages can be sent: use send, or a portal"
        raise UsageError(msg)
    return receiver


# ------------------------------------------------------------------------------------------------- names


def register(name: Name, target: Target | None = None, /) -> None:
    """Give a name to a process, the calling one unless said otherwise.

    Raises:
        UsageError: the name is taken, or the process has one already, or lives in another Runtime.
        NoSuchProcess: the process is dead.
    """
    caller = current_process()
    _check_name("register", name)
    process = caller if target is None else find_or_raise(caller.kernel, target, "send")
    if process.kernel is not caller.kernel:
        msg = f"{process.describe()} lives in another Runtime, which has names of its own: register it there"
        raise UsageError(msg)
    if is_decided(process):
        raise NoSuchProcess(process.describe(), NO_PROCESS, operation="send", pid=process.pid)
    holder = process.kernel.names.give(name, process)
    if holder is not process:
        msg = f"the name {name!r} is taken by {holder.describe()}; a name leads to one process"
        raise UsageError(msg)


def unregister(name: Name, /) -> None:
    """Take a name from its process.

    Raises:
        UsageError: no process has it; or it is a partition, which is nobody's own name.
    """
    kernel = current_process().kernel
    _check_name("unregister", name)
    process = kernel.names.find(name)
    if process is None:
        msg = f"no process is called {name!r}: it was never registered, or its process has ended, which frees the name"
        raise UsageError(msg)
    kernel.names.unregister(name, process)


def whereis(name: Name, /) -> Pid | None:
    """The process of that name. It may have ended when you use it: signals and calls cope with that."""
    kernel = current_process().kernel
    _check_name("whereis", name)
    process = kernel.names.find(name)
    return process.pid if process is not None else None


def _check_name(what: str, name: object) -> None:
    if isinstance(name, str) or (hasattr(name, "whereis_name") and not isinstance(name, type)):
        return
    hint = (
        ". The name comes first: register('name', pid)"
        if what == "register" and isinstance(name, Pid)
        else ""
    )
    msg = f"{what} expects a name, which is a string or a via name such as registry.via(key), got {name!r}{hint}"
    raise UsageError(msg)
