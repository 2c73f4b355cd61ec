"""How state machines are declared: what subclasses inherit, what is refused, and what type checkers refuse.

Lines that carry an ignore must be refused by the type checker: an ignore that is not needed is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Down,
    Postpone,
    State,
    StateMachine,
    StateTimeout,
    UsageError,
    WrongState,
    become,
    handle_call,
    handle_cast,
    handle_stream,
    named_timeout,
    next_event,
    send,
    state,
    state_timeout,
)
from tests.otp._servers import pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mabeam import Ref


class Lamp(StateMachine):
    """Every kind of declaration."""

    def __init__(self, watts: int = 40) -> None:
        self.watts = watts
        self.log: list[Any] = []
        become(self.off)

    @state
    def off(self) -> None: ...

    @off.handle_call
    def switch(self, times: int = 1, *, softly: bool = False) -> str:
        become(self.on)
        return "on"

    @off.handle_call(raises=(ValueError,))
    async def measure(self) -> int:
        raise ValueError("off")

    @state
    async def on(self, before: State | None) -> None:
        self.log.append(before)

    @on.on(switch)
    async def switch_off(self, times: int = 1, *, softly: bool = False) -> str:
        become(self.off)
        return "off"

    @on.on(measure)
    def measure_when_on(self) -> int:
        return self.watts

    @off.handle_cast
    @on.handle_cast
    def tap(self) -> None:
        self.log.append("tap")

    @state
    def broken(self) -> None: ...

    @broken.handle_info(StateTimeout, Down)
    def repair(self, message: StateTimeout | Down) -> None: ...

    @broken.handle_info(object)
    def anything(self, message: object) -> None:
        self.log.append(message)

    @handle_cast
    def drop(self) -> None:
        become(self.broken)

    @handle_call
    def where(self) -> str:
        return self.current_state.name


# ------------------------------------------------------------------------------------------------- types


async def test_calls_of_a_machine_are_typed_like_those_of_a_server() -> None:
    """Arguments and answers are those of the declaration."""
    lamp: Ref[Lamp] = await Lamp.start_link(60)
    on: str = await lamp.call(Lamp.switch, softly=True)
    watts: int = await lamp.call(Lamp.measure)
    off: str = await lamp.call(Lamp.switch, 2)
    assert (on, watts, off) == ("on", 60, "off")
    with pytest.raises(ValueError, match="off"):
        await lamp.call(Lamp.measure)
    lamp.cast(Lamp.tap)
    lamp.cast(Lamp.drop)
    with pytest.raises(WrongState):
        await lamp.call(Lamp.switch)


def test_what_does_not_fit_is_refused_by_the_type_checker_and_where_the_class_is_defined() -> None:
    """The parameters and the answer of an event are the same in all states."""
    with pytest.raises(UsageError) as caught:

        class Wrong(Lamp):
            @Lamp.broken.on(Lamp.switch)  # type: ignore[arg-type]
            def switch_when_broken(self, times: str = "1", *, softly: bool = False) -> str:
                return "broken"

            @Lamp.broken.on(Lamp.measure)  # type: ignore[arg-type]
            def measure_when_broken(self, unit: str) -> int:
                return 1

            @Lamp.broken.on(Lamp.drop)  # type: ignore[arg-type]
            def drop_when_broken(self) -> str:
                return "dropped"

            @Lamp.on.handle_info(Down)  # type: ignore[arg-type]
            def down(self, message: StateTimeout) -> None: ...

            @state  # type: ignore[arg-type]
            def wide(self, before: State | None, more: int) -> None: ...

    problems = caught.value.problems
    assert [each for each in problems if "measure_when_broken(self, unit: 'str')" in each]
    assert [
        each
        for each in problems
        if "state 'wide' is entered with self, or with self and the state before" in each
    ]
    assert len(problems) == 2  # of the others only types could tell


async def _refused() -> None:
    """Never run."""
    lamp: Ref[Lamp] = await Lamp.start_link("40")  # type: ignore[arg-type]
    await lamp.call(Lamp.switch, "1")  # type: ignore[call-overload]
    lamp.cast(Lamp.tap, 1)  # type: ignore[call-arg]
    become("on")  # type: ignore[arg-type]
    state_timeout("soon")  # type: ignore[arg-type]
    named_timeout([], 1.0)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- inheritance


async def test_a_subclass_has_the_states_and_clauses_of_its_base_and_may_override_them() -> None:
    """By name, as anything in Python."""

    class Loud(Lamp):
        @state
        def off(self) -> None:
            self.log.append("silence")

        @handle_call
        def switch(self, times: int = 1, *, softly: bool = False) -> str:
            return f"loudly {super().switch()}"

        @Lamp.on.on(Lamp.measure)
        def measure_when_on(self) -> int:
            return 2 * super().measure_when_on()

        @state
        def blinking(self) -> None: ...

        @blinking.on(Lamp.tap)
        def tap_when_blinking(self) -> None:
            self.log.append("blink")

        @Lamp.broken.handle_cast
        def shake(self) -> None:
            become(self.blinking)

    lamp = await Loud.start_link()
    assert await lamp.call(Lamp.switch) == "loudly on"
    assert await lamp.call(Lamp.measure) == 80
    lamp.cast(Lamp.drop)
    assert await lamp.call(Lamp.switch) == "loudly on"  # declared for all states now, and only on has another
    assert await lamp.call(Lamp.switch) == "off"
    lamp.cast(Lamp.drop)
    lamp.cast(Loud.shake)
    lamp.cast(Lamp.tap)
    assert await lamp.call(Lamp.where) == "blinking"
    assert state_of(lamp).log == ["silence", Lamp.off, Lamp.broken, "silence", "blink"]
    assert state_of(lamp).current_state == Loud.blinking
    base = await Lamp.start_link()
    assert await base.call(Lamp.switch) == "on"


async def test_the_first_class_that_fits_takes_a_message() -> None:
    """In the order of declaration."""
    lamp = await Lamp.start_link()
    lamp.cast(Lamp.drop)
    send(pid_of(lamp), StateTimeout())
    send(pid_of(lamp), "text")
    assert await lamp.call(Lamp.where) == "broken"
    assert state_of(lamp).log == ["text"]


async def test_a_mixin_may_bring_states() -> None:
    """Whatever its base is."""

    class Resting:
        @state
        def resting(self) -> None: ...

        @resting.handle_call
        def wake(self) -> str:
            return "awake"

    class Sleeper(Resting, StateMachine):
        def __init__(self) -> None:
            become(self.resting)
            next_event(1)

        def handle_info(self, message: object) -> None: ...

    sleeper = await Sleeper.start_link()
    assert await sleeper.call(Sleeper.wake) == "awake"


# ------------------------------------------------------------------------------------------------- mistakes


def problems_of(define: Any) -> tuple[str, ...]:
    """What is wrong with the class that ``define`` defines."""
    with pytest.raises(UsageError) as caught:
        define()
    for problem in caught.value.problems:
        assert problem in str(caught.value)
    return caught.value.problems


def test_all_mistakes_of_a_class_are_told_at_once() -> None:
    """Each with what to write instead."""

    def define() -> None:
        class Wrong(StateMachine):
            @state
            def one(self) -> None: ...

            @state
            def terminate(self) -> None: ...  # type: ignore[override]

            @state  # type: ignore[arg-type]
            def each(self) -> Iterator[None]:
                yield

            alias = one

            @handle_call(concurrent=2)
            async def beside(self) -> None: ...

            @handle_stream
            async def items(self) -> AsyncIterator[int]:
                yield 1

            @one.on(beside)
            async def beside_in_one(self) -> None: ...

            @one.on(items)
            def items_in_one(self) -> AsyncIterator[int]:
                raise Postpone

            def plain(self) -> None: ...

            @one.on(plain)
            def plain_in_one(self) -> None: ...

            @one.on(Down)  # type: ignore[arg-type]
            def down_in_one(self, *args: Any) -> Any: ...

            @one.handle_info("Down")  # type: ignore[call-overload,untyped-decorator]
            def text_in_one(self, message: object) -> None: ...

            @one.handle_info()  # type: ignore[call-overload,untyped-decorator]
            def nothing_in_one(self, message: object) -> None: ...

            @one.handle_cast
            def tap(self) -> None: ...

            @one.on(tap)
            def tap_again(self) -> None: ...

    problems = problems_of(define)
    for words in (
        "state 'terminate': the name means something else to a StateMachine",
        "state 'each' is a generator",
        "Wrong.alias is state 'one' under another name",
        "beside_in_one: test_all_mistakes_of_a_class_are_told_at_once.<locals>.define.<locals>.Wrong.beside runs beside",
        "items_in_one",
        "plain_in_one: one.on expects a call or a cast of this class",
        "classes of messages belong in handle_info",
        "handle_info of a state expects classes of messages, got 'Down'",
        "handle_info of a state expects a class of messages; object is any",
        "tap_again and tap both answer tap in state 'one'",
    ):
        assert [each for each in problems if words in each], (words, problems)
    assert len(problems) == 10


def test_an_event_that_is_declared_twice_is_refused() -> None:
    """The first one would be lost without a word; so would the first of two that are called _."""

    def define() -> None:
        class Twice(StateMachine):
            @state
            def one(self) -> None: ...

            @state
            def two(self) -> None: ...

            @one.handle_cast
            def tap(self) -> None: ...

            @two.handle_cast  # type: ignore[no-redef]
            def tap(self) -> None: ...  # noqa: F811  (what is tested)

            @one.handle_info(Down)
            def _(self, message: Down) -> None: ...

            @two.handle_info(Down)
            def _(self, message: Down) -> None: ...

    problems = problems_of(define)
    assert len(problems) == 2
    assert "@one.on(tap) above def tap_when_one" in problems[0]
    assert "Twice._ is defined twice" in problems[1]


def test_what_overrides_a_declaration_must_be_one() -> None:
    """States, clauses and events."""

    def define() -> None:
        class Silent(Lamp):
            def off(self) -> None: ...  # type: ignore[override]

            def measure_when_on(self) -> int:
                return 0

            def tap(self) -> None: ...

    problems = problems_of(define)
    assert len(problems) == 3
    assert [each for each in problems if "Silent.off overrides a state but is none itself" in each]
    assert [each for each in problems if "measure_when_on overrides what is answered in state 'on'" in each]
    assert [each for each in problems if "tap overrides a handler but is none itself" in each]


def test_what_a_class_says_of_states_of_others_is_refused() -> None:
    """A state belongs to the classes that inherit it."""

    def define() -> None:
        class Stranger(StateMachine):
            @Lamp.on.handle_cast
            def tap(self) -> None: ...

    (problem,) = problems_of(define)
    assert "Stranger.tap: this class has no state 'on'; it has none" in problem


@pytest.mark.parametrize("what", [None, 7, staticmethod(lambda: None)])
def test_a_state_or_a_clause_is_a_method(what: Any) -> None:
    """Anything else is refused on the spot."""
    with pytest.raises(UsageError, match="expects a method defined with def"):
        state(what)
    with pytest.raises(UsageError, match="expected a method defined with def"):
        Lamp.on.handle_info(Down)(what)


def test_options_of_servers_are_checked_along_with_the_states() -> None:
    """One error for all."""

    def define() -> None:
        class Wrong(Lamp):
            mailbox_limit = 0

            @state
            def init(self) -> None: ...  # type: ignore[override]

    problems = problems_of(define)
    assert len(problems) == 2
