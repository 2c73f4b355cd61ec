"""What OTP's ``sys`` does: every process can be looked at, held, watched, and its state and code be changed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallCycle,
    Caller,
    CallTimeout,
    DynamicSupervisor,
    Exited,
    ExitReason,
    GenServer,
    NoSuchProcess,
    ProcessDied,
    Ref,
    Registry,
    Runtime,
    Shutdown,
    Stop,
    Supervisor,
    TraceEvent,
    UsageError,
    child_spec,
    code_change,
    get_state,
    handle_call,
    handle_cast,
    handle_stream,
    info,
    kill,
    limit_mailbox,
    monitor,
    receive,
    replace_state,
    reply_later,
    resume,
    self_pid,
    send,
    send_after,
    send_exit,
    spawn,
    statistics,
    suspend,
    trace,
    trap_exit,
    unlink,
    why,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, pause, pid_of, process_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Counter(GenServer):
    """Counts, in every way."""

    def __init__(self, start: int = 0) -> None:
        self.value = start
        self.got: list[object] = []
        self.kept: list[Caller[int]] = []

    @handle_call(raises=(ValueError,))
    def add(self, amount: int) -> int:
        if amount < 0:
            raise ValueError(amount)
        self.value += amount
        return self.value

    @handle_call
    async def slow(self, seconds: float) -> int:
        await pause(seconds)
        return self.value

    @handle_call(concurrent=1)
    async def beside(self, seconds: float) -> int:
        await pause(seconds)
        return self.value

    @handle_call
    def later(self) -> int:
        return reply_later(self.kept.append)

    @handle_cast
    def put(self, item: object) -> None:
        self.got.append(item)

    @handle_call
    async def ask_itself(self) -> object:
        return await get_state(Ref(process_of(self.me), None))

    @handle_stream
    async def values(self) -> AsyncIterator[int]:
        yield self.value

    me: Ref[Any]

    def handle_info(self, message: object) -> None:
        self.got.append(message)


# ------------------------------------------------------------------------------------------------- info


async def test_info_sees_a_process_from_outside() -> None:
    """Also one that is busy and would not answer."""
    counter = await Counter.child_spec().named("counter").start_link()
    assert info("counter").state == "idle"
    calling = await begun(counter.call(Counter.slow, 2.0))
    counter.cast(Counter.put, 1)
    ref_ = monitor(pid_of(counter))
    send_after(5.0, pid_of(counter), "tick")
    seen = info(counter)
    assert (seen.pid, seen.name, seen.label, seen.state) == (pid_of(counter), "counter", "Counter", "busy")
    assert (seen.parent, seen.links, seen.watched_by) == (self_pid(), (self_pid(),), (self_pid(),))
    assert (seen.messages, seen.mailbox_limit, seen.on_full, seen.unanswered, seen.timers) == (
        1,
        100_000,
        "reject",
        1,
        1,
    )
    (activity,) = seen.activities
    assert (activity.kind, activity.name) == ("handler", "Counter.slow")
    assert activity.stack[-1].function == "pause"
    assert await calling == 0
    assert ref_ in process_of(counter).watchers  # type: ignore[operator]  # it has watchers


async def test_info_of_a_process_that_is_gone() -> None:
    with pytest.raises(NoSuchProcess):
        info("nobody")


async def test_info_tells_whom_a_call_waits_for() -> None:
    counter = await Counter.start_link()

    async def ask() -> None:
        await counter.call(Counter.slow, 1.0)

    pid = spawn(ask)
    await wait_until_idle()
    (activity,) = info(pid).activities
    assert activity.waits_for == counter.pid
    assert activity.since == 0.0


# ------------------------------------------------------------------------------------------------- state


async def test_state_is_seen_between_two_messages() -> None:
    """The request takes its place in the mailbox."""
    counter = await Counter.start_link(7)
    calling = await begun(counter.call(Counter.slow, 1.0))
    looking = await begun(get_state(counter))
    assert not looking.done()
    assert (await looking) is state_of(counter)
    await calling


async def test_state_can_be_replaced() -> None:
    """By the same instance, changed, or by another of the class."""
    counter = await Counter.start_link(7)

    def double(state: Counter) -> Counter:
        state.value *= 2
        return state

    await replace_state(counter, double)
    assert await counter.call(Counter.add, 0) == 14
    await replace_state(counter, lambda _state: Counter(1))
    assert await counter.call(Counter.add, 0) == 1


async def test_a_replacement_that_fails_changes_nothing() -> None:
    counter = await Counter.start_link(7)

    def fail(_state: Counter) -> Counter:
        raise KeyError("no")

    with pytest.raises(KeyError):
        await replace_state(counter, fail)
    with pytest.raises(UsageError, match="is an instance of Counter"):
        await replace_state(counter, lambda _state: 5)  # type: ignore[arg-type,return-value]  # what is refused
    assert await counter.call(Counter.add, 0) == 7


@pytest.mark.parametrize("function", [None, 5, receive])
async def test_what_cannot_replace_a_state_is_refused(function: Any) -> None:
    """Before the server hears of it."""
    counter = await Counter.start_link(7)
    with pytest.raises(UsageError, match="replace_state expects a plain function"):
        await replace_state(counter, function)


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, asyncio.CancelledError, Stop])
async def test_whoever_asks_hears_of_exceptions_that_no_future_carries(error: type[BaseException]) -> None:
    """The program would hear of them otherwise, and whoever asked would wait for nothing."""
    counter = await Counter.start_link(7)

    def fail(state: Counter) -> Counter:
        raise error() if error is not Stop else Stop(Shutdown())

    with pytest.raises(RuntimeError, match=error.__name__) as caught:
        await replace_state(counter, fail)
    assert isinstance(caught.value.__cause__, error)
    assert await counter.call(Counter.add, 1) == 8


async def test_a_plain_process_has_no_state_to_show() -> None:
    pid = spawn(receive)
    with pytest.raises(UsageError, match="local variables"):
        await get_state(pid)  # type: ignore[arg-type]  # what is refused


async def test_a_server_that_asks_itself_is_told() -> None:
    counter = await Counter.start_link()
    unlink(counter)
    state_of(counter).me = counter
    with pytest.raises(ProcessDied) as caught:
        await counter.call(Counter.ask_itself)
    assert isinstance(caught.value.__cause__, CallCycle)


async def test_whoever_asks_hears_of_the_death() -> None:
    counter = await Counter.start_link()
    calling = await begun(counter.call(Counter.slow, 1.0))
    looking = await begun(get_state(counter))
    unlink(counter)
    kill(counter)
    for task in (calling, looking):
        with pytest.raises(ProcessDied):
            await task


# ------------------------------------------------------------------------------------------------- suspend


async def test_a_suspended_server_takes_nothing_until_it_is_resumed() -> None:
    """And then everything, in the order in which it came."""
    counter = await Counter.start_link()
    await suspend(counter)
    await suspend(counter)
    assert info(counter).state == "suspended"
    counter.cast(Counter.put, 1)
    send(pid_of(counter), 2)
    calling = await begun(counter.call(Counter.add, 5))
    assert state_of(counter).got == []
    assert (await get_state(counter)).value == 0
    await resume(counter)
    assert await calling == 5
    assert state_of(counter).got == [1, 2]
    assert info(counter).state == "idle"


async def test_a_suspended_server_is_not_called_directly() -> None:
    counter = await Counter.start_link()
    await suspend(counter)
    with pytest.raises(CallTimeout, match=r"pass ref\.options\(timeout=\.\.\.\) if"):
        await counter.options(timeout=1.0).call(Counter.add, 5)
    await resume(counter)
    await wait_until_idle()
    assert state_of(counter).value == 0  # its caller had given up


async def test_a_suspension_takes_its_place_in_the_mailbox() -> None:
    counter = await Counter.start_link()
    slow = await begun(counter.call(Counter.slow, 1.0))
    counter.cast(Counter.put, "before")
    suspending = await begun(suspend(counter))
    counter.cast(Counter.put, "after")
    await slow
    await suspending
    assert state_of(counter).got == ["before"]


async def test_requests_that_came_before_the_suspension_was_taken_do_not_wait_for_its_end() -> None:
    """A ``resume`` behind its ``suspend`` in the mailbox: nobody else would ever let the server go on."""
    counter = await Counter.start_link()
    slow = await begun(counter.call(Counter.slow, 1.0))
    suspending = await begun(suspend(counter))
    counter.cast(Counter.put, "after")
    replacing = await begun(replace_state(counter, lambda state: state))
    resuming = await begun(resume(counter))
    await slow
    await suspending
    await replacing
    await resuming
    await wait_until_idle()
    assert state_of(counter).got == ["after"]


async def test_a_stop_that_came_before_the_suspension_was_taken_ends_the_server() -> None:
    counter = await Counter.start_link()
    slow = await begun(counter.call(Counter.slow, 1.0))
    suspending = await begun(suspend(counter))
    stopping = await begun(counter.stop())
    await slow
    await suspending
    await stopping
    assert not pid_of(counter).is_alive


async def test_a_suspended_server_can_be_stopped_and_killed() -> None:
    stopped, killed, traps = [await Counter.start_link() for _ in range(3)]
    for server in (stopped, killed, traps):
        unlink(server)
        await suspend(server)
    await stopped.stop()
    kill(killed)
    await wait_until_idle()
    assert not pid_of(killed).is_alive
    await replace_state(traps, _trapping)
    send_exit(traps, Exited("parent"))
    await wait_until_idle()
    assert not pid_of(traps).is_alive


def _trapping(state: Counter) -> Counter:
    trap_exit()
    return state


class Lingering(GenServer):
    """Takes its time to end."""

    async def terminate(self, reason: ExitReason) -> None:
        await pause(3.0)


async def test_one_that_is_asked_while_it_ends_answers_no_more_though_it_was_suspended() -> None:
    """What it waits for is the end of ``terminate``; nobody goes round in circles with the question."""
    server = await Lingering.start_link()
    await suspend(server)
    stopping = await begun(server.stop())
    assert info(server).state == "exiting"
    assert why(server).root.kind != "suspended"
    for ask in (get_state, suspend, resume):
        with pytest.raises(CallTimeout, match=r"pass timeout=\.\.\. if"):
            await ask(server, timeout=0.5)
    asking = await begun(get_state(server))
    await stopping
    with pytest.raises(ProcessDied):
        await asking


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
async def test_a_timeout_is_a_duration(timeout: Any) -> None:
    counter = await Counter.start_link()
    for ask in (get_state, suspend, resume):
        with pytest.raises(UsageError, match="timeout"):
            await ask(counter, timeout=timeout)


async def test_a_trace_needs_a_function() -> None:
    counter = await Counter.start_link()
    with pytest.raises(UsageError, match="trace"):
        trace(counter, 3)  # type: ignore[call-overload,arg-type,unused-ignore]

    async def take(_event: TraceEvent) -> None: ...

    with pytest.raises(
        UsageError, match=r"trace expects a plain function.*take.*send the events to a process"
    ):
        trace(counter, take)


async def test_a_supervisor_stops_a_suspended_child() -> None:
    supervisor = await Supervisor.start_link([Counter.child_spec().named("child")], strategy="one_for_one")
    await suspend("child")
    await supervisor.call(Supervisor.terminate_child, "child")
    with pytest.raises(NoSuchProcess):
        info("child")


async def test_a_suspended_plain_process_receives_nothing() -> None:
    got: list[object] = []

    async def reader() -> None:
        while True:
            got.append(await receive())

    pid = spawn(reader)
    await wait_until_idle()
    await suspend(pid)
    word = "the same object"
    for message in (1, 2, word, word):
        send(pid, message)
    await wait_until_idle()
    assert got == []
    assert info(pid).state == "suspended"
    await resume(pid)
    await wait_until_idle()
    assert got == [1, 2, word, word]


async def test_a_message_that_is_sent_twice_to_a_suspended_process_comes_twice() -> None:
    """The first that it waits for is given to it, the other one stays: though they are one object."""
    got: list[object] = []

    async def reader() -> None:
        while True:
            got.append(await receive(str))

    pid = spawn(reader)
    await wait_until_idle()
    await suspend(pid)
    for message in (1, "tick", 2, "tick", "tick"):
        send(pid, message)
    await resume(pid)
    await wait_until_idle()
    assert got == ["tick"] * 3
    assert info(pid).messages == 2


async def test_a_supervisor_can_be_suspended() -> None:
    """Its children's ends wait for it."""
    supervisor = await Supervisor.start_link([Counter.child_spec().named("child")], strategy="one_for_one")
    await suspend(supervisor)
    kill("child")
    await wait_until_idle()
    with pytest.raises(NoSuchProcess):
        info("child")
    await resume(supervisor)
    await wait_until_idle()
    assert info("child").state == "idle"


