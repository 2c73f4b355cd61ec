"""State machines: what is answered in which state, how states change, and what a machine gives itself to do."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

import pytest

from mabeam import (
    CallCycle,
    Caller,
    Crashed,
    Down,
    GenServer,
    Postpone,
    ProcessDied,
    RejectedError,
    Shutdown,
    StartFailed,
    State,
    StateMachine,
    Stop,
    UsageError,
    WrongState,
    become,
    handle_call,
    handle_cast,
    monitor,
    next_event,
    ref,
    repeat_state,
    reply_later,
    send,
    spawn,
    state,
    stop_self,
)
from mabeam.kernel import DeadLetter, Runtime
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, pause, pid_of, state_of

T = TypeVar("T")


class Door(StateMachine):
    """The code lock of OTP's manual."""

    def __init__(self, code: str = "12") -> None:
        self.code = code
        self.typed = ""
        self.log: list[Any] = []
        become(self.locked)

    @state
    def locked(self, before: State | None) -> None:
        self.log.append(("locked", before))
        self.typed = ""

    @locked.handle_call
    def press(self, key: str) -> bool:
        self.typed += key
        if self.typed == self.code:
            become(self.opened)
        return self.typed == self.code

    @locked.handle_cast
    def forget(self) -> None:
        self.typed = ""

    @locked.handle_call(raises=(ValueError,))
    def check(self, code: str) -> bool:
        if code != self.code:
            become(self.broken)
            raise ValueError(code)
        return True

    @state
    async def opened(self) -> None:
        self.log.append("opened")
        await wait_until_idle()

    @opened.handle_call
    def close(self) -> None:
        become(self.locked)

    @opened.on(press)
    async def press_when_opened(self, key: str) -> bool:
        raise Postpone

    @opened.handle_info(Down)
    def seen_by_open(self, message: Down) -> None:
        self.log.append(("opened", type(message)))

    @opened.handle_info(str, bytes)
    def read(self, message: str | bytes) -> None:
        self.log.append(("opened", message))

    @state
    def broken(self) -> None:
        """Answers what all states do."""

    @handle_call
    def where(self) -> str:
        return self.current_state.name

    @handle_cast
    def go(self, to: str) -> None:
        become(getattr(self, to))

    @handle_call
    def again(self) -> None:
        repeat_state()

    def handle_info(self, message: object) -> None:
        self.log.append(("any", message))


# ------------------------------------------------------------------------------------------------- beginning


async def test_it_begins_in_the_state_that_init_says() -> None:
    """It is entered with nothing before it."""
    door = await Door.start_link()
    assert await door.call(Door.where) == "locked"
    assert state_of(door).log == [("locked", None)]


async def test_init_may_say_so_after_waiting_and_the_last_wish_counts() -> None:
    """Also over what __init__ said."""

    class Slow(Door):
        async def init(self) -> None:
            await wait_until_idle()
            become(self.broken)

    door = await Slow.start_link()
    assert await door.call(Door.where) == "broken"
    assert state_of(door).log == []


async def test_a_machine_that_says_no_state_does_not_start() -> None:
    """And is told what to write; so is one that has none."""

    class Undecided(Door):
        def __init__(self) -> None: ...

    class Stateless(StateMachine):
        @handle_call
        def ping(self) -> None: ...

    for machine, words in ((Undecided, "become(self.locked)"), (Stateless, "@state")):
        with pytest.raises(StartFailed) as caught:
            await machine.child_spec().start()
        assert words in str(caught.value.__cause__)
        assert isinstance(caught.value.__cause__, UsageError)


async def test_the_starter_knows_before_the_first_state_is_entered() -> None:
    """So a state that cannot be entered is a crash, not a failed start: OTP's order."""

    class Brittle(StateMachine):
        def __init__(self) -> None:
            become(self.only)

        @state
        async def only(self) -> None:
            await wait_until_idle()
            raise ValueError("cannot")

    probe = Probe.start()
    machine = await Brittle.child_spec().start()
    probe.watch(machine)
    assert (await probe.next()).reason == Crashed(ValueError("cannot"))


# ------------------------------------------------------------------------------------------------- events


async def test_a_state_answers_what_it_declares_and_what_all_states_answer() -> None:
    """A call that another state answers differently is dealt with there."""
    door = await Door.start_link()
    assert [await door.call(Door.press, key) for key in "12"] == [False, True]
    assert await door.call(Door.where) == "opened"
    await door.call(Door.close)
    assert state_of(door).log == [("locked", None), "opened", ("locked", Door.opened)]


async def test_a_call_that_the_state_does_not_answer_fails_and_harms_nobody() -> None:
    """The error says what was asked of whom in which state, and what to do."""
    door = await Door.child_spec().named("door").start()
    with pytest.raises(WrongState, match=r"does not answer .*Door.close in state 'locked'") as caught:
        await door.call(Door.close)
    error = caught.value
    assert (error.handler, error.state) == ("Door.close", "locked")
    assert "'door'" in error.process
    assert isinstance(error, RejectedError)
    assert "@locked.on(close)" in str(error)
    assert await door.call(Door.where) == "locked"
    await door.stop()


