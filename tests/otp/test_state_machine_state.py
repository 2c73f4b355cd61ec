"""The pure part of state machines against a model that is written for being read, and the laws that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.otp._state_machine_state import IDLE, STATE, Changes, Machine, Timeout, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.otp._state_machine_state import Seconds, TimeoutKey

KEYS = (STATE, IDLE, named("one"), named("two"))
STATES = ("a", "b", "c")


@dataclass
class Model:
    """What gen_statem's manual says, with lists that are made anew."""

    state: str | None = None
    queue: list[Any] = field(default_factory=list)
    postponed: list[Any] = field(default_factory=list)
    running: dict[Any, Any] = field(default_factory=dict)
    due: list[tuple[Any, Any]] = field(default_factory=list)
    entered: int = 0

    def handled(self, event: Any, script: list[Any]) -> None:
        changes = [each for each in script if each[0] in {"become", "repeat"}]
        last = changes[-1] if changes else ("become", self.state)
        if ("postpone",) in script:
            self.postponed = [*self.postponed, event]
        self.stop(IDLE)
        if last[0] == "repeat":
            self.entered += 1
        elif last[1] != self.state:
            self.entered += 1
            self.state = last[1]
            self.stop(STATE)
            self.queue, self.postponed = self.postponed + self.queue, []
        self.queue = [each[1] for each in script if each[0] == "insert"] + self.queue
        asked = [each for each in script if each[0] == "ask"]
        for number, (_, key, seconds, content) in enumerate(asked):
            if any(later[1] == key for later in asked[number + 1 :]):
                continue
            if seconds == "update" and key in self.running:
                self.running[key] = content
            elif seconds == "update" and any(each == key for each, _ in self.due):
                self.due = [(each, content if each == key else kept) for each, kept in self.due]
            else:
                self.stop(key)
                if seconds in {"update", 0}:
                    self.due.append((key, content))
                elif seconds is not None:
                    self.running[key] = content

    def stop(self, key: Any) -> None:
        self.running.pop(key, None)
        self.due = [each for each in self.due if each[0] != key]

    def next(self) -> Any:
        if self.queue:
            return self.queue.pop(0)
        return self.due.pop(0) if self.due else None


class Pair:
    """The machine and the model, given the same things."""

    def __init__(self, first: str) -> None:
        self.machine: Machine[Any] = Machine()
        self.model = Model()
        self.timers: dict[Any, Timeout] = {}
        self.entered = 0
        self.handle(None, [("become", first)])

    def handle(self, event: Any, script: list[Any]) -> None:
        machine = self.machine
        if event is not None:
            machine.begin(event)
        else:
            script = [each for each in script if each[0] != "postpone"]
        for request in script:
            match request:
                case ("become", state):
                    machine.become(state)
                case ("repeat",):
                    machine.repeat()
                case ("postpone",):
                    machine.postpone()
                case ("insert", made):
                    machine.insert(made)
                case ("ask", key, seconds, content):
                    machine.ask(key, seconds, content)
        if machine.left():
            self.entered += 1
            assert machine.is_entering
            assert not machine.left()
        self.changed(machine.finish())
        self.model.handled(event, script)
        self.compare()

    def changed(self, changes: Changes) -> None:
        for timeout in changes.cancelled:
            assert self.timers.pop(timeout.key) is timeout
        for timeout, seconds in changes.started:
            assert seconds > 0
            assert timeout.key not in self.timers
            self.timers[timeout.key] = timeout

    def compare(self) -> None:
        machine, model = self.machine, self.model
        assert machine.state == model.state
        assert list(machine.queue) == model.queue
        assert machine.postponed == model.postponed
        assert self.entered == model.entered
        assert {key: each.content for key, each in self.timers.items()} == model.running
        assert [(key, machine.timeouts[key].content) for key in machine._due] == model.due
        assert machine.timeouts.keys() == {*model.running, *(key for key, _ in model.due)}
        assert machine.has_next == bool(model.queue or model.due)

    def take_next(self, script: list[Any]) -> bool:
        got, expected = self.machine.next(), self.model.next()
        if isinstance(got, Timeout):
            assert (got.key, got.content) == expected
        else:
            assert got == expected
        if got is None:
            return False
        self.handle(_event_of(got), script)
        return True

    def expire(self, key: Any, script: list[Any]) -> None:
        timeout = self.timers.pop(key, None)
        if timeout is None:
            return
        assert self.machine.expired(timeout)
        assert not self.machine.expired(timeout)
        del self.model.running[key]
        self.handle(_event_of(timeout), script)


def _event_of(what: Any) -> Any:
    """As the shell does it: a timeout that has come is an event, which may be postponed like any other."""
    return f"timeout {what.key}" if isinstance(what, Timeout) else what