# ------------------------------------------------------------------------------------------------- trace, statistics


async def test_a_trace_tells_what_is_taken_and_how_it_ends() -> None:
    counter = await Counter.start_link()
    events: list[TraceEvent] = []
    with trace(counter, events.append):
        await counter.call(Counter.add, 5)
        with pytest.raises(ValueError, match="-1"):
            await counter.call(Counter.add, -1)
        await counter.call(Counter.slow, 1.0)
        await counter.call(Counter.beside, 1.0)
        counter.cast(Counter.put, 1)
        send(pid_of(counter), "raw")
        await wait_until_idle()
    await counter.call(Counter.add, 5)
    assert [(each.kind, str(each.message)) for each in events] == [
        ("took", "call of Counter.add(5)"),
        ("returned", "call of Counter.add(5)"),
        ("took", "call of Counter.add(-1)"),
        ("raised", "call of Counter.add(-1)"),
        ("took", "call of Counter.slow(1.0)"),
        ("returned", "call of Counter.slow(1.0)"),
        ("took", "call of Counter.beside(1.0)"),
        ("returned", "call of Counter.beside(1.0)"),
        ("took", "cast of Counter.put(1)"),
        ("returned", "cast of Counter.put(1)"),
        ("took", "raw"),
        ("returned", "raw"),
    ]
    assert [each.at for each in events] == [0.0] * 5 + [1.0] * 2 + [2.0] * 5
    assert (events[1].value, repr(events[3].value)) == (5, "ValueError(-1)")


