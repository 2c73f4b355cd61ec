"""What a process can find in its mailbox besides what others send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from mabeam.kernel._reasons import check_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason
    from mabeam.telemetry import TraceContext

__all__ = ("Carried", "Down", "Exempt", "ExitSignal", "HandlerMessage", "Ignore", "MonitorRef", "Stop")


@final
class Carried:
    """A message in a mailbox, with the trace that it was sent in: for messages that have no place for one.

    The scheduler unpacks it when it is taken, and the dead letters do. There is none while nobody traces.
    """

    __slots__ = ("message", "trace")

    def __init__(self, message: Any, trace: TraceContext) -> None:
        """Pack a message."""
        self.message = message
        self.trace = trace


class Exempt:
    """A message of ours, of which each comes once and is waited for: no full mailbox turns it away, and none drops it."""

    __slots__ = ()


class HandlerMessage:
    """A message that a handler of a server is for: a call, a cast, a request for a stream.

    Told from what users send raw by its class alone: theirs may have attributes of the same names.

    Attributes:
        handler: the handler, as the server declares it; ``handler.what`` is how reports call it.
        args: its arguments.
        kwargs: its arguments by name.
    """

    __slots__ = ("args", "handler", "kwargs")

    handler: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def bare(self) -> HandlerMessage:
        """One that says which handler it was for, and holds nothing else."""
        bare = HandlerMessage()
        bare.handler, bare.args, bare.kwargs = self.handler, (), {}
        return bare


@final
class MonitorRef:
    """One monitor: returned by ``monitor``, found again in its ``Down``, and given to ``demonitor``."""

    __slots__ = ("came_late", "name", "taker", "target", "watcher")

    def __init__(self, watcher: Process, target: Process | None, name: str | None) -> None:
        """Made by ``monitor`` only."""
        self.watcher = watcher
        self.target = target
        self.name = name
        self.came_late = False
        """The end of the target was settled before this monitor was made: to OTP, there was no such process."""
        self.taker: Callable[[Down], None] | None = None
        """Takes the ``Down`` instead of the watcher's mailbox."""

    def __repr__(self) -> str:
        """Show who watches whom."""
        return f"<monitor of {self.target.pid if self.target else self.name} by {self.watcher.pid}>"


@dataclass(frozen=True, slots=True)
class Down(Exempt):
    """A monitored process has ended, or was not there.

    Attributes:
        ref: the monitor that ends with this message.
        pid: the process; ``None`` when a name led to no process.
        reason: its exit reason; ``NoProcess()`` when it was not there.
    """

    ref: MonitorRef
    pid: Pid | None
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ExitSignal(Exempt):
    """An exit signal, delivered as a message because the receiver traps exits.

    Attributes:
        pid: the sender: the linked process that ended, or whoever called ``send_exit``.
        reason: the reason sent.
    """

    pid: Pid
    reason: ExitReason


class Stop(BaseException):
    """Raise it to end the process that runs the code, with a reason.

    In a handler of a server the caller gets no reply but ``ProcessDied``, and ``terminate`` runs. In ``init`` it is a
    failed start. It is a ``BaseException`` so that ``except Exception`` on the way does not swallow it.

    Attributes:
        reason: the exit reason.
    """

    def __init__(self, reason: ExitReason) -> None:
        """Keep the reason."""
        check_reason(reason)
        super().__init__(reason)
        self.reason = reason


class Ignore(BaseException):
    """Raise it in ``__init__`` or ``init`` of a server that should not run, which is no failure.

    The starter gets ``StartIgnored``; a supervisor goes on without the child and keeps its spec.
    """
