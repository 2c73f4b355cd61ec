"""Code that others have a server run, ``replace_state`` and ``code_change``, runs as that server and may ask for what its handlers may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    GenServer,
    IdleTimeout,
    Pid,
    Shutdown,
    State,
    StateMachine,
    StateTimeout,
    UsageError,
    become,
    code_change,
    continue_with,
    get_state,
    handle_call,
    handle_cast,
    idle_timeout,
    info,
    monitor,
    next_event,
    receive,
    register,
    repeat_state,
    replace_state,
    reply_later,
    resume,
    self_pid,
    send,
    send_after,
    start_info,
    state,
    state_timeout,
    statistics,
    stop_self,
    suspend,
    unlink,
    whereis,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, clock, pause, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam import Ref


class Diary(GenServer):
    """Writes down what happens to it."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    @handle_call
    async def slow(self) -> None:
        await pause(1.0)

    @handle_cast
    def note(self, what: object) -> None:
        self.log.append(what)

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))
        if isinstance(argument, int) and argument > 1:
            continue_with(argument - 1)


class NewDiary(Diary):
    """Runs what it is given."""

    def code_change(self, old: type, extra: Any) -> None:
        extra()


async def _replace(server: Ref[Any], function: Callable[[], object]) -> None:
    def change(instance: Any) -> Any:
        function()
        return instance

    await replace_state(server, change)


async def _change(server: Ref[Any], function: Callable[[], object]) -> None:
    await code_change(server, NewDiary, function)


def _go_on(*arguments: object) -> None:
    for argument in arguments:
        continue_with(argument)


both = pytest.mark.parametrize("run_in", [_replace, _change])


@both
async def test_it_runs_as_the_process(run_in: Any) -> None:
    diary = await Diary.start_link()
    seen: list[Pid] = []

    def work() -> None:
        seen.append(self_pid())
        register("diary")
        send_after(1.0, self_pid(), "tick")

    await run_in(diary, work)
    assert seen == [diary.pid]
    assert whereis("diary") == diary.pid
    assert info(diary).timers == 1
    await pause(1.0)
    await wait_until_idle()
    assert state_of(diary).log == ["tick"]


@both
async def test_it_runs_as_the_process_when_that_is_suspended_too(run_in: Any) -> None:
    diary = await Diary.start_link()
    await suspend(diary)
    seen: list[Pid] = []
    await run_in(diary, lambda: seen.append(self_pid()))
    assert seen == [diary.pid]


@both
async def test_what_continues_it_comes_before_any_message(run_in: Any) -> None:
    diary = await Diary.start_link()
    slow = await begun(diary.call(Diary.slow))
    running = await begun(run_in(diary, lambda: _go_on("a", "b")))
    diary.cast(Diary.note, "later")
    await slow
    await running
    await wait_until_idle()
    assert state_of(diary).log == [("continue", "a"), ("continue", "b"), "later"]


async def test_a_suspended_server_continues_in_order_when_it_is_resumed() -> None:
    diary = await Diary.start_link()
    await suspend(diary)
    diary.cast(Diary.note, "later")
    await _replace(diary, lambda: _go_on(2, "a"))
    await _replace(diary, lambda: continue_with("b"))
    assert state_of(diary).log == []
    await resume(diary)
    await wait_until_idle()
    assert state_of(diary).log == [
        ("continue", 2),
        ("continue", "a"),
        ("continue", "b"),
        ("continue", 1),
        "later",
    ]


@both
async def test_it_may_end_the_server(run_in: Any) -> None:
    """Whoever asked has its answer first. A suspended server ends, too."""
    for is_suspended in (False, True):
        diary = await Diary.start_link()
        unlink(diary)
        monitor(diary)
        if is_suspended:
            await suspend(diary)
        await run_in(diary, lambda: stop_self(Shutdown()))
        assert (await receive()).reason == Shutdown()


@both
async def test_silence_begins_anew_when_it_says_so(run_in: Any) -> None:
    diary = await Diary.start_link()
    await _replace(diary, lambda: idle_timeout(2.0))
    await pause(1.0)
    await run_in(diary, lambda: idle_timeout(3.0))
    await pause(10.0)
    assert state_of(diary).log == [IdleTimeout()]