_names = st.integers(0, 9).map("event {}".format)
_requests = st.one_of(
    st.tuples(st.just("become"), st.sampled_from(STATES)),
    st.just(("repeat",)),
    st.just(("postpone",)),
    st.tuples(st.just("insert"), _names),
    st.tuples(
        st.just("ask"),
        st.sampled_from(KEYS),
        st.sampled_from([0, 0, 1.0, 2.5, None, "update"]),
        st.integers(0, 9),
    ),
)
_scripts = st.lists(_requests, max_size=5)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("message"), _names, _scripts),
        st.tuples(st.just("next"), st.none(), _scripts),
        st.tuples(st.just("expire"), st.sampled_from(KEYS), _scripts),
        st.tuples(st.just("interrupt"), st.none(), st.just([])),
    ),
    max_size=25,
)


@given(first=st.sampled_from(STATES), steps=_steps)
def test_it_does_what_the_model_does(first: str, steps: list[Any]) -> None:
    """Whatever handlers ask for, in whatever order things come."""
    pair = Pair(first)
    for step in steps:
        match step:
            case ("message", name, script):
                pair.handle(name, script)
            case ("next", _, script):
                pair.take_next(script)
            case ("expire", key, script):
                pair.expire(key, script)
            case _:
                pair.changed(pair.machine.interrupt())
                pair.model.stop(IDLE)
                pair.compare()


@given(names=st.lists(st.integers(), unique=True, max_size=20), postpone=st.sets(st.integers(0, 19)))
def test_no_event_is_lost_and_none_comes_twice(names: list[int], postpone: set[int]) -> None:
    """What is postponed comes back once, in order, after a change of the state; the rest has been handled."""
    pair = Pair("a")
    for number, name in enumerate(names):
        pair.handle(name, [("postpone",)] if number in postpone else [])
    late = [name for number, name in enumerate(names) if number in postpone]
    assert pair.machine.postponed == late
    pair.handle("go", [("become", "b")])
    came = []
    while (event := pair.machine.next()) is not None:
        came.append(event)
    assert came == late


def test_at_the_end_everything_that_waits_is_handed_back() -> None:
    """Postponed events are older than those in the queue; afterwards there is nothing."""
    pair = Pair("a")
    pair.handle("old", [("postpone",)])
    pair.handle("new", [("insert", "made"), ("ask", STATE, 1.0, None), ("ask", IDLE, 0, None)])
    events, timeouts = pair.machine.give_up()
    assert events == ["old", "made"]
    assert {each.key for each in timeouts} == {STATE, IDLE}
    assert (pair.machine.postponed, pair.machine.timeouts) == ([], {})
    assert pair.machine.next() is None
    assert not pair.machine.has_next


def test_finishing_without_having_begun_changes_nothing() -> None:
    """A machine that is between events has nothing to finish."""
    pair = Pair("a")
    pair.handle("x", [])
    assert pair.machine.event is None  # or it would keep the last message alive
    assert (pair.machine.is_open, pair.machine.is_entering) == (False, False)
    pair.machine.become("b")
    assert pair.machine.left() is False
    assert pair.machine.finish() == Changes([], [])
    assert pair.machine.state == "a"


def test_finishing_twice_does_not_break_a_silence() -> None:
    """An idle timeout is ended by an event, and there was one only."""
    pair = Pair("a")
    pair.handle("x", [("ask", IDLE, 1.0, None)])
    assert pair.machine.finish() == Changes([], [])
    assert IDLE in pair.machine.timeouts


def test_nothing_is_postponed_where_there_is_no_event() -> None:
    """What ``init`` asks for belongs to none."""
    machine: Machine[str] = Machine()
    machine.postpone()
    machine.become("a")
    assert machine.left() is True
    machine.finish()
    assert machine.postponed == []
    assert not machine.has_next


def test_an_event_that_asks_for_no_state_enters_none() -> None:
    machine: Machine[str] = Machine()
    machine.become("a")
    machine.left()
    machine.finish()
    machine.begin("x")
    assert machine.left() is False


def test_a_crash_takes_back_the_state_that_is_being_entered() -> None:
    """The first one has none before it; a crash of a handler has entered none."""
    machine: Machine[str] = Machine()
    machine.become("a")
    machine.left()
    machine.crashed()
    assert machine.state == "a"
    machine.finish()
    machine.begin("x")
    machine.become("b")
    machine.left()
    machine.finish()
    machine.begin("y")
    machine.become("c")
    machine.crashed()
    assert machine.state == "b"
    machine.left()
    assert machine.state == "c"
    machine.crashed()
    assert machine.state == "b"


def test_a_timeout_that_was_replaced_is_over_for_nobody() -> None:
    """Its timer may have gone off already."""
    pair = Pair("a")
    pair.handle("x", [("ask", named("one"), 1.0, "old")])
    old = pair.timers[named("one")]
    pair.handle("y", [("ask", named("one"), 1.0, "new")])
    assert pair.machine.expired(old) is False
    assert pair.machine.expired(pair.machine.timeouts[named("one")]) is True
    assert named("one") == ("named", "one")


def test_of_several_wishes_for_a_timeout_the_last_counts_and_has_the_last_place() -> None:
    """Also among those without a time."""
    one, two = named("one"), named("two")
    pair = Pair("a")
    pair.handle("x", [("ask", one, 0, 1), ("ask", two, 0, 2), ("ask", one, 0, 3), ("ask", STATE, 0, 4)])
    came = [pair.machine.next() for _ in range(3)]
    assert [(each.key, each.content) for each in came if isinstance(each, Timeout)] == [
        (two, 2),
        (one, 3),
        (STATE, 4),
    ]