async def test_a_cast_that_the_state_does_not_take_is_a_dead_letter(runtime: Runtime) -> None:
    """As any message that a server has no use for."""
    door = await Door.start_link()
    door.cast(Door.go, "broken")
    door.cast(Door.forget)
    await door.call(Door.where)
    (letter,) = runtime.dead_letters.latest
    assert (letter.why, repr(letter.message)) == ("not_understood", "cast of Door.forget()")


async def test_messages_go_to_the_first_method_of_the_state_whose_class_fits() -> None:
    """Else to handle_info of the machine."""
    door = await Door.start_link()
    pid = pid_of(door)
    send(pid, "early")
    door.cast(Door.go, "opened")
    send(pid, "text")
    send(pid, b"bytes")
    send(pid, 7)
    await door.call(Door.where)
    assert state_of(door).log[1:] == [
        ("any", "early"),
        "opened",
        ("opened", "text"),
        ("opened", b"bytes"),
        ("any", 7),
    ]


async def test_a_monitor_is_told_to_the_state() -> None:
    """Down is a message like any other."""

    class Watcher(Door):
        @handle_cast
        def watch(self) -> None:
            monitor(spawn(lambda: None))

    door = await Watcher.start_link()
    door.cast(Watcher.go, "opened")
    door.cast(Watcher.watch)
    await door.call(Door.where)
    await wait_until_idle()
    assert state_of(door).log[-1] == ("opened", Down)


async def test_a_message_that_nobody_takes_is_a_dead_letter(runtime: Runtime) -> None:
    """The default of handle_info, as in a GenServer."""

    class Deaf(StateMachine):
        def __init__(self) -> None:
            become(self.only)
            next_event("own")

        @state
        def only(self) -> None: ...

    machine = await Deaf.start_link()
    send(pid_of(machine), "raw")
    await wait_until_idle()
    target = f"{Deaf.__qualname__} (pid {pid_of(machine).serial})"
    assert runtime.dead_letters.latest == tuple(
        DeadLetter(target=target, message=message, why="not_understood") for message in ("own", "raw")
    )


async def test_arguments_that_do_not_fit_are_the_callers_mistake() -> None:
    """Whatever clause would have got them; a TypeError inside of a clause is a crash."""

    class Odd(Door):
        @Door.broken.on(Door.press)
        def press_when_broken(self, key: str) -> bool:
            raise TypeError("inside")

    door = await Odd.child_spec().start()
    for to in ("locked", "opened", "broken"):
        door.cast(Door.go, to)
        with pytest.raises(UsageError, match="does not fit its parameters"):
            await door.call(Door.press)  # type: ignore[call-overload]
    with pytest.raises(ProcessDied) as caught:
        await door.call(Door.press, "1")
    assert caught.value.reason == Crashed(TypeError("inside"))


async def test_a_declared_error_is_an_answer_and_what_was_asked_for_before_it_holds() -> None:
    """As stop_self before a declared error does."""
    door = await Door.start_link()
    assert await door.call(Door.check, "12")
    with pytest.raises(ValueError, match="0"):
        await door.call(Door.check, "0")
    assert await door.call(Door.where) == "broken"


async def test_events_are_handled_one_at_a_time_also_when_handlers_wait() -> None:
    """A state that takes its time to be entered holds up everything but the answer to the call that led there."""

    class Slow(StateMachine):
        def __init__(self) -> None:
            self.log: list[Any] = []
            become(self.first)

        @state
        def first(self) -> None: ...

        @state
        async def second(self) -> None:
            self.log.append("entering")
            await pause(1.5)
            self.log.append("entered")

        @first.handle_call
        async def go(self) -> str:
            await pause(1)
            become(self.second)
            return "gone"

        @handle_call
        async def note(self, item: str) -> float:
            self.log.append(item)
            await pause(1)
            self.log.append(item)
            return clock().time()

    machine = await Slow.start_link()
    went = await begun(machine.call(Slow.go))
    noted = [await begun(machine.call(Slow.note, item)) for item in "ab"]
    assert await went == "gone"
    assert clock().time() == 1.0
    assert [await each for each in noted] == [3.5, 4.5]
    assert state_of(machine).log == ["entering", "entered", "a", "a", "b", "b"]


async def test_a_caller_can_be_answered_later_from_another_state() -> None:
    """A Caller that was kept is answered by whoever has it."""

    class Desk(StateMachine):
        def __init__(self) -> None:
            self.waiting: list[Caller[str]] = []
            become(self.closed)

        @state
        def closed(self) -> None: ...

        @closed.handle_call
        def ask(self) -> str:
            return reply_later(self.waiting.append)

        @state
        def opened(self, before: State | None) -> None:
            for caller in self.waiting:
                caller.reply(f"opened, was {before.name if before else None}")

        @handle_cast
        def unlock(self) -> None:
            become(self.opened)

    desk = await Desk.start_link()
    asked = await begun(desk.call(Desk.ask))
    assert not asked.done()
    desk.cast(Desk.unlock)
    assert await asked == "opened, was closed"


# ------------------------------------------------------------------------------------------------- changing