@both
async def test_what_has_no_meaning_there_is_refused(run_in: Any) -> None:
    diary = await Diary.start_link()
    for function, wrong in (
        (lambda: reply_later(print), "belongs in a handler declared with @handle_call"),
        (lambda: start_info(1), "belongs in __init__ or init"),
        (lambda: become(Door.opened), "belongs in a StateMachine"),
    ):
        with pytest.raises(UsageError, match=wrong):
            await run_in(diary, function)


@both
async def test_one_that_fails_has_asked_for_nothing(run_in: Any) -> None:
    """Also of a server that others have asked before, while it is suspended."""
    diary = await Diary.start_link()

    def fail() -> None:
        stop_self(Shutdown())
        continue_with("no")
        idle_timeout(0.5)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await run_in(diary, fail)
    await suspend(diary)
    await _replace(diary, lambda: _go_on("a", "b"))
    with pytest.raises(KeyError):
        await run_in(diary, fail)
    await resume(diary)
    await pause(1.0)
    assert state_of(diary).log == [("continue", "a"), ("continue", "b")]


async def test_a_server_that_watches_itself_from_its_code_change_is_watched() -> None:
    diary = await Diary.start_link()
    await code_change(diary, NewDiary, lambda: statistics(self_pid(), True))
    assert statistics(diary) is not None


async def test_a_change_that_fails_leaves_the_watchers_that_there_are_now() -> None:
    diary = await Diary.start_link()

    def fail() -> None:
        statistics(self_pid(), True)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await code_change(diary, NewDiary, fail)
    assert statistics(diary) is not None
    assert info(diary).label == "Diary"


# ------------------------------------------------------------------------------------------------- machines


class Door(StateMachine):
    """Locked, or opened for a while."""

    def __init__(self, code: str = "1") -> None:
        self.code = code
        self.log: list[Any] = []
        become(self.locked)

    @state
    def locked(self, before: State | None) -> None:
        self.log.append(("locked", before.name if before is not None else None))

    @state
    def opened(self) -> None:
        self.log.append("opened")
        state_timeout(10.0)

    @opened.handle_info(StateTimeout)
    def close(self, _timeout: StateTimeout) -> None:
        become(self.locked)

    @handle_call
    def where(self) -> str:
        return self.current_state.name

    @handle_cast
    def open(self) -> None:
        become(self.opened)

    @handle_cast
    def wait(self, seconds: float) -> None:
        idle_timeout(seconds)

    def handle_info(self, message: object) -> None:
        self.log.append(message)


async def test_a_machine_goes_on_with_an_instance_that_says_where_it_begins() -> None:
    """``become`` in its ``__init__`` is a change of the state like any other."""
    door = await Door.start_link()
    await replace_state(door, lambda _old: Door("2"))
    state_now = await get_state(door)
    assert (state_now.code, state_now.log) == ("2", [])  # it is in that state already
    door.cast(Door.open)
    await replace_state(door, lambda _old: Door("3"))
    assert await door.call(Door.where) == "locked"
    assert state_of(door).log == [("locked", "opened")]
    await pause(20.0)
    assert state_of(door).log == [("locked", "opened")]  # its state timeout has gone with the state


async def test_a_replacement_that_fails_leaves_a_machine_where_it_is() -> None:
    door = await Door.start_link()
    door.cast(Door.open)

    def fail(_old: Door) -> Door:
        next_event("no")
        become(_old.locked)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await replace_state(door, fail)
    with pytest.raises(UsageError, match="is an instance of Door"):
        await replace_state(door, lambda _old: (Door("2"), 5)[1])  # type: ignore[arg-type,return-value]  # what is refused
    assert await door.call(Door.where) == "opened"
    await pause(20.0)
    assert await door.call(Door.where) == "locked"


async def test_a_suspended_machine_does_what_it_was_asked_for_when_it_is_resumed() -> None:
    """All of it together, before any message."""
    door = await Door.start_link()
    await suspend(door)
    send(pid_of(door), "later")

    def change(old: Door) -> Door:
        next_event("own")
        become(old.opened)
        return old

    def fail(old: Door) -> Door:
        next_event("never")
        become(old.locked)
        raise KeyError("no")

    await replace_state(door, change)
    with pytest.raises(KeyError):
        await replace_state(door, fail)
    assert (await get_state(door)).current_state is Door.locked
    await resume(door)
    await wait_until_idle()
    assert state_of(door).log == [("locked", None), "opened", "own", "later"]


