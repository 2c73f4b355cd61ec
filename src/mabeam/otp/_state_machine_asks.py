"""What the code of a state machine asks for: another state, events of its own, timeouts, to have an event later."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mabeam.errors import RejectedError, UsageError
from mabeam.kernel import Carried, Exempt, current_process, is_seconds
from mabeam.otp._asides import Asides, serial_server_here
from mabeam.otp._requests import IdleTimeout
from mabeam.otp._state_machine_declare import State
from mabeam.otp._state_machine_state import IDLE, STATE, Machine, Seconds, Timeout, named
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable

    from mabeam.kernel import Pid, Process
    from mabeam.telemetry import TraceContext

__all__ = (
    "MachineAsides",
    "NamedTimeout",
    "Own",
    "Postpone",
    "StateTimeout",
    "TimeoutSeconds",
    "become",
    "event_of",
    "named_timeout",
    "next_event",
    "puts_off",
    "repeat_state",
    "state_timeout",
)

TimeoutSeconds: TypeAlias = Seconds
"""Seconds until a timeout; ``None`` cancels it; ``"update"`` keeps its time and gives it another content."""


@dataclass(frozen=True, slots=True)
class StateTimeout:
    """The machine has been in one state for as long as ``state_timeout`` said.

    Attributes:
        content: what ``state_timeout`` was given.
    """

    content: Any = None


@dataclass(frozen=True, slots=True)
class NamedTimeout:
    """The time is over that ``named_timeout`` said.

    Attributes:
        name: the name of the timeout.
        content: what ``named_timeout`` was given.
    """

    name: Any
    content: Any = None


class Postpone(BaseException):
    """Raise it in a handler of a :class:`~mabeam.StateMachine` to handle the event again when the state has changed.

    Postponed events come back in the order of their arrival, before all that has not been taken yet. A caller goes on
    waiting, within its timeout. What the handler has asked for before counts: ``become(self.opened)`` and then
    ``raise Postpone`` handles the event in the new state. It is a ``BaseException`` so that ``except Exception`` on the
    way does not swallow it.
    """

    def __str__(self) -> str:
        """Say where it belongs: this is read only where it does not."""
        return "Postpone belongs in a handler of a StateMachine, of a call, a cast or a message, that is not concurrent"


class Own(Exempt):
    """An event that the machine has given itself: an inserted one, or a timeout."""

    __slots__ = ("content", "trace")

    def __init__(self, content: object, trace: TraceContext | None = None) -> None:
        """Carry ``content``, in the trace of the handler that asked for it."""
        self.content = content
        self.trace = trace


class MachineAsides(Asides):
    """What a state machine has to remember besides what any server has.

    Attributes:
        machine: the bookkeeping.
        handles: the running timers.
        is_marked: the mailbox holds a message that says: look at the queue.
        looked_through: when it was last looked for callers who have given up among what is postponed.
    """

    __slots__ = ("handles", "is_marked", "looked_through", "machine")

    def __init__(self) -> None:
        super().__init__()
        self.machine: Machine[Any] = Machine()
        self.handles: dict[Timeout, asyncio.TimerHandle] = {}
        self.is_marked = False
        self.looked_through = -math.inf

    def open(self) -> tuple[Any, ...]:
        """Open the machine, too: such code may change its state."""
        asked = self.machine.asked()
        self.machine.open()
        return super().open(), asked

    def withdraw(self, asked: tuple[Any, ...]) -> None:
        """Have the machine forget it, too."""
        of_server, of_machine = asked
        super().withdraw(of_server)
        self.machine.withdraw(of_machine)

    def wait_for_silence(self, seconds: float) -> None:
        """A timeout like the others, so that which of them comes first is decided in one place."""
        self.machine.ask(IDLE, seconds, None)

    def cancel(self, timeouts: list[Timeout]) -> None:
        """Stop waiting for timeouts."""
        for timeout in timeouts:
            handle = self.handles.pop(timeout, None)
            if handle is not None:
                handle.cancel()

    def process_ended(self, pid: Pid) -> None:
        """Stop all timers, and have what was postponed returned with the rest of the mail."""
        super().process_ended(pid)
        events, timeouts = self.machine.give_up()
        self.cancel(timeouts)
        process = pid._process
        if events and process is not None:
            if process.mailbox is None:
                process.mailbox = deque()
            process.mailbox.extendleft(reversed(events))


def puts_off(process: Process, error: BaseException) -> bool:
    """Whether it is ``Postpone``, raised by a handler that may."""
    asides = process.extra
    if not isinstance(error, Postpone) or not isinstance(asides, MachineAsides):
        return False
    return process.ending is None and asides.machine.is_open and not asides.machine.is_entering


def event_of(timeout: Timeout) -> Own:
    """The event that a timeout makes when its time has come."""
    (kind, name), content, trace = timeout.key, timeout.content, None
    if type(content) is Carried:
        content, trace = content.message, content.trace
    if kind == "state":
        return Own(StateTimeout(content), trace)
    return Own(IdleTimeout() if kind == "idle" else NamedTimeout(name, content), trace)


def _machine_here(what: str) -> tuple[Process, Machine[Any]]:
    """The machine whose handler is running, or that is being started.

    Raises:
        UsageError: there is none.
    """
    process = current_process()
    asides = process.extra
    if not isinstance(asides, MachineAsides):
        msg = f"{what} belongs in a StateMachine; this is {process.describe()}"
        raise UsageError(msg)
    serial_server_here(what)
    if not asides.machine.is_open or process.ending is not None:
        msg = f"{what} belongs in a handler, in __init__ or in init; {process.describe()} runs other code"
        raise UsageError(msg)
    return process, asides.machine


def _not_entering(what: str, machine: Machine[Any]) -> None:
    if machine.is_entering:
        msg = (
            f"{what}: state {machine.state!r} is being entered and can neither be left nor give itself events before it has "
            "been. Use state_timeout(0), whose event comes before any message, and change the state there."
        )
        raise UsageError(msg)


def become(state: State, /) -> None:
    """Change the state of this machine when the handler has returned: ``become(self.opened)``.

    In ``__init__`` or ``init`` it says in which state the machine begins; one of them must.

    Guarantees:
        The caller has its answer first. Then the new state is entered, its state timeout is none, and postponed events are
        handled again before anything else. Asked for several times, the last one counts. To become what it is already
        changes nothing.

    Raises:
        UsageError: there is no such state; or this is no handler of a machine; or a state is being entered.
    """
    process, machine = _machine_here("become")
    states: dict[str, object] = process.behaviour.states  # type: ignore[attr-defined]  # every machine has them
    if not isinstance(state, State) or state.name not in states:
        got = "a method call, perhaps" if state is None else repr(state)
        msg = f"become expects a state of {process.label} such as become(self.{next(iter(states), 'opened')}), got {got}"
        raise UsageError(msg)
    _not_entering("become", machine)
    machine.become(state.name)


def repeat_state() -> None:
    """Enter the present state again when the handler has returned.

    Nothing else changes: postponed events stay where they are, and the state timeout runs on unless it is set anew.

    Raises:
        UsageError: this is no handler of a machine; or the machine has no state yet; or a state is being entered.
    """
    process, machine = _machine_here("repeat_state")
    _not_entering("repeat_state", machine)
    if machine.state is None:
        msg = f"repeat_state belongs in a handler; {process.describe()} has no state yet. Use become"
        raise UsageError(msg)
    machine.repeat()


def next_event(message: object, /) -> None:
    """Have this machine handle a message of its own next, before any other and before what is postponed.

    Several come in the order asked for. It is handled like any message: by ``@opened.handle_info(Class)`` of the state, else
    by ``handle_info``.

    Raises:
        RejectedError: as many events as a mailbox may hold wait already.
        UsageError: this is no handler of a machine; or a state is being entered.
    """
    process, machine = _machine_here("next_event")
    _not_entering("next_event", machine)
    if machine.inserts >= process.behaviour.mailbox_limit:
        msg = (
            f"{process.describe()} has given itself {machine.inserts} events that it has not handled yet, as many as its "
            "mailbox may hold. Each of them gives it more than one other, perhaps."
        )
        raise RejectedError(msg)
    machine.insert(Own(message, current_trace()))


def state_timeout(seconds: TimeoutSeconds, content: object = None, /) -> None:
    """Have a ``StateTimeout(content)`` in so many seconds, unless the state changes before.

    Asked for again, the time begins anew. In a handler that changes the state it is the new state's; in ``repeat_state``
    and ``become`` of the same state it goes on.

    Args:
        seconds: 0 is before any message that has not been taken yet, after what is queued already; ``None`` cancels it;
            ``"update"`` changes the content only, and comes at once if there is none.
        content: what the event carries.

    Raises:
        UsageError: ``seconds`` is none of these; or this is no handler of a machine.
    """
    _ask("state_timeout", STATE, seconds, content)


def named_timeout(name: Hashable, seconds: TimeoutSeconds, content: object = None, /) -> None:
    """Have a ``NamedTimeout(name, content)`` in so many seconds, whatever the state is then.

    There may be many, one of each name. Only asking for the same name again ends one: gen_statem's generic timeout.

    Args:
        name: anything hashable.
        seconds: as of :func:`state_timeout`.
        content: what the event carries.

    Raises:
        UsageError: ``seconds`` is wrong, or the name is not hashable; or this is no handler of a machine.
    """
    try:
        hash(name)
    except TypeError:
        msg = f"named_timeout expects a name that is hashable, got {name!r}"
        raise UsageError(msg) from None
    _ask("named_timeout", named(name), seconds, content)


def _ask(what: str, key: Any, seconds: object, content: object) -> None:
    _, machine = _machine_here(what)
    if not (is_seconds(seconds) or seconds is None or seconds == "update"):
        msg = f"{what} expects seconds >= 0, None to cancel it, or 'update' to change its content, got {seconds!r}"
        raise UsageError(msg)
    trace = current_trace()
    if trace is not None:
        content = Carried(content, trace)
    machine.ask(key, seconds, content)  # type: ignore[arg-type]  # it has just been looked at
