"""What a machine answers in each of its states: the table made from the declarations of a class.

Pure: a class in, tables and mistakes out.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mabeam.otp._handlers import Handler
from mabeam.otp._state_machine_declare import CLAUSES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Clause", "MessageClause", "StateTable", "tables_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause(Handler):
    """A handler of a machine: what an event means in one state, or in all.

    Attributes:
        event: the name of the event, by which it is found again in another state.
        where: the method and the state, for reports.
    """

    event: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageClause:
    """What takes messages of some classes in one state.

    Attributes:
        where: the method and the state, for reports.
        kinds: the classes.
        function: the method.
    """

    where: str
    kinds: tuple[type, ...]
    function: Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTable:
    """One state of one class.

    Attributes:
        state: the state, as the most derived class declares it.
        clauses: calls and casts that are answered in it, by the name of the event.
        messages: what takes other messages, in the order of declaration.
    """

    state: State
    clauses: dict[str, Clause]
    messages: tuple[MessageClause, ...]

    def message_clause(self, message: object) -> MessageClause | None:
        """What takes a message."""
        return next((each for each in self.messages if isinstance(message, each.kinds)), None)


class _Method:
    """A method that is for something in some states, as the most derived class has it."""

    def __init__(self, name: str, function: Callable[..., Any], clauses: tuple[tuple[str, Any], ...]) -> None:
        self.name = name
        self.function = function
        self.clauses = clauses


def tables_of(
    cls: type, handlers: dict[str, Handler] | None, reserved: frozenset[str]
) -> tuple[dict[str, Clause], dict[str, StateTable], list[str]]:
    """The handlers of a machine as clauses, the table of each of its states, and all that is wrong with them.

    Args:
        cls: the class.
        handlers: what it answers to in whatever state; ``None`` when that is wrong already.
        reserved: names that a state cannot have.
    """
    states, methods, problems = _collect(cls)
    problems += [
        f"state {name!r}: the name means something else to a StateMachine"
        for name in states
        if name in reserved
    ]
    if handlers is None:
        return {}, {}, problems
    events = {
        name: _clause_of(handler, name, handler.function, handler.what) for name, handler in handlers.items()
    }
    answered, messages, wrong = _sort(cls, states, methods, handlers)
    # Declared for a state only, by @locked.handle_call, an event means nothing in those that do not say.
    in_states_only = {name for (_, name), method in answered.items() if method.name == name}
    tables = {}
    for state, entry in states.items():
        clauses = {}
        for name, handler in handlers.items():
            method = answered.get((state, name))
            if method is not None:
                where = f"{cls.__qualname__}.{method.name} in state {state!r}"
                clauses[name] = _clause_of(handler, name, method.function, where)
            elif name not in in_states_only:
                where = f"{handler.what} in state {state!r}"
                clauses[name] = _clause_of(handler, name, handler.function, where)
        tables[state] = StateTable(state=entry, clauses=clauses, messages=tuple(messages[state]))
    return events, tables, [*problems, *wrong]


def _sort(
    cls: type, states: dict[str, State], methods: dict[str, _Method], handlers: dict[str, Handler]
) -> tuple[dict[tuple[str, str], _Method], dict[str, list[MessageClause]], list[str]]:
    """What answers an event in a state, what takes messages in a state, and what is wrong with either."""
    answered: dict[tuple[str, str], _Method] = {}
    messages: dict[str, list[MessageClause]] = {name: [] for name in states}
    problems: list[str] = []
    for method in methods.values():
        where = f"{cls.__qualname__}.{method.name}"
        for state, what in method.clauses:
            if state not in states:
                problems.append(f"{where}: this class has no state {state!r}; it has {_listed(states)}")
            elif isinstance(what, tuple):
                problems += _message_problems(where, what)
                clause = MessageClause(
                    where=f"{where} in state {state!r}", kinds=what, function=method.function
                )
                messages[state].append(clause)
            else:
                name = what if isinstance(what, str) else getattr(what, "__name__", "")
                problems += _event_problems(where, state, name, what, method.function, handlers)
                other = answered.setdefault((state, name), method)
                if other is not method:
                    problems.append(
                        f"{where} and {other.name} both answer {name} in state {state!r}; keep one of them"
                    )
    return answered, messages, problems


def _collect(cls: type) -> tuple[dict[str, State], dict[str, _Method], list[str]]:
    """States and methods by name, the most derived of each."""
    states: dict[str, State] = {}
    methods: dict[str, _Method] = {}
    problems: list[str] = []
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            clauses = getattr(value, CLAUSES, ()) if inspect.isfunction(value) else ()
            if isinstance(value, State):
                states[name] = value
                methods.pop(name, None)
                problems += [f"{base.__qualname__}: {problem}" for problem in value.problems]
                if value.name != name:
                    problems.append(
                        f"{base.__qualname__}.{name} is state {value.name!r} under another name; a state has one"
                    )
            elif name in states:
                problems.append(
                    f"{base.__qualname__}.{name} overrides a state but is none itself; decorate it with @state"
                )
            elif clauses:
                methods[name] = _Method(name, value, clauses)
            elif name in methods:
                state, what = methods[name].clauses[0]
                if what != name:  # the table of handlers tells of events that are overridden by what is none
                    problems.append(
                        f"{base.__qualname__}.{name} overrides what is answered in state {state!r} and is none of that "
                        f"itself; decorate it as the method that it overrides, or give it another name"
                    )
                del methods[name]  # or it is an event that is answered in all states from now on
        problems += _lost(base)
    return states, methods, problems


def _lost(base: type) -> Iterator[str]:
    """Methods that were declared for states of a class and then replaced by others of the same name."""
    there = vars(base)
    told: set[str] = set()
    for value in there.values():
        if not isinstance(value, State):
            continue
        for function in value.declared:
            name = function.__name__
            own = function.__qualname__ == f"{base.__qualname__}.{name}"
            if own and there.get(name) is not function and name not in told:
                told.add(name)
                yield (
                    f"{base.__qualname__}.{name} is defined twice, and the first one is lost; give each a name of its own: "
                    f"@{value.name}.on({name if name != '_' else 'event'}) above def {_suggested(name)}_when_{value.name}"
                )


def _suggested(name: str) -> str:
    return "event" if name == "_" else name


def _message_problems(where: str, kinds: tuple[Any, ...]) -> list[str]:
    found = [
        f"{where}: handle_info of a state expects classes of messages, got {kind!r}"
        for kind in kinds
        if not isinstance(kind, type)
    ]
    return found or (
        [] if kinds else [f"{where}: handle_info of a state expects a class of messages; object is any"]
    )


def _event_problems(
    where: str,
    state: str,
    name: str,
    what: object,
    function: Callable[..., Any],
    handlers: dict[str, Handler],
) -> list[str]:
    handler = handlers.get(name)
    if handler is None:
        hint = (
            "classes of messages belong in handle_info"
            if isinstance(what, type)
            else "declare it with @handle_call"
        )
        return [f"{where}: {state}.on expects a call or a cast of this class, got {what!r}; {hint}"]
    if handler.concurrent or handler.thread or handler.kind == "stream":
        return [
            (
                f"{where}: {handler.what} runs beside the machine (concurrent, thread or stream), whatever the state is; "
                "what depends on the state is a plain call or cast"
            )
        ]
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return [f"{where}: a generator cannot answer"]
    wanted, got = _shape(handler.function), _shape(function)
    if wanted != got:
        return [
            (
                f"{where}{inspect.signature(function)} has other parameters than {name}{inspect.signature(handler.function)}, "
                "which it stands for; they must have the same names"
            )
        ]
    return []


def _shape(function: Callable[..., Any]) -> list[tuple[str, object, bool]]:
    """What a call may look like: names and kinds of parameters, and which may be left out."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(each.name, each.kind, each.default is each.empty) for each in parameters]


def _clause_of(handler: Handler, name: str, function: Callable[..., Any], where: str) -> Clause:
    values: dict[str, Any] = {each.name: getattr(handler, each.name) for each in fields(Handler)}
    # Never handed off: which code runs depends on the state, and a postponed event needs a message to be kept.
    values.update(function=function, inline=False, in_task=False)
    return Clause(**values, event=name, where=where)


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