async def test_a_trace_goes_to_the_log_unless_said_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="mabeam.trace")
    counter = await Counter.start_link()
    tracing = trace(counter)
    await counter.call(Counter.add, 5)
    tracing.stop()
    assert [record.getMessage().split(" ", 1)[1] for record in caplog.records] == [
        f"{counter.pid!r} took call of Counter.add(5)",
        f"{counter.pid!r} returned call of Counter.add(5) -> 5",
    ]


async def test_a_trace_handler_that_raises_ends_its_trace_only(caplog: pytest.LogCaptureFixture) -> None:
    counter = await Counter.start_link()
    events: list[TraceEvent] = []

    def fail(_event: TraceEvent) -> None:
        raise KeyError("no")

    trace(counter, fail)
    trace(counter, events.append)
    assert await counter.call(Counter.add, 5) == 5
    assert await counter.call(Counter.add, 5) == 10
    assert len(events) == 4
    assert caplog.text.count("that trace has ended") == 1


async def test_a_plain_process_can_be_traced() -> None:
    events: list[TraceEvent] = []

    async def reader() -> None:
        while True:
            await receive()

    pid = spawn(reader)
    await wait_until_idle()
    tracing = trace(pid, events.append)
    send(pid, 1)
    await wait_until_idle()
    tracing.stop()
    send(pid, 2)
    await wait_until_idle()
    assert [(each.kind, each.message) for each in events] == [("took", 1)]


