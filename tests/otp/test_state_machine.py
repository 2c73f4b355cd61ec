"""State machines: what is answered in which state, how states change, and what a machine gives itself to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    Caller,
    CallTimeout,
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
    continue_with,
    handle_call,
    handle_cast,
    monitor,
    next_event,
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


# ------------------------------------------------------------------------------------------------- events of its own


class Stepper(StateMachine):
    """Notes the order of what it is given."""

    def __init__(self, *own: Any) -> None:
        self.log: list[Any] = []
        become(self.one)
        for event in own:
            next_event(event)

    @state
    def one(self) -> None:
        self.log.append("enter one")

    @state
    def two(self) -> None:
        self.log.append("enter two")

    @two.handle_info(int)
    def number(self, message: int) -> None:
        self.log.append(("two", message))
        if message > 0:
            next_event(message - 1)

    @handle_call
    def read(self) -> list[Any]:
        return list(self.log)

    @handle_cast
    def give(self, *events: Any) -> None:
        for event in events:
            next_event(event)

    @handle_cast
    def go_on(self, *arguments: Any) -> None:
        next_event("inserted")
        for argument in arguments:
            continue_with(argument)

    @handle_cast
    def go(self, to: str, *events: Any) -> None:
        for event in events:
            next_event(event)
        become(getattr(self, to))

    @handle_cast
    def put(self, item: Any) -> None:
        self.log.append(item)

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continued", argument))


async def test_inserted_events_come_in_order_before_any_message() -> None:
    """Those of the start after the first state has been entered."""
    machine = await Stepper.start_link("x", "y")
    machine.cast(Stepper.give, "a", "b")
    machine.cast(Stepper.put, "message")
    assert await machine.call(Stepper.read) == ["enter one", "x", "y", "a", "b", "message"]


async def test_inserted_events_are_handled_in_the_new_state() -> None:
    """After it has been entered; what they insert comes before what is left of them."""
    machine = await Stepper.start_link()
    machine.cast(Stepper.go, "two", 1, "s")
    machine.cast(Stepper.put, "message")
    log = ["enter one", "enter two", ("two", 1), ("two", 0), "s", "message"]
    assert await machine.call(Stepper.read) == log


async def test_continuations_work_as_in_a_server_and_come_first() -> None:
    """Before inserted events and messages."""
    machine = await Stepper.start_link()
    machine.cast(Stepper.go_on, 1, 2)
    machine.cast(Stepper.put, "message")
    log = ["enter one", ("continued", 1), ("continued", 2), "inserted", "message"]
    assert await machine.call(Stepper.read) == log


async def test_a_long_chain_of_own_events_starves_nobody() -> None:
    """Each is a turn of the machine's, so others have theirs."""
    seen: list[int] = []

    class Other(GenServer):
        @handle_cast
        def look(self) -> None:
            seen.append(len(state_of(machine).log))

    machine = await Stepper.start_link()
    other = await Other.start_link()
    machine.cast(Stepper.go, "two", 10_000)
    machine.cast(Stepper.put, "after")
    other.cast(Other.look)
    await wait_until_idle()
    assert seen[0] < 200
    log = await machine.call(Stepper.read)
    assert (len(log), log[-1]) == (10_004, "after")


async def test_own_events_are_bounded_like_the_mailbox() -> None:
    """One that gives itself more than it can ever handle is told."""

    class Small(Stepper):
        mailbox_limit = 3

    machine = await Small.start_link()
    machine.cast(Stepper.give, 1, 2, 3)
    assert await machine.call(Stepper.read) == ["enter one", 1, 2, 3]
    probe = Probe.start()
    spare = await Small.child_spec().start()
    probe.watch(spare)
    spare.cast(Stepper.give, 1, 2, 3, 4)
    reason = (await probe.next()).reason
    assert isinstance(reason.exception, RejectedError)


# ------------------------------------------------------------------------------------------------- postponing


class Store(StateMachine):
    """Takes orders only when it is open."""

    mailbox_limit = 5

    def __init__(self) -> None:
        self.log: list[Any] = []
        become(self.shut)

    @state
    def shut(self) -> None: ...

    @shut.handle_call
    def order(self, item: str) -> str:
        self.log.append(("tried", item))
        raise Postpone

    @shut.handle_cast
    def note(self, item: str) -> None:
        raise Postpone

    @shut.handle_info(str)
    def hear(self, message: str) -> None:
        raise Postpone

    @shut.handle_call
    def knock(self) -> str:
        become(self.opened)
        raise Postpone

    @state
    async def opened(self) -> None:
        self.log.append("opened")

    @opened.on(order)
    def order_when_opened(self, item: str) -> str:
        self.log.append(item)
        return f"one {item}"

    @opened.on(note)
    def note_when_opened(self, item: str) -> None:
        self.log.append(item)

    @opened.on(knock)
    def knock_when_opened(self) -> str:
        return "come in"

    @opened.handle_info(str)
    def hear_when_opened(self, message: str) -> None:
        self.log.append(message)

    @handle_cast
    def go(self, to: str, *own: str) -> None:
        for event in own:
            next_event(event)
        become(getattr(self, to))

    @handle_call
    def read(self) -> list[Any]:
        return list(self.log)


