"""Traces follow calls, casts, messages, timers, tasks, streams and threads, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import mabeam
from mabeam import (
    DynamicSupervisor,
    GenServer,
    Postpone,
    Runtime,
    StateMachine,
    TaskSupervisor,
    become,
    continue_with,
    handle_call,
    handle_cast,
    handle_stream,
    named_timeout,
    next_event,
    spawn_supervised,
    state,
    state_timeout,
)
from mabeam.telemetry import Bus, TraceContext, continue_trace, current_trace, span
from tests.otp._servers import pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

TRACE = TraceContext("0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")


class Server(GenServer):
    """Remembers in which trace each of its handlers ran."""

    mailbox_limit = 10

    def __init__(self) -> None:
        self.seen: list[tuple[str, TraceContext | None]] = []
        self.started_in = current_trace()
        self.child: Any = None

    def note(self, what: str) -> TraceContext | None:
        self.seen.append((what, current_trace()))
        return current_trace()

    @handle_call
    def plain(self) -> TraceContext | None:
        return self.note("plain")

    @handle_call
    async def slow(self) -> TraceContext | None:
        await pause(1)
        return self.note("slow")

    @handle_call
    def awaitable(self) -> Coroutine[Any, Any, TraceContext | None]:
        return self._later()

    async def _later(self) -> TraceContext | None:
        await pause(1)
        return self.note("awaitable")

    @handle_call(concurrent=1)
    async def beside(self) -> TraceContext | None:
        await pause(1)
        return self.note("beside")

    @handle_call(thread=True)
    def blocking(self) -> TraceContext | None:
        return self.note("blocking")

    @handle_call
    def onwards(self) -> None:
        continue_with("go")
        self.note("onwards")

    def handle_continue(self, argument: object) -> None:
        self.note("continue")

    @handle_call
    async def spawns(self) -> None:
        self.child = await Server.start_link()
        self.note("spawns")

    @handle_cast
    def told(self) -> None:
        self.note("told")

    @handle_stream
    async def rows(self) -> AsyncIterator[TraceContext | None]:
        yield current_trace()
        await pause(1)
        yield current_trace()

    def handle_info(self, message: object) -> None:
        self.note(str(message))


async def seen(server: Any) -> dict[str, TraceContext | None]:
    """What the server has noted, once its mailbox is empty."""
    instance = await mabeam.get_state(server)
    return dict(instance.seen)


async def untraced(server: Any) -> None:
    """What comes without a trace has none, however many have come with one."""
    with continue_trace(None):
        assert await server.call(Server.plain) is None
        assert await server.call(Server.slow) is None
        server.cast(Server.told)
        mabeam.send(server, "bare")
        noted = await seen(server)
    assert noted["told"] is None
    assert noted["bare"] is None


@pytest.mark.parametrize("method", ["plain", "slow", "awaitable", "beside", "blocking"])
async def test_a_call_is_in_the_trace_of_its_caller(method: str) -> None:
    """At once and through the mailbox, plain, async, concurrent and in a thread."""
    async with Runtime():
        server = await Server.start_link()
        with continue_trace(TRACE):
            assert await server.call(getattr(Server, method)) == TRACE
            server.cast(Server.told)
            assert await server.call(getattr(Server, method)) == TRACE
        await untraced(server)


async def test_a_concurrent_call_that_had_to_wait_is_in_the_trace_of_its_caller() -> None:
    async with Runtime():
        server = await Server.start_link()
        results: dict[TraceContext | None, TraceContext | None] = {}

        async def ask(trace: TraceContext | None) -> None:
            with continue_trace(trace):
                results[trace] = await server.call(Server.beside)

        other = TraceContext(TRACE.trace_id, span_id="00f067aa0ba902b7")
        for each in (TRACE, None, other):
            mabeam.spawn_monitor(ask, each)
        for _ in range(3):
            await mabeam.receive(mabeam.Down)
        assert results == {TRACE: TRACE, None: None, other: other}


async def test_casts_raw_messages_and_timers_are_in_the_trace_of_their_sender() -> None:
    async with Runtime():
        server = await Server.start_link()
        with continue_trace(TRACE):
            server.cast(Server.told)
            mabeam.send(server, "raw")
            mabeam.send_after(1.0, server, "timer")
        await pause(2)
        assert await seen(server) == {"told": TRACE, "raw": TRACE, "timer": TRACE}
        await untraced(server)


async def test_what_a_handler_sends_on_stays_in_the_trace() -> None:
    """Across three processes and a timer, with spans as parents."""
    bus = Bus()
    names: dict[str, Any] = {}
    bus.attach(lambda *_event: None)

    class Relay(GenServer):
        def __init__(self, onto: Any) -> None:
            self.onto = onto

        @handle_call
        async def relay(self) -> None:
            with span("relay") as own:
                names["relay"] = own
                mabeam.send_after(1.0, self.onto, "later")
                await self.onto.call(Server.plain)

    async with Runtime(bus=bus):
        server = await Server.start_link()
        relay = await Relay.start_link(server)
        with span("request") as request:
            await relay.call(Relay.relay)
        await pause(2)
        noted = await seen(server)
    own = names["relay"]
    assert own.parent == request.trace
    assert noted == {"plain": own.trace, "later": own.trace}


async def test_a_continuation_is_in_the_trace_of_its_handler() -> None:
    async with Runtime():
        server = await Server.start_link()
        with continue_trace(TRACE):
            await server.call(Server.onwards)
        assert await seen(server) == {"onwards": TRACE, "continue": TRACE}


async def test_a_stream_is_in_the_trace_of_its_reader() -> None:
    async with Runtime():
        server = await Server.start_link()
        with continue_trace(TRACE):
            async with server.stream(Server.rows) as rows:
                assert [row async for row in rows] == [TRACE, TRACE]
        async with server.stream(Server.rows) as rows:
            assert [row async for row in rows] == [None, None]


async def test_spawned_processes_are_in_the_trace_of_their_parent() -> None:
    async with Runtime():
        found: dict[str, TraceContext | None] = {}

        async def work(name: str) -> None:
            await pause(1)
            found[name] = current_trace()

        def quick() -> None:
            found["quick"] = current_trace()

        with continue_trace(TRACE):
            mabeam.spawn_monitor(work, "inside")
            mabeam.spawn_monitor(quick)
        mabeam.spawn_monitor(work, "outside")
        for _ in range(3):
            await mabeam.receive(mabeam.Down)
        assert found == {"inside": TRACE, "quick": TRACE, "outside": None}


async def test_tasks_are_in_the_trace_of_whoever_started_them() -> None:
    """Awaited, let go, and of a stream that has to wait for room."""
    async with Runtime():
        tasks = await TaskSupervisor.start_link(max_children=2)

        async def where(_item: object = None) -> TraceContext | None:
            await pause(1)
            return current_trace()

        with continue_trace(TRACE):
            task = await TaskSupervisor.start_task(tasks, where)
            found: list[TraceContext | None] = []
            pid = await spawn_supervised(lambda: found.append(current_trace()), supervisor=tasks)
            mabeam.monitor(pid)
            await mabeam.receive(mabeam.Down)
            assert await task == TRACE
            async with TaskSupervisor.async_stream(tasks, where, range(5), max_concurrency=5) as values:
                streamed = [value async for value in values]
        assert found == [TRACE]
        assert [each.value for each in streamed] == [TRACE] * 5  # type: ignore[union-attr]  # all have succeeded
        assert await (await TaskSupervisor.start_task(tasks, where)) is None


async def test_a_process_does_not_inherit_the_trace_that_it_was_started_in() -> None:
    """It outlives it: its messages come with traces of their own."""
    async with Runtime():
        with continue_trace(TRACE):
            server = await Server.start_link()
            family = await DynamicSupervisor.start_link()
            child = await family.call(DynamicSupervisor.start_child, Server.child_spec())
            await server.call(Server.spawns)
        grandchild = (await mabeam.get_state(server)).child
        for each in (server, child, grandchild):
            await untraced(each)


async def test_a_runtime_entered_within_a_trace_hands_it_on() -> None:
    with continue_trace(TRACE):
        async with Runtime():
            server = await Server.start_link()
            assert await server.call(Server.plain) == TRACE
            await untraced(server)


def test_a_program_run_within_a_trace_is_in_it() -> None:
    async def main() -> TraceContext | None:
        return current_trace()

    with continue_trace(TRACE):
        assert mabeam.run(main) == TRACE
    assert mabeam.run(main) is None


def test_a_portal_hands_on_the_trace_of_its_thread() -> None:
    """Of a thread that belongs to no process, and of one that does."""

    class Blocking(GenServer):
        @handle_call(thread=True)
        def work(self, server: Any) -> object:
            return mabeam.portal().call(server, Server.plain)

    async def begin() -> tuple[Any, Any]:
        return await Server.child_spec().start(), await Blocking.child_spec().start()

    with mabeam.open_portal() as portal:
        server, blocking = portal.run(begin)
        with continue_trace(TRACE):
            assert portal.call(server, Server.plain) == TRACE
            portal.cast(server, Server.told)
            portal.send(server, "sent")
            assert portal.call(blocking, Blocking.work, server) == TRACE
        noted = portal.run(seen, server)
        assert (noted["told"], noted["sent"]) == (TRACE, TRACE)
        assert portal.call(server, Server.plain) is None


async def test_an_event_of_a_machine_keeps_its_trace_while_it_is_postponed() -> None:
    class Door(StateMachine):
        def __init__(self) -> None:
            become(self.shut)

        @state
        def shut(self) -> None: ...

        @state
        def ajar(self) -> None: ...

        @shut.handle_call
        def enter(self) -> TraceContext | None:
            raise Postpone

        @ajar.on(enter)
        def enter_ajar(self) -> TraceContext | None:
            return current_trace()

        @shut.handle_cast
        def unlock(self) -> None:
            become(self.ajar)

    async with Runtime():
        door = await Door.start_link()
        with continue_trace(TRACE):
            task = asyncio.get_running_loop().create_task(door.call(Door.enter))
            await pause(1)
        door.cast(Door.unlock)
        assert await task == TRACE


async def test_timeouts_and_events_of_a_machine_are_in_the_trace_of_whoever_asked() -> None:
    """Of its own making, each in the handler that asked for it; an idle one comes of silence, and is in none."""

    class Clock(StateMachine):
        def __init__(self) -> None:
            self.seen: list[tuple[str, TraceContext | None]] = []
            become(self.ticking)

        @state
        def ticking(self) -> None: ...

        @ticking.handle_cast
        def wind(self) -> None:
            next_event("own")
            state_timeout(1.0, "state")
            named_timeout("name", 2.0, "named")

        def handle_info(self, message: Any) -> None:
            self.seen.append((getattr(message, "content", message), current_trace()))

    async with Runtime():
        clock = await Clock.start_link()
        for trace in (TRACE, None):
            with continue_trace(trace):
                clock.cast(Clock.wind)
            await pause(5)
        noted = (await mabeam.get_state(clock)).seen
    names = ("own", "state", "named")
    assert noted == [(name, trace) for trace in (TRACE, None) for name in names]


async def test_what_cannot_be_delivered_is_a_dead_letter_as_it_was_sent() -> None:
    """Not packed with its trace."""
    async with Runtime() as runtime:
        server = await Server.start_link()
        await mabeam.suspend(server)
        with continue_trace(TRACE):
            for number in range(12):
                mabeam.send(server, number)
        full = [letter.message for letter in runtime.dead_letters.latest]
        mabeam.unlink(server)
        mabeam.kill(server)
        await pause(1)
        ended = [letter.message for letter in runtime.dead_letters.latest if letter.why == "ended"]
    assert full == [10, 11]
    assert ended == list(range(10))


async def test_a_plain_process_receives_messages_bare() -> None:
    """Its code is in a trace of its own, or in none."""
    async with Runtime():
        with continue_trace(TRACE):
            mabeam.send(mabeam.self_pid(), "hello")
        assert await mabeam.receive(str) == "hello"
        assert current_trace() is None
