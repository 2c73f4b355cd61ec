"""StateMachine: a server whose answers depend on a state, with timeouts, postponed events and entering of states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.errors import UsageError
from mabeam.otp._gen_server import GenServer
from mabeam.otp._handlers import handlers_of
from mabeam.otp._state_machine_run import StateMachineBehaviour
from mabeam.otp._state_machine_table import tables_of

if TYPE_CHECKING:
    from mabeam.otp._state_machine_declare import State
    from mabeam.otp._state_machine_state import Machine

__all__ = ("StateMachine",)


class StateMachine(GenServer):
    """Base of state machines: subclass it, write a method for each state, say what is answered in which.

    A state is a method with ``@state``, which runs when the state is entered. Events are the calls, casts and messages of a
    :class:`GenServer`: ``@handle_call`` and ``@handle_cast`` declare what is answered in all states, ``@opened.handle_call``,
    ``@opened.handle_cast`` and ``@opened.handle_info`` what is answered in one; ``@opened.on(press)`` says what an event that is
    declared elsewhere means in this state. Data is kept in attributes.

    A handler asks for what is to follow: :func:`become` another state, :func:`repeat_state`, :func:`state_timeout`,
    :func:`named_timeout`, ``idle_timeout``, :func:`next_event`, ``raise Postpone``. All of it takes effect when the handler
    has returned, by the rules of OTP's ``gen_statem``. Everything else is as in a GenServer.

    Guarantees:
        One event is handled after the other, also when handlers wait. Events of its own come before any message; postponed
        ones come back in order. A call that the state does not answer raises :class:`WrongState` in its caller, a cast is a
        dead letter; neither does anything to the machine. When it ends, callers of postponed calls get ``ProcessDied`` and
        postponed casts are dead letters. No more is postponed than the mailbox may hold.

    Example:
        from mabeam import StateMachine, StateTimeout, become, state, state_timeout

        class Door(StateMachine):
            def __init__(self, code: str) -> None:
                self.code = code
                self.typed = ""
                become(self.locked)

            @state
            def locked(self) -> None:
                self.typed = ""

            @locked.handle_call
            def press(self, key: str) -> bool:
                self.typed += key
                if self.typed == self.code:
                    become(self.opened)
                return self.typed == self.code

            @state
            def opened(self) -> None:
                state_timeout(10.0)

            @opened.handle_info(StateTimeout)
            def close(self, timeout: StateTimeout) -> None:
                become(self.locked)

        async def main() -> bool:
            door = await Door.start_link("42")
            await door.call(Door.press, "4")
            return await door.call(Door.press, "2")

        assert mabeam.run(main)
    """

    # Kept apart from the attributes of users, which introspection shows.
    __slots__ = ("_machine",)
    _machine: Machine[Any]

    def __init_subclass__(cls, *, shared: bool = False, **options: Any) -> None:
        """Make the tables of handlers and states; all mistakes in their declarations are found here."""
        problems: list[str] = []
        try:
            super().__init_subclass__(shared=shared, **options)
        except UsageError as error:
            problems += error.problems
        handlers = None if problems else handlers_of(cls)
        events, states, wrong = tables_of(cls, handlers, _RESERVED)
        problems += [each for each in wrong if each not in problems]
        if problems:
            lines = "\n".join(f"  - {problem}" for problem in problems)
            raise UsageError(f"{cls.__qualname__} cannot be defined:\n{lines}", problems=problems)
        made = cls.__mabeam_behaviour__
        cls.__mabeam_behaviour__ = StateMachineBehaviour(cls, events, made._has, states, shared=shared)

    @property
    def current_state(self) -> State:
        """The state that it is in; while a state is entered, that one.

        Raises:
            UsageError: it has none yet, in ``__init__`` and ``init``; or a change of the code has taken it away.
        """
        machine = getattr(self, "_machine", None)
        if machine is None or machine.state is None:
            msg = f"{type(self).__qualname__} is in no state before init has returned; become(...) says in which it begins"
            raise UsageError(msg)
        found: State | None = getattr(type(self), machine.state, None)
        if found is None:
            msg = f"{type(self).__qualname__} does not have state {machine.state!r}, in which it was; become(...) says which is next"
            raise UsageError(msg)
        return found

    def __repr__(self) -> str:
        """Show the state and what waits."""
        machine = getattr(self, "_machine", None)
        if machine is None or machine.state is None:
            return f"<{type(self).__qualname__}, in no state yet>"
        waiting = f"{len(machine.postponed)} postponed, {len(machine.timeouts)} timeouts"
        return f"<{type(self).__qualname__} in state {machine.state!r}, {waiting}>"


_RESERVED = frozenset(dir(StateMachine))