async def test_postponed_events_come_back_in_order_when_the_state_changes() -> None:
    """Calls, casts and messages; before what has not been taken yet, after what was inserted."""
    store = await Store.start_link()
    ordered = await begun(store.call(Store.order, "tea"))
    store.cast(Store.note, "noted")
    send(pid_of(store), "heard")
    store.cast(Store.go, "shut")
    store.cast(Store.go, "opened", "inserted")
    store.cast(Store.note, "later")
    assert await ordered == "one tea"
    log = [("tried", "tea"), "opened", "inserted", "tea", "noted", "heard", "later"]
    assert await store.call(Store.read) == log


async def test_a_handler_may_change_the_state_and_postpone() -> None:
    """The event is the first that the new state is given."""
    store = await Store.start_link()
    assert await store.call(Store.knock) == "come in"


async def test_what_is_postponed_again_waits_for_the_next_change() -> None:
    """In its old place."""

    class Picky(Store):
        @state
        def ajar(self) -> None: ...

        @ajar.on(Store.note)
        def note_when_ajar(self, item: str) -> None:
            if item == "big":
                raise Postpone
            self.log.append(f"small {item}")

    store = await Picky.start_link()
    for item in ("a", "big", "c"):
        store.cast(Store.note, item)
    store.cast(Store.go, "ajar")
    assert await store.call(Store.read) == ["small a", "small c"]
    store.cast(Store.go, "opened")
    assert await store.call(Store.read) == ["small a", "small c", "opened", "big"]


async def test_a_postponed_call_whose_caller_gave_up_is_not_begun_again() -> None:
    """As with any message whose caller's time is over."""
    store = await Store.start_link()
    with pytest.raises(CallTimeout):
        await store.options(timeout=1.0).call(Store.order, "tea")
    store.cast(Store.go, "opened")
    assert await store.call(Store.read) == [("tried", "tea"), "opened"]


async def test_no_more_is_postponed_than_the_mailbox_may_hold(runtime: Runtime) -> None:
    """A call is rejected then, the rest are dead letters; the machine goes on."""
    store = await Store.start_link()
    for number in range(5):
        store.cast(Store.note, str(number))
        await wait_until_idle()
    with pytest.raises(RejectedError, match="postponed"):
        await store.call(Store.order, "tea")
    store.cast(Store.note, "lost")
    send(pid_of(store), "lost too")
    store.cast(Store.go, "opened")
    assert await store.call(Store.read) == [("tried", "tea"), "opened", *"01234"]
    assert [letter.why for letter in runtime.dead_letters.latest] == ["full", "full"]
    assert runtime.dead_letters.latest[1].message == "lost too"


async def test_postpone_means_nothing_elsewhere() -> None:
    """A state that is entered has no event, and a GenServer no states."""

    class Wrong(StateMachine):
        def __init__(self) -> None:
            become(self.only)

        @state
        async def only(self) -> None:
            await wait_until_idle()
            raise Postpone

    class Server(GenServer):
        @handle_call
        def ask(self) -> None:
            raise Postpone

    probe = Probe.start()
    probe.watch(await Wrong.child_spec().start())
    assert "handles no event" in str((await probe.next()).reason.exception)
    with pytest.raises(ProcessDied, match="Postpone") as caught:
        await (await Server.child_spec().start()).call(Server.ask)
    assert "belongs in a handler of a StateMachine" in str(caught.value.__cause__)


# ------------------------------------------------------------------------------------------------- looking


async def test_a_machine_shows_its_state() -> None:
    """States are values; a repr says where it is and what waits."""
    store = await Store.start_link()
    machine = state_of(store)
    assert machine.current_state == Store.shut == machine.shut
    assert machine.current_state != Store.opened
    assert repr(machine.current_state) == "<state shut>"
    assert {Store.shut: 1}[machine.current_state] == 1
    store.cast(Store.note, "x")
    await wait_until_idle()
    assert repr(machine) == "<Store in state 'shut', 1 postponed, 0 timeouts>"
    await store.stop()
    assert machine.current_state == Store.shut


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
