"""Events of state machines besides what others send now: those it gives itself, and those it has postponed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    GenServer,
    Postpone,
    ProcessDied,
    RejectedError,
    StateMachine,
    become,
    continue_with,
    handle_call,
    handle_cast,
    next_event,
    send,
    state,
)
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, pid_of, state_of

if TYPE_CHECKING:
    from mabeam.kernel import Runtime

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


@pytest.mark.simulate(False, reason="how soon others have their turn is promised for the ordinary order only")
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


async def test_calls_whose_callers_gave_up_make_room_for_what_is_postponed(runtime: Runtime) -> None:
    """They are dropped when there is no room; whoever waits, and what nobody waits for, stays in its order."""
    store = await Store.start_link()
    store.cast(Store.note, "noted")
    waiting = await begun(store.options(timeout=None).call(Store.order, "tea"))
    for _ in range(6):
        with pytest.raises(CallTimeout):
            await store.options(timeout=1.0).call(Store.order, "late")
    assert runtime.statistics().expired == 3
    store.cast(Store.note, "also noted")
    store.cast(Store.go, "opened")
    assert await waiting == "one tea"
    log = await store.call(Store.read)
    assert log[-4:] == ["opened", "noted", "tea", "also noted"]
    assert len(runtime.dead_letters) == 0


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
