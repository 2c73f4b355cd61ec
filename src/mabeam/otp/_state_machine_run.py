"""How a state machine runs: a server that chooses what answers by its state, and comes to its own events first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import UsageError, WrongState
from mabeam.kernel import (
    SUSPENDED,
    Exempt,
    ExitSignal,
    SystemRequest,
    in_trace,
    mailbox_is_full,
    stop,
    trace_of,
)
from mabeam.otp._deadlines import has_expired
from mabeam.otp._requests import Call, Cast, Continue, StopRequest
from mabeam.otp._server import ServerBehaviour
from mabeam.otp._state_machine_asks import MachineAsides, Own, Postpone, event_of, puts_off
from mabeam.otp._state_machine_state import Timeout
from mabeam.otp._streams import StreamRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableSequence

    from mabeam.kernel import Caller, ExitReason, Process
    from mabeam.otp._state_machine_state import Changes
    from mabeam.otp._state_machine_table import Clause, StateTable

__all__ = ("StateMachineBehaviour",)


class _Queued(Exempt):
    """To itself, in front of the mailbox: there are events that come first."""

    def __repr__(self) -> str:
        return "events of its own"


class _Expired(Exempt):
    """To itself: the time of a timeout is over. It takes its place in the mailbox, as in OTP."""

    __slots__ = ("timeout",)

    def __init__(self, timeout: Timeout) -> None:
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"time for {event_of(self.timeout).content!r}"


class _Entering:
    """Stands for a state that is being entered, in reports."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"entering state {self.state!r}"


_QUEUED: Final = _Queued()
_OURS: Final = frozenset((_Queued, _Expired, Own))