async def test_looking_at_a_machine_asks_it_for_nothing() -> None:
    """Silence goes on, and so do its timeouts."""
    door = await Door.start_link()
    door.cast(Door.wait, 3.0)
    await pause(2.0)
    await get_state(door)
    await replace_state(door, lambda old: old)
    await suspend(door)
    await resume(door)
    began = clock().time()
    await pause(5.0)
    assert state_of(door).log == [("locked", None), IdleTimeout()]
    assert began == 2.0


class OtherDoor(Door):
    """Has a state more, and chooses one when it takes over."""

    def code_change(self, old: type, extra: Any) -> None:
        if extra == "repeat":
            repeat_state()
        elif extra is not None:
            become(getattr(self, extra))
            next_event("own")

    @state
    async def jammed(self, before: State | None) -> None:
        await pause(1.0)
        self.log.append(("jammed", before.name if before is not None else None))


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_a_change_of_the_code_may_change_the_state(is_suspended: bool) -> None:  # noqa: FBT001  (a parameter)
    """To one that only the new class has. It is entered as ever, before any message."""
    door = await Door.start_link()
    if is_suspended:
        await suspend(door)
    changing = await begun(code_change(door, OtherDoor, "jammed"))
    asking = await begun(door.call(Door.where))
    await changing
    if is_suspended:
        await resume(door)
    assert await asking == "jammed"
    assert state_of(door).log == [("locked", None), ("jammed", "locked"), "own"]


async def test_a_change_of_the_code_may_enter_the_state_again() -> None:
    door = await Door.start_link()
    await code_change(door, OtherDoor, "repeat")
    assert state_of(door).log == [("locked", None), ("locked", "locked")]


class Gone(StateMachine):
    """Has none of the states of a door."""

    log: list[Any]

    def code_change(self, old: type, extra: object) -> None:
        self.log.append("changed")
        if extra == "leave":
            become(self.away)

    @state
    def away(self, before: State | None) -> None:
        self.log = [before]

    @handle_call
    def where(self) -> str:
        return self.current_state.name


async def test_a_state_that_the_new_class_does_not_have_is_left_by_its_code_change() -> None:
    door = await Door.start_link()
    with pytest.raises(UsageError, match="Say in its code_change what to become"):
        await code_change(door, Gone)
    assert await door.call(Door.where) == "locked"
    gone = await code_change(door, Gone, "leave")
    assert await gone.call(Gone.where) == "away"
    assert state_of(gone).log == [None]


@dataclass(frozen=True)
class Frozen(GenServer):
    """Its attributes cannot be set."""

    value: int

    @handle_call
    def get(self) -> int:
        return self.value


@dataclass(frozen=True)
class NewFrozen(Frozen):
    """The same, with another answer."""

    def code_change(self, old: type, extra: object) -> None:
        if extra:
            raise KeyError("no")

    @handle_call
    def get(self) -> int:
        return -self.value


async def test_the_code_of_a_frozen_dataclass_can_be_changed() -> None:
    server = await Frozen.start_link(1)
    with pytest.raises(KeyError):
        await code_change(server, NewFrozen, "fail")
    assert await server.call(Frozen.get) == 1
    await code_change(server, NewFrozen)
    assert await server.call(Frozen.get) == -1


async def test_a_state_that_was_taken_away_is_none_to_ask_for() -> None:
    class Curious(Gone):
        def code_change(self, old: type, extra: object) -> None:
            self.log.append(self.current_state)

    door = await Door.start_link()
    with pytest.raises(UsageError, match="does not have state 'locked', in which it was"):
        await code_change(door, Curious)


async def test_attributes_are_bound_to_what_they_were_bound_to_after_a_change_that_failed() -> None:
    """What is inside of them is not looked at."""

    def fail() -> None:
        diary_now.log.append("inside")
        diary_now.log = []
        raise KeyError("no")

    diary = await Diary.start_link()
    diary_now = state_of(diary)
    with pytest.raises(KeyError):
        await code_change(diary, NewDiary, fail)
    assert diary_now.log == ["inside"]
