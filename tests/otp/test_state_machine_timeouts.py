"""Timeouts of state machines: of the state, of silence, and by name. The order among them is in the recordings."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import (
    CallTimeout,
    GenServer,
    IdleTimeout,
    NamedTimeout,
    Postpone,
    ProcessDied,
    StateMachine,
    StateTimeout,
    UsageError,
    WrongState,
    become,
    get_state,
    handle_call,
    handle_cast,
    idle_timeout,
    named_timeout,
    next_event,
    repeat_state,
    send,
    state,
    state_timeout,
)
from mabeam.kernel import Runtime, current_process
from mabeam.testing import wait_until_idle
from tests.otp._servers import clock, pause, pid_of, state_of


def now() -> float:
    """The time of the loop."""
    return current_process().kernel.loop.time()


class Timed(StateMachine):
    """Sets timeouts as it is told, and notes those that come."""

    def __init__(self) -> None:
        self.log: list[tuple[float, Any, str]] = []
        become(self.one)

    @state
    def one(self) -> None: ...

    @one.handle_call
    def only_one(self) -> None: ...

    @state
    def two(self) -> None: ...

    @two.handle_info(StateTimeout)
    def two_is_over(self, timeout: StateTimeout) -> None:
        self.note(("two", timeout.content))

    @state
    def three(self) -> None:
        state_timeout(3.0, "entered")

    def note(self, what: Any) -> None:
        self.log.append((now(), what, self.current_state.name))

    @handle_cast
    def of_state(self, seconds: Any, content: object = None) -> None:
        state_timeout(seconds, content)

    @handle_cast
    def of_silence(self, seconds: float) -> None:
        idle_timeout(seconds)

    @handle_cast
    def by_name(self, name: str, seconds: Any, content: object = None) -> None:
        named_timeout(name, seconds, content)

    @handle_cast
    def go(self, to: str, seconds: float | None = None) -> None:
        become(getattr(self, to))
        if seconds is not None:
            state_timeout(seconds, "asked")

    @handle_cast
    def again(self) -> None:
        repeat_state()

    @handle_cast
    def insert(self, event: object) -> None:
        next_event(event)

    @handle_cast
    async def wait(self, seconds: float) -> None:
        await pause(seconds)

    @handle_call(concurrent=2)
    async def beside(self) -> None: ...

    def handle_info(self, message: object) -> None:
        self.note(message)


async def timed(*casts: tuple[Any, ...]) -> Any:
    """A machine that was told something, and what it notes."""
    machine = await Timed.start_link()
    for method, *arguments in casts:
        machine.cast(method, *arguments)
    await wait_until_idle()
    return machine, state_of(machine).log


# ------------------------------------------------------------------------------------------------- of the state


async def test_a_state_timeout_comes_when_the_state_has_lasted() -> None:
    """Once, with what it was given, to the state or to handle_info."""
    machine, log = await timed((Timed.of_state, 2.0, "x"))
    await clock().advance(10)
    machine.cast(Timed.go, "two", 1.5)
    await clock().advance(10)
    assert log == [(2.0, StateTimeout("x"), "one"), (11.5, ("two", "asked"), "two")]


async def test_a_change_of_the_state_ends_its_timeout() -> None:
    """To become the same one, to repeat it, and events, do not."""
    machine, log = await timed((Timed.of_state, 2.0))
    machine.cast(Timed.go, "one")
    machine.cast(Timed.again)
    machine.cast(Timed.insert, "event")
    await clock().advance(1)
    assert log == [(0.0, "event", "one")]
    await clock().advance(1)
    assert log[1:] == [(2.0, StateTimeout(), "one")]
    machine.cast(Timed.of_state, 2.0)
    machine.cast(Timed.go, "two")
    await clock().advance(10)
    assert len(log) == 2


async def test_asked_for_again_a_state_timeout_begins_anew() -> None:
    """Also by the state that is entered, over what the handler asked for."""
    machine, log = await timed((Timed.of_state, 2.0, "first"))
    await clock().advance(1)
    machine.cast(Timed.of_state, 5.0, "second")
    await clock().advance(10)
    machine.cast(Timed.go, "three", 1.0)
    await clock().advance(10)
    machine.cast(Timed.again)
    await clock().advance(2)
    machine.cast(Timed.again)
    await clock().advance(10)
    assert log == [
        (6.0, StateTimeout("second"), "one"),
        (14.0, StateTimeout("entered"), "three"),
        (26.0, StateTimeout("entered"), "three"),
    ]


async def test_a_state_timeout_can_be_cancelled_and_updated() -> None:
    """An update keeps the time; without one running it comes at once."""
    machine, log = await timed((Timed.of_state, 2.0), (Timed.of_state, None))
    await clock().advance(10)
    assert log == []
    machine.cast(Timed.of_state, 2.0, "old")
    await clock().advance(1)
    machine.cast(Timed.of_state, "update", "new")
    await clock().advance(10)
    machine.cast(Timed.of_state, "update", "at once")
    await wait_until_idle()
    assert log == [(12.0, StateTimeout("new"), "one"), (21.0, StateTimeout("at once"), "one")]


async def test_a_timeout_of_0_comes_before_messages_that_wait_already() -> None:
    """And after what the machine has inserted itself."""

    class Hasty(Timed):
        @handle_cast
        def hurry(self) -> None:
            state_timeout(0, "state")
            named_timeout("n", 0)
            next_event("inserted")

    machine = await Hasty.start_link()
    machine.cast(Hasty.hurry)
    machine.cast(Timed.insert, "message")
    await wait_until_idle()
    assert [what for _, what, _ in state_of(machine).log] == [
        "inserted",
        StateTimeout("state"),
        NamedTimeout("n"),
        "message",
    ]


async def test_a_timeout_of_0_that_waits_for_its_turn_can_be_given_a_time() -> None:
    """OTP 25 sends the machine a stray message in this case."""

    class Hasty(Timed):
        @handle_cast
        def hurry(self) -> None:
            state_timeout(0, "at once")
            next_event("inserted")

        def handle_info(self, message: object) -> None:
            self.note(message)
            if message == "inserted":
                state_timeout(2.0, "later")

    machine = await Hasty.start_link()
    machine.cast(Hasty.hurry)
    await clock().advance(10)
    log = [(0.0, "inserted", "one"), (2.0, StateTimeout("later"), "one")]
    assert state_of(machine).log == log


async def test_a_timeout_that_is_over_while_the_machine_works_can_still_be_cancelled() -> None:
    """It takes its place in the mailbox; what changes the state before it comes ends it."""
    machine, log = await timed((Timed.of_state, 2.0), (Timed.by_name, "n", 2.0), (Timed.wait, 5.0))
    machine.cast(Timed.go, "two")
    machine.cast(Timed.by_name, "n", None)
    await clock().advance(1)
    machine.cast(Timed.insert, "waits")
    await clock().advance(10)
    assert log == [(5.0, "waits", "two")]
    machine.cast(Timed.by_name, "n", 1.0, "old")
    machine.cast(Timed.wait, 5.0)
    await clock().advance(2)
    machine.cast(Timed.by_name, "n", 10.0, "too late for the one that waits before this")
    await clock().advance(50)
    assert log[1] == (16.0, NamedTimeout("n", "old"), "two")


# ------------------------------------------------------------------------------------------------- by name


async def test_named_timeouts_run_beside_each_other_whatever_the_state_is() -> None:
    """A change of the state ends none of them."""
    machine, log = await timed((Timed.by_name, "a", 2.0, 1), (Timed.by_name, "b", 1.0, 2))
    machine.cast(Timed.go, "two")
    await clock().advance(10)
    assert log == [(1.0, NamedTimeout("b", 2), "two"), (2.0, NamedTimeout("a", 1), "two")]


async def test_a_named_timeout_is_restarted_cancelled_and_updated_by_its_name() -> None:
    """The others do not notice."""
    machine, log = await timed(
        (Timed.by_name, "a", 2.0), (Timed.by_name, "b", 2.0), (Timed.by_name, "c", 2.0)
    )
    await clock().advance(1)
    machine.cast(Timed.by_name, "a", 5.0, "again")
    machine.cast(Timed.by_name, "b", None)
    machine.cast(Timed.by_name, "c", "update", "new")
    machine.cast(Timed.by_name, "no such", None)
    machine.cast(Timed.by_name, "d", "update", "at once")
    await clock().advance(10)
    assert log == [
        (1.0, NamedTimeout("d", "at once"), "one"),
        (2.0, NamedTimeout("c", "new"), "one"),
        (6.0, NamedTimeout("a", "again"), "one"),
    ]


async def test_a_timeout_can_be_postponed_like_any_event() -> None:
    """It comes again when the state has changed."""

    class Later(Timed):
        @Timed.one.handle_info(NamedTimeout)
        def not_yet(self, timeout: NamedTimeout) -> None:
            raise Postpone

    machine = await Later.start_link()
    machine.cast(Timed.by_name, "n", 1.0)
    await clock().advance(5)
    machine.cast(Timed.go, "two")
    await wait_until_idle()
    assert state_of(machine).log == [(5.0, NamedTimeout("n"), "two")]


# ------------------------------------------------------------------------------------------------- of silence


@pytest.mark.parametrize("how", ["cast", "raw", "refused", "misfit", "beside", "postponed"])
async def test_any_event_ends_the_wait_for_silence(how: str) -> None:
    """Whatever becomes of it."""

    class Quiet(Timed):
        @Timed.one.handle_info(bytes)
        def keep(self, message: bytes) -> None:
            raise Postpone

    machine = await Quiet.start_link()
    machine.cast(Timed.go, "two")
    machine.cast(Timed.go, "one" if how == "postponed" else "two")
    machine.cast(Timed.of_silence, 2.0)
    await clock().advance(1)
    match how:
        case "cast":
            machine.cast(Timed.of_state, None)
        case "raw":
            send(pid_of(machine), "raw")
        case "refused":
            with pytest.raises(WrongState):
                await machine.call(Timed.only_one)
        case "misfit":
            with pytest.raises(UsageError):
                await machine.call(Timed.beside, 1)  # type: ignore[call-overload]
        case "beside":
            await machine.call(Timed.beside)
        case _:
            send(pid_of(machine), b"postponed")
    await clock().advance(10)
    assert not [what for _, what, _ in state_of(machine).log if isinstance(what, IdleTimeout)]


async def test_a_call_that_came_too_late_to_be_begun_ends_the_wait_for_silence() -> None:
    """It has come, after all."""
    machine, log = await timed((Timed.wait, 5.0), (Timed.of_silence, 3.0))
    with pytest.raises(CallTimeout):
        await machine.options(timeout=1.0).call(Timed.only_one)
    await clock().advance(60)
    assert log == []
    machine.cast(Timed.of_silence, 3.0)
    await clock().advance(60)
    assert [what for _, what, _ in log] == [IdleTimeout()]


async def test_the_wait_for_silence_survives_system_requests_and_ends_once() -> None:
    """Looking at a machine is no event."""
    machine, log = await timed((Timed.of_silence, 2.0))
    await clock().advance(1)
    await get_state(machine)
    await clock().advance(10)
    assert log == [(2.0, IdleTimeout(), "one")]


async def test_an_own_event_ends_the_wait_for_silence_that_was_asked_for_with_it() -> None:
    """It comes first."""

    class Busy(Timed):
        @handle_cast
        def both(self) -> None:
            idle_timeout(0)
            next_event("own")

    machine = await Busy.start_link()
    machine.cast(Busy.both)
    await clock().advance(1)
    assert state_of(machine).log == [(0.0, "own", "one")]


@pytest.mark.simulate(False, reason="there, of timers that are due at the same time any may be first")
@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (["x", "y", "z"], ["z", "y", "x"]),
        (["x", "y", "x"], ["x", "y"]),
        (["state", "idle"], ["idle", "state"]),
        (["idle", "state"], ["state"]),
    ],
    ids=" ".join,
)
async def test_of_timeouts_that_take_equally_long_the_last_one_asked_for_comes_first(
    wishes: list[str], expected: list[str]
) -> None:
    """As in gen_statem, which decides whether an idle timeout comes at all: another event before it ends it."""

    class Together(Timed):
        @handle_cast
        def ask(self) -> None:
            for wish in wishes:
                if wish == "state":
                    state_timeout(1.0, wish)
                elif wish == "idle":
                    idle_timeout(1.0)
                else:
                    named_timeout(wish, 1.0, wish)

    machine = await Together.start_link()
    machine.cast(Together.ask)
    await clock().advance(3)
    assert [getattr(each, "content", "idle") for _, each, _ in state_of(machine).log] == expected


# ------------------------------------------------------------------------------------------------- their end, mistakes


async def test_timeouts_go_with_their_machine() -> None:
    """No timer of a dead process is left in the loop."""
    loop: Any = clock()
    before = len([timer for timer in loop._scheduled if not timer.cancelled()])
    machine, _ = await timed(
        (Timed.of_state, 3600.0), (Timed.by_name, "n", 3600.0), (Timed.of_silence, 3600.0)
    )
    assert len(loop._scheduled) >= before + 3
    await machine.stop()
    assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == before


async def test_a_timeout_that_nobody_takes_is_a_dead_letter(runtime: Runtime) -> None:
    """It was meant for something."""

    class Deaf(StateMachine):
        def __init__(self) -> None:
            become(self.only)
            state_timeout(1.0)

        @state
        def only(self) -> None: ...

    await Deaf.start_link()
    await clock().advance(2)
    assert [letter.message for letter in runtime.dead_letters.latest] == [StateTimeout()]


@pytest.mark.parametrize("seconds", [-1, "soon", True, float("nan")])
async def test_what_is_no_time_is_refused(seconds: object) -> None:
    """It is a mistake of the handler, and crashes it."""

    class Wrong(Timed):
        @handle_call
        def ask(self) -> None:
            state_timeout(seconds)  # type: ignore[arg-type]  # what is tested

    machine = await Wrong.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await machine.call(Wrong.ask)
    assert "expects seconds >= 0, None to cancel it, or 'update'" in str(caught.value.__cause__)


async def test_a_name_must_be_hashable() -> None:
    """As keys are."""

    class Wrong(Timed):
        @handle_call
        def ask(self) -> None:
            named_timeout([], 1.0)  # type: ignore[arg-type]  # what is tested

    machine = await Wrong.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await machine.call(Wrong.ask)
    assert "hashable" in str(caught.value.__cause__)


ASKS: list[tuple[str, Any]] = [
    ("become", lambda: become(Timed.one)),
    ("repeat_state", repeat_state),
    ("next_event", lambda: next_event(1)),
    ("state_timeout", lambda: state_timeout(1)),
    ("named_timeout", lambda: named_timeout("n", 1)),
]


@pytest.mark.parametrize(("name", "ask"), ASKS)
async def test_what_a_machine_asks_for_belongs_in_its_handlers(name: str, ask: Any) -> None:
    """Not in a GenServer, a test, a handler beside the others, a thread, or at the end."""
    seen: list[str] = []

    def attempt() -> None:
        try:
            ask()
        except UsageError as error:
            seen.append(str(error))

    class Server(GenServer):
        @handle_call
        def run(self) -> None:
            attempt()

    class Machine(Timed):
        @handle_call(concurrent=1)
        async def run(self) -> None:
            attempt()

        @handle_call(thread=True)
        def block(self) -> None:
            attempt()

        def terminate(self, reason: object) -> None:
            attempt()

    attempt()
    await (await Server.start_link()).call(Server.run)
    machine = await Machine.start_link()
    await machine.call(Machine.run)
    await machine.call(Machine.block)
    await machine.stop()
    assert len(seen) == 5
    for text, words in zip(
        seen,
        ["belongs in a StateMachine", "belongs in a StateMachine", "concurrent", "thread", "runs other code"],
        strict=True,
    ):
        assert words in text


@pytest.mark.parametrize(("name", "ask"), ASKS)
async def test_a_state_that_is_entered_can_set_timeouts_and_nothing_else(name: str, ask: Any) -> None:
    """OTP's rule; the error says what to do instead."""
    seen: list[str] = []

    class Machine(Timed):
        @state
        def two(self) -> None:
            try:
                ask()
            except UsageError as error:
                seen.append(str(error))

    machine = await Machine.start_link()
    machine.cast(Timed.go, "two")
    await wait_until_idle()
    if "timeout" in name:
        assert seen == []
    else:
        assert "state 'two' is being entered" in seen[0]
        assert "state_timeout(0)" in seen[0]


async def test_become_expects_a_state_of_this_machine() -> None:
    """And says so, whatever it was given."""
    seen: list[str] = []

    class Other(StateMachine):
        @state
        def elsewhere(self) -> None: ...

    class Machine(Timed):
        @handle_call
        def attempt(self, wish: Any) -> None:
            try:
                become(wish)
            except UsageError as error:
                seen.append(str(error))

    machine = await Machine.start_link()
    for wish in ("two", None, Other.elsewhere):
        await machine.call(Machine.attempt, wish)
    assert all("such as become(self.one)" in text for text in seen)
    assert "'two'" in seen[0]
    assert "<state elsewhere>" in seen[2]


async def test_a_machine_cannot_repeat_a_state_before_it_has_one() -> None:
    """In init there is nothing to repeat."""

    class Machine(Timed):
        def init(self) -> None:
            with pytest.raises(UsageError, match="has no state yet"):
                repeat_state()

    await Machine.start_link()