class StateMachineBehaviour(ServerBehaviour):
    """Runs the machines of one class.

    Attributes:
        states: what is answered in each state, by its name.
    """

    __slots__ = ("states",)

    def __init__(
        self,
        cls: Any,
        handlers: dict[str, Clause],
        overridden: frozenset[str],
        states: dict[str, StateTable],
        *,
        shared: bool,
    ) -> None:
        """For ``cls``, whose states are ``states``."""
        super().__init__(cls, dict(handlers), overridden, shared=shared)
        self.states = states

    # ------------------------------------------------------------------------------------------- start

    def start(self, process: Process) -> None:
        """As a server, with the bookkeeping of a machine."""
        process.extra = MachineAsides()
        super().start(process)

    def _up(self, process: Process) -> None:
        """It is up, and its starter knows, before the first state is entered: OTP's order."""
        asides: MachineAsides = process.extra
        if process.ending is None:
            if asides.machine.target is None:
                self._start_failed(process, _no_state(self))
                return
            if process.registrations is None:
                process.registrations = {}
            process.registrations[asides] = None  # timers and postponed events go with the process
            # Not self.x = y: the class may be a frozen dataclass, say.
            object.__setattr__(process.body, "_machine", asides.machine)
        super()._up(process)

    # ------------------------------------------------------------------------------------------- events

    def take(self, process: Process, message: Any) -> bool:
        """Work on one message, or on an event that comes before it."""
        asides: MachineAsides = process.extra
        machine, kind = asides.machine, type(message)
        if kind is _Queued:
            asides.is_marked = False
            event = machine.next()
            self._mark(process, asides)
            if event is None:
                return True
            event = event_of(event) if isinstance(event, Timeout) else event
            if process.kernel.scheduler.traced:
                return in_trace(process, trace_of(event), self._handle, process, asides, event)
            return self._handle(process, asides, event)
        if kind is _Expired:
            asides.handles.pop(message.timeout, None)
            if not machine.expired(message.timeout):
                return True
            event = event_of(message.timeout)
            return in_trace(process, event.trace, self._handle, process, asides, event)
        if self._is_no_event(process, message):
            if kind is not SystemRequest:
                asides.cancel(machine.interrupt().cancelled)
            return super().take(process, message)
        return self._handle(process, asides, message)

    def _is_no_event(self, process: Process, message: Any) -> bool:
        """Whether it is dealt with apart from the states: requests to a server, and what runs beside it."""
        kind = type(message)
        if kind is Call or kind is Cast:
            return bool(message.handler.concurrent)
        if kind is ExitSignal:
            return process.parent is not None and message.pid is process.parent.pid
        return kind in {SystemRequest, StopRequest, StreamRequest}

    def _handle(self, process: Process, asides: MachineAsides, event: Any) -> bool:
        machine, kind = asides.machine, type(event)
        machine.begin(event)
        table = self.states[machine.state or ""]
        if kind is Call or kind is Cast:
            clause = table.clauses.get(event.handler.event)
            if clause is None:
                self._not_here(process, event, table)
                return self._afterwards(process)
            event.handler = clause
            done = super().take(process, event)
            if done and machine.is_open:
                return self._afterwards(
                    process
                )  # not begun, since the caller's time was over: an event all the same
            return done
        if kind is Continue:
            return super().take(process, event)
        content = event.content if kind is Own else event
        found = table.message_clause(content)
        function = process.body.handle_info if found is None else partial(found.function, process.body)
        return self._run(process, content, None, partial(function, content))

    def _not_here(self, process: Process, event: Call | Cast, table: StateTable) -> None:
        """An event that the state does not answer is its sender's affair: unlike in OTP, it crashes nobody."""
        if type(event) is Call:
            event.caller.fail(WrongState(process.describe(), event.handler.what, table.state.name))
        else:
            process.kernel.dead_letters.add(process.describe(), event, "not_understood")

    def failed(
        self, process: Process, message: Any, caller: Caller[Any] | None, error: BaseException
    ) -> bool:
        """A handler has raised; ``Postpone`` is no failure."""
        asides: MachineAsides = process.extra
        if puts_off(process, error):
            self._postpone(process, asides)
            return self._afterwards(process)
        if isinstance(error, Postpone) and process.ending is None:
            error = UsageError("a state that is being entered handles no event, so there is none to postpone")
        done = super().failed(process, message, caller, error)
        if done and process.ending is None and asides.machine.is_open:
            return self._afterwards(process)  # arguments that did not fit, say: an event all the same
        return done

    def _crash(self, process: Process, error: BaseException, where: str) -> None:
        """As of a server; ``terminate`` sees the state that a failed entering has not left."""
        asides: MachineAsides = process.extra
        asides.machine.crashed()
        super()._crash(process, error, where)

    def _part(self, process: Process, reason: ExitReason, answer: tuple[Caller[Any], object] | None) -> None:
        """Answer before ``terminate`` runs: in gen_statem, unlike in gen_server, answers come before all else."""
        if answer is not None:
            caller, value = answer
            caller.reply(value)
        stop(process, reason)

    def _postpone(self, process: Process, asides: MachineAsides) -> None:
        machine = asides.machine
        if len(machine.postponed) >= self.mailbox_limit:
            self._drop_expired(process, asides)
        if len(machine.postponed) < self.mailbox_limit:
            machine.postpone()
            return
        event = machine.event
        content = event.content if type(event) is Own else event
        self.drop(process, content, mailbox_is_full(process, ": it has postponed as many"))

    def _drop_expired(self, process: Process, asides: MachineAsides) -> None:
        """Make room: calls whose callers have timed out are not handled again, so they need none."""
        postponed, now = asides.machine.postponed, process.kernel.loop.time()
        # A millionth of a second of rest for each: a flood that is refused must not have all looked through for each of it.
        if now < asides.looked_through + len(postponed) * 1e-6:
            return
        asides.looked_through = now
        gone = [each for each in postponed if type(each) is Call and has_expired(process, each.caller)]
        for event in gone:
            process.kernel.incidents.expired(process, event.handler.what, "dropped")
        are_gone = set(map(id, gone))
        postponed[:] = [each for each in postponed if id(each) not in are_gone]

    # ------------------------------------------------------------------------------------------- between events

    def _afterwards(self, process: Process) -> bool:
        """Let what the handler has asked for take effect; false when that goes on in an activation."""
        asides: MachineAsides = process.extra
        if process.ending is not None:
            return True
        if asides.stop_reason is not None:
            reason, asides.stop_reason = asides.stop_reason, None
            stop(process, reason)
            return True
        machine = asides.machine
        asides.pending = False
        if asides.continuations:
            machine.insert_first(asides.continuations)
            asides.continuations = []
        if machine.is_needless:
            machine.is_open = False
            return True
        if process.status & SUSPENDED:
            return True  # code that others have it run has asked for that: the resumption comes here again
        if machine.left():
            return self._enter(process, asides)
        self._carry_out(process, asides, machine.finish())
        self._mark(process, asides)
        return True

    def _enter(self, process: Process, asides: MachineAsides) -> bool:
        name, previous = asides.machine.state or "", asides.machine.previous
        state = self.states[name].state
        enter = partial(state.enter, process.body)
        if state.takes_previous:
            before = self.states.get(previous or "")  # one that a change of the code took away is none
            enter = partial(enter, None if before is None else before.state)
        return self._run(process, _Entering(name), None, enter)

    def _carry_out(self, process: Process, asides: MachineAsides, changes: Changes) -> None:
        asides.cancel(changes.cancelled)
        if not changes.started:
            return
        # Its own context: this may be the turn of a caller, whose timers they are not.
        loop, context = process.kernel.loop, process.own_context()
        for timeout, seconds in changes.started:
            asides.handles[timeout] = loop.call_later(
                seconds, _expire, process, timeout, context=context.copy()
            )

    def _mark(self, process: Process, asides: MachineAsides) -> None:
        """See to it that its own events come next.

        By way of the mailbox, not in a loop here: a machine that goes on giving itself events must not keep others waiting.
        """
        if asides.machine.has_next and not asides.is_marked:
            asides.is_marked = True
            process.kernel.put_back(process, _QUEUED)

    # ------------------------------------------------------------------------------------------- reports, mail, sys

    def check_change(self, process: Process) -> None:
        """The new class must have the state that the machine is in, or its ``code_change`` must choose another one.

        Raises:
            UsageError: it has not.
        """
        asides: MachineAsides = process.extra
        if asides.machine.target not in self.states:
            msg = (
                f"{process.describe()} is in state {asides.machine.target!r}, and {self.label} has no such state; it has "
                f"{', '.join(self.states) or 'none'}. Say in its code_change what to become, or keep the state."
            )
            raise UsageError(msg)

    def put_off(self, process: Process) -> tuple[MutableSequence[Any], ...]:
        """What is postponed, and what of that is tried again."""
        machine = process.extra.machine
        return machine.postponed, machine.queue

    def replace_state(self, process: Process, state: object) -> None:
        """Another instance of the same class, in the same state of the machine."""
        super().replace_state(process, state)
        asides: MachineAsides = process.extra
        object.__setattr__(state, "_machine", asides.machine)

    def alarms(self, process: Process) -> Iterable[tuple[float, str]]:
        """The timeouts of the machine as well."""
        handles = process.extra.handles if isinstance(process.extra, MachineAsides) else {}
        own = []
        for timeout, handle in tuple(handles.items()):
            kind, name = timeout.key
            own.append((handle.when(), f"its timeout {name!r}" if kind == "named" else f"its {kind} timeout"))
        return [*super().alarms(process), *own]

    def why_kept(self, process: Process, caller: Caller[Any]) -> str:
        """It is postponed, perhaps."""
        machine = process.extra.machine
        if not any(type(each) is Call and each.caller is caller for each in tuple(machine.postponed)):
            return ""
        return f"state {machine.state!r} has postponed it, and it is handled again in another one"

    def where(self, process: Process, message: Any) -> str:
        """The method that works on a message, with the state."""
        asides: MachineAsides = process.extra
        name, kind = asides.machine.state or "", type(message)
        if kind is _Entering:
            return f"{self.label}.{name}, entering the state"
        if kind is Call or kind is Cast:
            clause: Clause = message.handler
            return clause.where
        found = None if kind is Continue else self.states[name].message_clause(message)
        return found.where if found is not None else f"{super().where(process, message)} in state {name!r}"

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        """Tell a caller or a reader; casts and raw messages become dead letters, its own events nothing."""
        return type(message) in _OURS or super().undelivered(process, message, reason)


def _no_state(behaviour: StateMachineBehaviour) -> UsageError:
    name = next(iter(behaviour.states), "")
    if not name:
        return UsageError(f"{behaviour.label} has no states; declare them with @state")
    return UsageError(
        f"{behaviour.label} does not say in which state it begins: write become(self.{name}) in __init__ or in init"
    )


def _expire(process: Process, timeout: Timeout) -> None:
    process.kernel.scheduler.enqueue(process, _Expired(timeout))