async def test_statistics_are_counted_while_they_are_on() -> None:
    counter = await Counter.start_link()
    assert statistics(counter) is None
    statistics(counter, True)
    await counter.call(Counter.add, 5)
    with pytest.raises(ValueError, match="-1"):
        await counter.call(Counter.add, -1)
    await counter.call(Counter.slow, 2.0)
    seen = statistics(counter)
    assert seen is not None
    assert (seen.since, seen.messages_in, seen.finished, seen.failed, seen.busy, seen.longest) == (
        0.0,
        3,
        2,
        1,
        2.0,
        2.0,
    )
    assert statistics(counter, False) == seen
    assert statistics(counter) is None


async def test_whoever_is_not_watched_pays_nothing() -> None:
    """When the last watcher has gone, the process has the behaviour of its class again."""
    counter = await Counter.start_link()
    other = await Counter.start_link()
    with trace(counter, lambda _event: None):
        statistics(counter, True)
        statistics(counter, False)
        assert process_of(counter).behaviour is not process_of(other).behaviour
    assert process_of(counter).behaviour is process_of(other).behaviour


# ------------------------------------------------------------------------------------------------- code_change


class NewCounter(Counter):
    """Counts in hundreds."""

    def code_change(self, old: type, extra: object) -> None:
        self.value *= 100
        self.was = old.__name__
        self.extra = extra
        if extra == "fail":
            self.value = -1
            raise KeyError("cannot")

    @handle_call
    def add(self, amount: int) -> int:
        self.value += 100 * amount
        return self.value


