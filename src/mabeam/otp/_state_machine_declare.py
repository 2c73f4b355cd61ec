"""How states and what they answer are declared: ``@state``, and the decorators that a state has."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, final, overload

from mabeam.errors import UsageError
from mabeam.otp._handlers import Raises, handle_call, handle_cast

__all__ = ("CLAUSES", "State", "state")

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])
M = TypeVar("M")
M2 = TypeVar("M2")
M3 = TypeVar("M3")

CLAUSES: Final = "__mabeam_clauses__"
"""Under this name a method keeps what it is for: pairs of a state and an event, or of a state and classes of messages."""


class _Mark(Protocol):
    def __call__(self, method: F, /) -> F: ...


class _EventClause(Protocol[P, R]):
    @overload
    def __call__(
        self, clause: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, clause: Callable[Concatenate[Any, P], R], /) -> Callable[Concatenate[Any, P], R]: ...


class _MessageClause(Protocol[M]):
    def __call__(self, clause: Callable[[Any, M], R], /) -> Callable[[Any, M], R]: ...


@final
class State:
    """A state of a machine, and the place to declare what is answered in it. Made by ``@state``.

    It is a value: two are equal when they have the same name, so ``self.current_state == self.opened`` holds in subclasses.

    Attributes:
        name: what it is called: the name of its method.
        enter: the method, which runs when the state is entered.
        takes_previous: the method takes the state before.
    """

    __slots__ = ("declared", "enter", "name", "problems", "takes_previous")

    def __init__(self, enter: Callable[..., Any]) -> None:
        """Made by ``@state`` only."""
        self.enter = enter
        self.name: str = enter.__name__
        self.declared: list[Callable[..., object]] = []
        self.problems: tuple[str, ...] = ()
        self.takes_previous = False
        parameters = list(inspect.signature(enter).parameters.values())
        if inspect.isasyncgenfunction(enter) or inspect.isgeneratorfunction(enter):
            self.problems = (
                f"state {self.name!r} is a generator; expected def or async def, to run when it is entered",
            )
        elif len(parameters) not in {1, 2} or any(each.kind not in _POSITIONAL for each in parameters):
            self.problems = (
                (
                    f"state {self.name!r} is entered with self, or with self and the state before, and takes "
                    f"{inspect.signature(enter)}"
                ),
            )
        else:
            self.takes_previous = len(parameters) == 2

    @overload
    def handle_call(self, method: F, /) -> F: ...
    @overload
    def handle_call(self, /, *, raises: Raises) -> _Mark: ...
    def handle_call(self, method: Any = None, /, *, raises: Raises = ()) -> Any:
        """Declare a call that is answered in this state, and elsewhere where ``on`` says so.

        In any other state the caller gets :class:`~mabeam.WrongState` and nothing is done.

        Args:
            method: the method, when used without parentheses.
            raises: exceptions that are answers, in whatever state: the caller gets them, the machine goes on.
        """

        def declare(each: Any) -> Any:
            return self._clause(handle_call(raises=raises)(each), each.__name__)

        return declare if method is None else declare(method)

    def handle_cast(self, method: F, /) -> F:
        """Declare a cast that is taken in this state, and elsewhere where ``on`` says so.

        In any other state it becomes a dead letter (``not_understood``).
        """
        return self._clause(handle_cast(method), method.__name__)

    @overload
    def on(self, event: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> _EventClause[P, R]: ...
    @overload
    def on(self, event: Callable[Concatenate[Any, P], R], /) -> _EventClause[P, R]: ...
    def on(self, event: Any, /) -> Any:
        """Say what a call or a cast means in this state: ``@opened.on(press)`` above a method with the same parameters.

        The event is declared elsewhere: for another state, or, by plain ``@handle_call`` or ``@handle_cast``, for all
        states that do not say otherwise. The method may be ``def`` or ``async def``, whatever the event's own is.
        """
        return lambda method: self._clause(method, event)

    @overload
    def handle_info(self, kind: type[M], /) -> _MessageClause[M]: ...
    @overload
    def handle_info(self, kind: type[M], other: type[M2], /) -> _MessageClause[M | M2]: ...
    @overload
    def handle_info(
        self, kind: type[M], other: type[M2], third: type[M3], /
    ) -> _MessageClause[M | M2 | M3]: ...
    def handle_info(self, *kinds: Any) -> Any:
        """Say what messages of a class mean in this state: timeouts, inserted events, ``Down``, anything sent raw.

        The first declared method whose class fits takes the message; ``object`` fits all. What no method of the state
        takes goes to ``handle_info`` of the machine.
        """
        return lambda method: self._clause(method, kinds)

    def _clause(self, method: F, what: object) -> F:
        if not inspect.isfunction(method):
            msg = f"state {self.name!r}: expected a method defined with def, got {method!r}"
            raise UsageError(msg)
        setattr(method, CLAUSES, (*getattr(method, CLAUSES, ()), (self.name, what)))
        self.declared.append(method)
        return method

    def __eq__(self, other: object) -> bool:
        """Equal when they have the same name."""
        return isinstance(other, State) and self.name == other.name

    def __hash__(self) -> int:
        """Hash by name."""
        return hash(self.name)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<state {self.name}>"


_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@overload
def state(method: Callable[[Any], Awaitable[None] | None], /) -> State: ...
@overload
def state(method: Callable[[Any, State | None], Awaitable[None] | None], /) -> State: ...
def state(method: Any, /) -> State:
    """Declare a state of a :class:`~mabeam.StateMachine`: a method that runs whenever the state is entered.

    It may be ``def`` or ``async def``, and may take the state before, which is ``None`` when the machine begins in this
    one. It may set timeouts, but can change nothing about the state that is just being entered. What is answered in the
    state is declared with its decorators: ``@opened.handle_call``, ``@opened.handle_cast``, ``@opened.handle_info(Down)``,
    ``@opened.on(press)``.

    Raises:
        UsageError: it is no method.
    """
    if not inspect.isfunction(method):
        msg = f"@state expects a method defined with def or async def, got {method!r}"
        raise UsageError(msg)
    return State(method)
