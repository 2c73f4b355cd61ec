"""What a handler may ask for besides returning a value: reply later, stop, continue, wait for silence."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mabeam.errors import UsageError
from mabeam.kernel import STARTING, Caller, check_reason, check_seconds, current_process, here
from mabeam.otp._handlers import Handler
from mabeam.otp._requests import Call, Continue, StopRequest
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable

    from mabeam.kernel import Activation, ExitReason, Pid, Process

__all__ = (
    "LATER",
    "Asides",
    "asides_of",
    "continue_with",
    "idle_timeout",
    "reply_later",
    "serial_server_here",
    "start_info",
    "stop_self",
    "take_deferred",
)

T = TypeVar("T")


class _Later:
    def __repr__(self) -> str:
        return "<answered later>"


LATER: Final = _Later()
"""What ``reply_later`` returns in place of the value that is not known yet."""


class Asides:
    """What a server has to remember that most servers never need. Made when first asked for.

    Attributes:
        pending: something below is to be looked at when the handler has returned.
        stop_reason: the handler asked to stop with it.
        continuations: what ``handle_continue`` is still to be given, in order.
        idle_seconds: how long to wait for silence, once the handler is done.
        idle_timer: the wait for silence.
        running: concurrent handlers in progress, by name.
        waiting: messages for concurrent handlers of which enough run, by name.
        leave: resolved to begin the clean-up of ``lifespan``.
        gave_up: this supervisor has had more restarts than it allows.
        deferred: the caller of a handed-off call, if the handler took it.
    """

    __slots__ = (
        "continuations",
        "deferred",
        "gave_up",
        "idle_seconds",
        "idle_timer",
        "leave",
        "pending",
        "running",
        "stop_reason",
        "waiting",
    )

    def __init__(self) -> None:
        self.pending = False
        self.stop_reason: ExitReason | None = None
        self.continuations: list[Continue] = []
        self.idle_seconds: float | None = None
        self.idle_timer: asyncio.TimerHandle | None = None
        self.running: dict[str, dict[Activation, None]] = {}
        self.waiting: dict[str, deque[Any]] = {}
        self.leave: asyncio.Future[None] | None = None
        self.deferred: Caller[Any] | None = None
        self.gave_up = False

    def open(self) -> tuple[Any, ...]:
        """Code is about to run that is no handler; returns what is asked for already, for :meth:`withdraw`."""
        return self.pending, self.stop_reason, len(self.continuations), self.idle_seconds

    def withdraw(self, asked: tuple[Any, ...]) -> None:
        """That code has failed: forget what it asked for."""
        self.pending, self.stop_reason, continuations, self.idle_seconds = asked
        del self.continuations[continuations:]

    def wait_for_silence(self, seconds: float) -> None:
        """Wait for silence once the handler is done."""
        self.pending, self.idle_seconds = True, seconds

    def end_silence(self) -> None:
        """A message has come, so nobody waits for silence any more."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None

    def process_ended(self, pid: Pid) -> None:
        """Forget the wait for silence: its process has ended."""
        self.end_silence()


def asides_of(process: Process) -> Asides:
    """The asides of a server, made if need be."""
    if process.extra is None:
        process.extra = Asides()
    return cast("Asides", process.extra)


def take_deferred(process: Process) -> Caller[Any] | None:
    """The caller of a handed-off call, if its handler took it."""
    asides: Asides | None = process.extra
    if asides is None or asides.deferred is None:
        return None
    caller, asides.deferred = asides.deferred, None
    return caller


def _server_here(what: str) -> Process:
    """The server whose code is running.

    Raises:
        UsageError: it is none.
    """
    process = current_process()
    if process.behaviour.handlers is None:
        msg = f"{what} belongs in a GenServer; this is {process.describe()}"
        raise UsageError(msg)
    return process


def serial_server_here(what: str) -> Process:
    """The server whose own code is running, not a concurrent handler or a task of it.

    Raises:
        UsageError: it is none.
    """
    process = _server_here(what)
    owner = here.get()
    if owner is not process and owner is not process.serial:
        msg = (
            f"{what} belongs in a handler that the server itself runs, not in a concurrent one or a task of "
            f"{process.describe()}: the server is doing something else meanwhile. Cast to it instead."
        )
        raise UsageError(msg)
    return process


def reply_later(keep: Callable[[Caller[T]], object], /) -> T:
    """Answer the call another time.

    Written as ``return reply_later(self.waiting.append)``. The handler ends, the caller goes on waiting, and whoever has the ``Caller`` answers with ``reply`` or ``fail``. If
    the server ends first the caller gets ``ProcessDied``.

    Args:
        keep: takes the caller.

    Returns:
        Something to be returned from the handler at once; it is not the answer.

    Raises:
        UsageError: there is no caller: this is no call handler; or ``keep`` is no plain function.
    """
    process = _server_here("reply_later")
    if not callable(keep) or inspect.iscoroutinefunction(keep):
        msg = (
            f"reply_later expects a plain function that keeps the caller, got {keep!r}\n"
            "    right:  return reply_later(self.waiting.append)"
        )
        raise UsageError(msg)
    owner = here.get()
    message = owner.message
    if isinstance(message, Call):
        caller = message.caller
        caller.answerer = None
    elif isinstance(message, Handler) and message.kind == "call":
        caller = Caller(process, process.kernel.loop.create_future(), message.what)
        asides_of(process).deferred = caller
    else:
        msg = f"reply_later belongs in a handler declared with @handle_call; {process.describe()} is handling {message!r}"
        raise UsageError(msg)
    caller.detached = "it took the caller, to reply later"
    caller.hold()
    keep(caller)
    return cast("T", LATER)


def stop_self(reason: ExitReason, /) -> None:
    """End this server when the handler has returned: ``terminate`` runs, and the caller gets its value.

    The caller of a server has the value when ``terminate`` has run, that of a :class:`~mabeam.StateMachine` before it does:
    OTP's order. A server that is killed in ``terminate`` leaves its caller with ``ProcessDied``. To end without a reply, ``raise Stop(reason)``. From a concurrent handler it takes its place in the mailbox.
    """
    process = _server_here("stop_self")
    check_reason(reason)
    owner = here.get()
    if owner is process or owner is process.serial:
        asides = asides_of(process)
        asides.pending, asides.stop_reason = True, reason
    else:
        process.kernel.scheduler.enqueue(process, StopRequest(reason))


def continue_with(argument: object, /) -> None:
    """Have ``handle_continue(argument)`` run when this handler has returned, before any other message."""
    asides = asides_of(serial_server_here("continue_with"))
    asides.pending = True
    asides.continuations.append(Continue(argument, current_trace()))


def idle_timeout(seconds: float, /) -> None:
    """Have ``handle_info(IdleTimeout())`` run when no message has come for ``seconds`` after this handler.

    Any message cancels it; a handler that wants it again asks again. 0 is at once, if no message waits already. Introspection
    (``get_state``, ``suspend`` and the like) is no message.

    Raises:
        UsageError: it is no duration; or no handler of the server asks.
    """
    check_seconds("idle_timeout expects seconds", seconds)
    asides = asides_of(serial_server_here("idle_timeout"))
    asides.wait_for_silence(seconds)


def start_info(value: object, /) -> None:
    """Give whoever starts this server some information, found in ``ref.start_info``. For ``__init__`` and ``init``."""
    process = serial_server_here("start_info")
    if not process.status & STARTING or process.start is None:
        msg = f"start_info belongs in __init__ or init; {process.describe()} has started"
        raise UsageError(msg)
    process.start.info = value