class Narrow(GenServer):
    """Answers nothing of what a counter does."""


async def test_a_running_server_changes_its_code() -> None:
    """State is handed over, links, name and messages that wait are kept."""
    counter = await Counter.child_spec(7).named("counter").start_link()
    pid = pid_of(counter)
    slow = await begun(counter.call(Counter.slow, 1.0))
    changing = await begun(code_change(counter, NewCounter, "extra"))
    waiting = await begun(counter.call(Counter.add, 1))
    changed = await changing
    assert await slow == 7
    assert await waiting == 800
    assert await changed.call(NewCounter.add, 1) == 900
    assert await counter.call(Counter.add, 1) == 1000
    assert pid_of(changed) == pid == pid_of(counter)
    state = await get_state(changed)
    assert (state.was, state.extra) == ("Counter", "extra")
    assert info(pid).label == "NewCounter"


async def test_a_change_that_fails_changes_nothing() -> None:
    counter = await Counter.start_link(7)
    with pytest.raises(KeyError, match="cannot"):
        await code_change(counter, NewCounter, "fail")
    assert await counter.call(Counter.add, 1) == 8
    assert type(state_of(counter)) is Counter


async def test_messages_that_the_new_class_does_not_answer_are_refused(runtime: Runtime) -> None:
    counter = await Counter.start_link()
    await suspend(counter)
    calling = await begun(counter.call(Counter.add, 1))
    counter.cast(Counter.put, 1)
    send(pid_of(counter), "raw")

    async def read() -> None:
        async with counter.stream(Counter.values) as values:
            async for _ in values:
                pass

    reading = await begun(read())
    await code_change(counter, Narrow)
    for task in (calling, reading):
        with pytest.raises(UsageError, match="since its code was changed"):
            await task
    await resume(counter)
    await wait_until_idle()
    assert [(letter.why, letter.message) for letter in runtime.dead_letters.latest][1:] == [
        ("not_understood", "raw")
    ]
    assert len(runtime.dead_letters) == 2


async def test_those_that_wait_for_a_place_run_the_new_code() -> None:
    class Faster(Counter):
        @handle_call(concurrent=2)
        async def beside(self, seconds: float) -> int:
            return -1

    counter = await Counter.start_link()
    running = await begun(counter.call(Counter.beside, 1.0))
    waiting = [await begun(counter.call(Counter.beside, 1.0)) for _ in range(2)]
    await code_change(counter, Faster)
    assert list(await asyncio.gather(*waiting)) == [-1, -1]
    assert await running == 0


