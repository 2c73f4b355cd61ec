"""The table that is made of the declarations of a machine: what answers in which state, and what is wrong, word by word."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import Down, StateMachine, UsageError, become, handle_call, handle_cast, state
from mabeam.otp._state_machine_table import Clause, MessageClause, StateTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class Base(StateMachine):
    def __init__(self) -> None:
        become(self.one)

    @state
    def one(self) -> None: ...

    @state
    def two(self) -> None: ...

    @handle_cast
    def tap(self) -> None: ...

    @one.on(tap)
    def soft(this) -> None: ...  # noqa: N805  (what self is called is not part of it)

    @two.handle_call
    def only_here(self) -> None: ...

    @two.handle_info(Down)
    def down(self, message: Down) -> None: ...


def tables(cls: type[StateMachine]) -> dict[str, StateTable]:
    """What the class has made of its declarations."""
    behaviour: Any = cls.__mabeam_behaviour__
    found: dict[str, StateTable] = behaviour.states
    return found


def test_each_clause_says_where_it_is() -> None:
    one, two = tables(Base)["one"], tables(Base)["two"]
    assert {name: clause.where for name, clause in one.clauses.items()} == {"tap": "Base.soft in state 'one'"}
    assert {name: clause.where for name, clause in two.clauses.items()} == {
        "tap": "Base.tap in state 'two'",
        "only_here": "Base.only_here in state 'two'",
    }
    assert [clause.where for clause in two.messages] == ["Base.down in state 'two'"]
    assert one.messages == ()
    assert one.clauses["tap"].function is vars(Base)["soft"]


def test_a_state_replaces_what_answered_under_its_name() -> None:
    class Derived(Base):
        @state
        def soft(self) -> None: ...  # type: ignore[override]

    assert list(tables(Derived)) == ["one", "two", "soft"]
    clause = tables(Derived)["one"].clauses["tap"]
    assert clause.function is vars(Base)["tap"]
    assert clause.where.endswith("Derived.tap in state 'one'")


@pytest.mark.parametrize("entry", [Clause, MessageClause, StateTable])
def test_entries_are_frozen_and_made_by_name(entry: Any) -> None:
    made = tables(Base)["two"]
    value = {Clause: made.clauses["tap"], MessageClause: made.messages[0], StateTable: made}[entry]
    values = {each.name: getattr(value, each.name) for each in fields(entry)}
    assert entry(**values) == value
    with pytest.raises(TypeError):
        entry(*values.values())
    for name in values:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


# ------------------------------------------------------------------------------------------------- mistakes


def problems_of(define: Callable[[], object]) -> list[str]:
    """What is wrong with the class that ``define`` defines, without where that is."""
    with pytest.raises(UsageError) as caught:
        define()
    return [problem.replace(f"{define.__qualname__}.<locals>.", "") for problem in caught.value.problems]


def test_what_is_no_event_of_the_class_is_refused() -> None:
    def define() -> None:
        class Wrong(Base):
            def plain(self) -> None: ...

            @Base.one.on(plain)
            def first(self) -> None: ...

            @Base.one.on(7)  # type: ignore[call-overload,untyped-decorator]  # what is tested
            def second(self) -> None: ...

            @Base.one.on(Down)  # type: ignore[arg-type]  # what is tested
            def third(self) -> None: ...

    first, second, third = problems_of(define)
    assert first.startswith("Wrong.first: one.on expects a call or a cast of this class, got <function")
    assert first.endswith("declare it with @handle_call")
    assert second == (
        "Wrong.second: one.on expects a call or a cast of this class, got 7; declare it with @handle_call"
    )
    assert third.endswith("classes of messages belong in handle_info")


def test_what_runs_beside_or_is_a_generator_is_refused() -> None:
    def define() -> None:
        class Wrong(Base):
            @handle_call(thread=True)
            def aside(self) -> None: ...

            @Base.one.on(aside)
            def aside_in_one(self) -> None: ...

            @Base.one.on(Base.tap)  # type: ignore[arg-type]  # what is tested
            def each(self) -> Iterator[None]:
                yield

            @Base.two.on(Base.tap)  # type: ignore[arg-type]  # what is tested
            async def every(self) -> AsyncIterator[None]:
                yield

    assert problems_of(define) == [
        (
            "Wrong.aside_in_one: Wrong.aside runs beside the machine (concurrent, thread or stream), whatever the state is; "
            "what depends on the state is a plain call or cast"
        ),
        "Wrong.each: a generator cannot answer",
        "Wrong.each and soft both answer tap in state 'one'; keep one of them",
        "Wrong.every: a generator cannot answer",
    ]


def test_other_parameters_than_those_of_the_event_are_refused() -> None:
    def define() -> None:
        class Wrong(Base):
            @handle_call
            def add(self, amount: int, times: int = 1) -> None: ...

            @Base.one.on(add)  # type: ignore[arg-type]  # what is tested
            def must_say(self, amount: int, times: int) -> None: ...

    assert problems_of(define) == [
        (
            "Wrong.must_say(self, amount: 'int', times: 'int') -> 'None' has other parameters than "
            "add(self, amount: 'int', times: 'int' = 1) -> 'None', which it stands for; they must have the same names"
        )
    ]


def test_a_state_that_it_has_not_is_told_with_those_it_has() -> None:
    class Other(StateMachine):
        @state
        def three(self) -> None: ...

    def define() -> None:
        class Wrong(Base):
            @Other.three.handle_info(Down)
            def down(self, message: Down) -> None: ...

    assert problems_of(define) == ["Wrong.down: this class has no state 'three'; it has one, two"]


def test_what_is_defined_again_and_again_is_told_once_with_names_to_give() -> None:
    def define() -> None:
        class Wrong(StateMachine):
            @state
            def one(self) -> None: ...

            @one.handle_info(Down)
            def _(self, message: Down) -> None: ...

            @one.handle_info(int)
            def _(self, message: int) -> None: ...

            @one.handle_info(str)
            def _(self, message: str) -> None: ...

    assert problems_of(define) == [
        (
            "Wrong._ is defined twice, and the first one is lost; give each a name of its own: "
            "@one.on(event) above def event_when_one"
        )
    ]


def test_what_overrides_an_answer_is_told_the_state_that_was_declared_last() -> None:
    class Both(Base):
        @Base.two.handle_info(int)
        @Base.one.handle_info(int)
        def number(self, message: int) -> None: ...

    def define() -> None:
        class Wrong(Both):
            def number(self, message: int) -> None: ...

    (problem,) = problems_of(define)
    assert problem.startswith(
        "Wrong.number overrides what is answered in state 'one' and is none of that itself"
    )