async def test_to_become_the_same_state_changes_nothing_and_to_repeat_it_enters_it() -> None:
    """Who repeats comes from the state itself."""
    door = await Door.start_link()
    door.cast(Door.go, "locked")
    await door.call(Door.where)
    assert state_of(door).log == [("locked", None)]
    await door.call(Door.again)
    assert state_of(door).log == [("locked", None), ("locked", Door.locked)]


async def test_the_last_wish_for_a_state_counts() -> None:
    """Those before it leave no trace."""

    class Fickle(Door):
        @handle_cast
        def waver(self, *wishes: str) -> None:
            for wish in wishes:
                if wish == "again":
                    repeat_state()
                else:
                    become(getattr(self, wish))

    door = await Fickle.start_link()
    for wishes in (("opened", "broken", "locked"), ("opened", "again"), ("again", "locked")):
        door.cast(Fickle.waver, *wishes)
    assert await door.call(Door.where) == "locked"
    assert state_of(door).log == [("locked", None), ("locked", Door.locked)]


@pytest.mark.parametrize("how", ["stop_self", "stop", "error"])
async def test_a_handler_that_ends_the_machine_enters_no_state(how: str) -> None:
    """Whatever else it has asked for."""

    class Last(Door):
        @handle_call
        def end(self) -> str:
            become(self.opened)
            if how == "error":
                raise ValueError(how)
            if how == "stop":
                raise Stop(Shutdown(how))
            stop_self(Shutdown(how))
            return "bye"

    door = await Last.child_spec().start()
    log, probe = state_of(door).log, Probe.start()
    probe.watch(door)
    if how == "stop_self":
        assert await door.call(Last.end) == "bye"
    else:
        with pytest.raises(ProcessDied):
            await door.call(Last.end)
    expected = Crashed(ValueError(how)) if how == "error" else Shutdown(how)
    assert (await probe.next()).reason == expected
    assert log == [("locked", None)]


async def test_a_state_may_stop_the_machine_when_it_is_entered() -> None:
    """With stop_self, or by raising Stop; the caller that led there has its answer."""

    class Final(Door):
        @state
        def broken(self) -> None:
            stop_self(Shutdown("broken"))

    probe = Probe.start()
    door = await Final.child_spec().start()
    probe.watch(door)
    with pytest.raises(ValueError, match="0"):
        await door.call(Door.check, "0")
    assert (await probe.next()).reason == Shutdown("broken")


# ------------------------------------------------------------------------------------------------- looking


async def test_there_is_no_state_before_the_machine_is_up() -> None:
    """It says so instead of guessing."""
    seen: list[str] = []

    class Early(Door):
        async def init(self) -> None:
            seen.append(repr(self))
            with pytest.raises(UsageError, match="in no state before init has returned"):
                _ = self.current_state

    await Early.start_link()
    assert "in no state yet" in seen[0]


async def test_an_asyncio_library_works_in_every_place() -> None:
    """Entering a state and handling an event run in real tasks."""

    class Waiting(StateMachine):
        def __init__(self) -> None:
            become(self.only)

        @state
        async def only(self) -> None:
            async with asyncio.timeout(5):
                await pause(1)

        @only.handle_call
        async def ask(self) -> str:
            async with asyncio.timeout(5):
                await pause(1)
            return "done"

    machine = await Waiting.start_link()
    assert await machine.call(Waiting.ask) == "done"
    assert clock().time() == 2.0


async def test_a_handler_in_a_thread_is_an_event_of_all_states() -> None:
    """The machine waits for it, and goes on with what came meanwhile."""

    class Blocking(Door):
        @handle_call(thread=True)
        def block(self) -> str:
            return "unblocked"

    door = await Blocking.start_link()
    assert await door.call(Blocking.block) == "unblocked"
    assert await door.call(Door.where) == "locked"


async def test_a_generic_machine_answers_with_its_type() -> None:
    """As a generic server does."""

    class Box(StateMachine, Generic[T]):
        def __init__(self, item: T) -> None:
            self.item = item
            become(self.full)

        @state
        def full(self) -> None: ...

        @full.handle_call
        def get(self) -> T:
            return self.item

    box = await Box[str].start_link("thing")
    item: str = await box.call(Box[str].get)
    assert item == "thing"


async def test_a_machine_that_calls_whoever_waits_for_a_postponed_answer_is_told_of_the_cycle() -> None:
    """The caller cannot answer before it has been answered."""

    class Asker(GenServer):
        @handle_call
        async def ask(self) -> bool:
            return await ref("door", Impatient).call(Door.press, "1")

        @handle_call
        def name(self) -> str:
            return "asker"

    class Impatient(Door):
        @handle_call
        async def who(self) -> str:
            try:
                return await ref("asker", Asker).call(Asker.name)
            except CallCycle as cycle:
                return str(len(cycle.path))

    door = await Impatient.child_spec().named("door").start()
    asker = await Asker.child_spec().named("asker").start()
    door.cast(Door.go, "opened")
    asked = await begun(asker.call(Asker.ask))
    assert await door.call(Impatient.who) == "3"
    door.cast(Door.go, "locked")
    assert await asked is False
    await asker.stop()
    await door.stop()