class Patient(Counter):
    async def code_change(self, old: type, extra: object) -> None:  # type: ignore[override]
        self.value = -1


async def test_a_change_cannot_wait() -> None:
    """It would never be run."""
    counter = await Counter.start_link(7)
    with pytest.raises(UsageError, match="async"):
        await code_change(counter, Patient)
    assert await counter.call(Counter.add, 1) == 8


async def test_what_is_kept_in_slots_is_restored_too() -> None:
    class Slotted(GenServer):
        __slots__ = ("empty", "value")

        def __init__(self) -> None:
            self.value = 1

    class Failing(Slotted):
        __slots__ = ()

        def code_change(self, old: type, extra: object) -> None:
            self.value = self.empty = 2
            raise KeyError

    server = await Slotted.start_link()
    with pytest.raises(KeyError):
        await code_change(server, Failing)
    state = await get_state(server)
    assert state.value == 1
    assert not hasattr(state, "empty")


async def test_servers_of_ours_are_kinds_of_their_own() -> None:
    """What one of them keeps in its attributes means nothing to another."""
    supervisor = await Supervisor.start_link([], strategy="one_for_one")
    registry = await Registry.start_link(keys="unique")
    for server, new in ((supervisor, DynamicSupervisor), (registry, Counter)):
        with pytest.raises(UsageError, match="same kind"):
            await code_change(server, new)


@pytest.mark.parametrize("new", [int, Supervisor, "Counter", Counter(1)])
async def test_only_a_server_of_the_same_kind_will_do(new: Any) -> None:
    counter = await Counter.start_link()
    with pytest.raises(UsageError, match="same kind"):
        await code_change(counter, new)


async def test_instances_must_be_laid_out_alike() -> None:
    class Slotted(GenServer):
        __slots__ = ("value",)

    counter = await Counter.start_link()
    with pytest.raises(UsageError, match="__slots__"):
        await code_change(counter, Slotted)


async def test_a_traced_server_stays_traced_when_its_code_changes() -> None:
    counter = await Counter.start_link()
    events: list[TraceEvent] = []
    trace(counter, events.append)
    await code_change(counter, NewCounter)
    await counter.call(Counter.add, 1)
    assert str(events[-1].message) == "call of NewCounter.add(1)"


async def test_links_are_told_as_ever_of_a_suspended_process() -> None:
    """What ends it ends it."""
    counter = await Counter.start_link()
    await suspend(counter)
    unlink(counter)
    monitor(pid_of(counter))
    send_exit(counter, Shutdown())
    assert (await receive()).reason == Shutdown()


async def test_a_process_that_is_suspended_before_it_begins_begins_all_the_same() -> None:
    """What it takes no more are messages."""
    got: list[object] = []

    async def work() -> None:
        got.append("begun")
        got.append(await receive())

    pid = spawn(work)
    await suspend(pid)
    send(pid, "go")
    await wait_until_idle()
    assert got == ["begun"]
    await resume(pid)
    await wait_until_idle()
    assert got == ["begun", "go"]


async def test_brothers_of_one_spec_are_traced_counted_and_limited_each_for_itself() -> None:
    got: list[object] = []

    async def work(limit: int | None) -> None:
        if limit is not None:
            limit_mailbox(limit)
        await receive(float)
        while True:
            got.append(await receive(timeout=0))

    supervisor = await DynamicSupervisor.start_link()
    first_only = iter((1, None))
    spec = child_spec(lambda: work(next(first_only))).options(restart="temporary")
    first, second = [await supervisor.call(DynamicSupervisor.start_child, spec) for _ in range(2)]
    seen: list[TraceEvent] = []
    with trace(first, seen.append):
        statistics(first, True)
        for word in ("a", "b", "c"):
            send(second, word)
        await wait_until_idle()
    assert seen == []
    assert statistics(second) is None
    send(second, 0.5)
    await wait_until_idle()
    assert got == ["a", "b", "c"]
