"""Which process the running code belongs to, and how a target is found from there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from mabeam.errors import NoSuchProcess, UsageError, show
from mabeam.kernel._activation import here
from mabeam.kernel._checks import no_target
from mabeam.kernel._pid import Pid
from mabeam.kernel._process import DEAD
from mabeam.kernel._reasons import NO_PROCESS

if TYPE_CHECKING:
    from mabeam.errors import Operation
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._names import Name
    from mabeam.kernel._process import Process

__all__ = (
    "Addressable",
    "Target",
    "current_kernel",
    "current_process",
    "find",
    "find_here",
    "find_or_raise",
    "is_on_loop",
    "left_behind",
    "name_target",
    "refuse_left_behind",
)


@runtime_checkable
class Addressable(Protocol):
    """Something that leads to a process: a ``Ref``, a task."""

    def address(self) -> Pid | Name:
        """The pid or the name that it leads to."""
        ...


Target: TypeAlias = "Pid | Name | Addressable"
"""What signals and messages can be sent to."""


def current_process() -> Process:
    """The process that the calling code runs for.

    Raises:
        UsageError: it runs for none; or in a thread, where the kernel must not be touched.
        NoSuchProcess: it is a thread that was left behind when its process ended; or anything else of a dead process.
    """
    owner = here.get(None)
    if owner is None:
        msg = (
            "this needs a running process, and there is none here. Call it from a handler, from a function started with "
            "spawn, inside 'async with Runtime():', or start the program with mabeam.run(main). A thread of your own takes a "
            "portal along: runtime.portal(), or mabeam.open_portal()."
        )
        raise UsageError(msg)
    if owner.in_thread or asyncio._get_running_loop() is not owner.process.kernel.loop:
        if owner.over:
            raise left_behind(owner.process, "call")
        msg = (
            f"this was called in a thread of {owner.process.describe()}; processes may be touched from their event loop "
            "only. Use mabeam.portal() in threads: it calls, casts, sends and runs for you."
        )
        raise UsageError(msg)
    process = owner.process
    if process.status & DEAD:
        hint = "The code that runs has outlived its process: a callback, say, or the clean-up of a generator."
        raise NoSuchProcess(process.describe(), process.reason or NO_PROCESS, operation="call", hint=hint)
    return process


def left_behind(process: Process, operation: Operation) -> NoSuchProcess:
    """The error for a thread that goes on although nobody waits for it any more."""
    instead = (
        f"expected the code of {process.describe()} to wait for this thread, but it has ended, or gave up waiting. The thread "
        "was left behind, and what it asks for is refused; have it look now and then whether it is still needed."
    )
    return NoSuchProcess(
        process.describe(), NO_PROCESS, operation=operation, pid=process.pid, instead=instead
    )


def refuse_left_behind(operation: Operation) -> None:
    """Refuse what a thread asks for that was left behind. For what threads may do; not called in the event loop.

    Raises:
        NoSuchProcess: this is such a thread.
    """
    owner = here.get(None)
    if owner is not None and (owner.over or not owner.process.is_alive):
        raise left_behind(owner.process, operation)


def current_kernel() -> Kernel:
    """The inside of the Runtime that the calling code runs in; threads of its processes included."""
    owner = here.get(None)
    return owner.process.kernel if owner is not None else current_process().kernel


def find(kernel: Kernel, target: Target) -> Process | None:
    """The living or dead process that ``target`` leads to; ``None`` when a name leads nowhere."""
    if isinstance(target, Pid):
        return target._process
    if isinstance(target, str):
        return kernel.names.find(target)
    if hasattr(target, "address"):  # Addressable; asking the protocol itself takes 20 times as long
        if not callable(target.address) or isinstance(target, type):
            raise no_target(target)
        return find(kernel, target.address())
    return kernel.names.find(target)


def find_or_raise(kernel: Kernel, target: Target, operation: Operation) -> Process:
    """As :func:`find`; a process that is dead or not there raises ``NoSuchProcess``."""
    process = find(kernel, target)
    if process is None:
        raise NoSuchProcess(name_target(target), NO_PROCESS, operation=operation)
    if not process.is_alive:
        raise NoSuchProcess(process.describe(), NO_PROCESS, operation=operation, pid=process.pid)
    return process


def find_here(target: Target, what: str) -> Process:
    """As :func:`find_or_raise`, for ``what`` changes the process: a living one of the event loop that this is called in.

    Raises:
        NoSuchProcess: there is none.
        UsageError: this is called in a thread, or it lives in another event loop.
    """
    kernel = current_kernel()
    if not is_on_loop(kernel):
        msg = f"{what} was called in a thread; use portal.run({what}, ...) there"
        raise UsageError(msg)
    process = find_or_raise(kernel, target, "call")
    if not is_on_loop(process.kernel):
        msg = f"{process.describe()} lives in another event loop: use a portal to it, portal.run({what}, ...)"
        raise UsageError(msg)
    return process


def name_target(target: Target) -> str:
    """How a target is called in messages."""
    if isinstance(target, Addressable):
        return name_target(target.address())
    return show(target)


def is_on_loop(kernel: Kernel) -> bool:
    """Whether the calling code runs in the event loop of ``kernel``, not in some thread."""
    return asyncio._get_running_loop() is kernel.loop