def test_timeouts_with_a_time_are_started_from_the_last_wish_to_the_first() -> None:
    """As gen_statem does; those without a time, an update of nothing for one, come in the order asked for."""
    one, two, three = named("one"), named("two"), named("three")
    machine = _at_rest()
    machine.begin("x")
    wishes: list[tuple[TimeoutKey, Seconds]] = [
        *((one, 1.0), (STATE, 0), (two, 1.0), (IDLE, 1.0)),
        *((one, 2.0), (three, "update"), (named("none"), None)),
    ]
    for key, seconds in wishes:
        machine.ask(key, seconds, seconds)
    changes = machine.finish()
    assert [(each.key, each.content, seconds) for each, seconds in changes.started] == [
        (one, 2.0, 2.0),
        (IDLE, 1.0, 1.0),
        (two, 1.0, 1.0),
    ]
    came = [machine.next(), machine.next()]
    assert [each.key for each in came if isinstance(each, Timeout)] == [STATE, three]
    assert machine.next() is None


def test_an_update_gives_a_running_timeout_another_content_and_nothing_else() -> None:
    """One that waits for its turn keeps its place."""
    one, two = named("one"), named("two")
    pair = Pair("a")
    pair.handle("x", [("ask", STATE, 5.0, "old"), ("ask", one, 0, "old"), ("ask", two, 0, "old")])
    timer = pair.timers[STATE]
    pair.handle("y", [("ask", STATE, "update", "new"), ("ask", one, "update", "new")])
    assert (pair.timers[STATE] is timer, timer.content) == (True, "new")
    first = pair.machine.next()
    assert isinstance(first, Timeout)
    assert (first.key, first.content) == (one, "new")


def _at_rest() -> Machine[Any]:
    """A machine in state a, between two events."""
    machine: Machine[Any] = Machine()
    machine.become("a")
    machine.left()
    machine.finish()
    assert machine.state == "a"
    assert not machine.is_open
    return machine


def test_code_that_handles_no_event_may_ask_several_times_before_it_counts() -> None:
    """A suspended server is changed twice, say: all of that takes effect at its resumption."""
    machine = _at_rest()
    machine.open()
    assert machine.is_open
    machine.become("b")
    machine.insert("first")
    machine.open()
    machine.insert("second")
    assert machine.left()
    machine.finish()
    assert (machine.state, machine.next(), machine.next(), machine.next()) == ("b", "first", "second", None)


def test_what_was_asked_for_while_nothing_ran_is_not_asked_for_by_what_runs_next() -> None:
    """Nor does what runs next go on with a state that was being entered."""
    machine = _at_rest()
    machine.insert("stray")
    machine.is_entering = True
    machine.open()
    assert (machine.inserts, machine.is_entering) == (0, False)


def test_code_that_fails_takes_back_what_it_has_asked_for_and_nothing_else() -> None:
    machine = _at_rest()
    closed = machine.asked()
    machine.open()
    machine.become("b")
    machine.insert("kept")
    machine.ask(named("one"), 0, "kept")
    before = machine.asked()
    machine.repeat()
    machine.insert("taken back")
    machine.ask(named("two"), 0, "taken back")
    machine.withdraw(before)
    assert machine.asked() == before
    assert machine.left()
    machine.finish()
    event, timeout = machine.next(), machine.next()
    assert (machine.state, event, machine.next()) == ("b", "kept", None)
    assert isinstance(timeout, Timeout)
    assert (timeout.key, timeout.content) == (named("one"), "kept")
    machine.open()
    machine.withdraw(closed)
    assert not machine.is_open


@pytest.mark.parametrize(
    "ask",
    [
        lambda machine: machine.become("b"),
        lambda machine: machine.repeat(),
        lambda machine: machine.insert("event"),
        lambda machine: machine.ask(IDLE, 1.0, None),
        lambda machine: machine.begin("event"),
    ],
    ids=["become", "repeat", "insert", "ask", "begin"],
)
def test_whatever_is_asked_for_makes_it_needed_that_a_machine_was_opened(
    ask: Callable[[Machine[Any]], None],
) -> None:
    machine = _at_rest()
    machine.open()
    assert machine.is_needless
    ask(machine)
    assert not machine.is_needless


def test_a_state_that_is_being_entered_is_entered_whatever_is_taken_back() -> None:
    machine = _at_rest()
    machine.open()
    before = machine.asked()
    machine.repeat()
    assert machine.left()
    machine.withdraw(before)
    assert not machine.is_needless


def test_continuations_go_before_inserted_events() -> None:
    """However late they are asked for."""
    machine: Machine[str] = Machine()
    machine.become("a")
    machine.insert("inserted")
    machine.insert("then")
    machine.insert_first(["one", "two"])
    assert machine.inserts == 4
    machine.left()
    machine.finish()
    assert [machine.next() for _ in range(5)] == ["one", "two", "inserted", "then", None]
