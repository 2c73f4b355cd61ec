"""Streams that go wrong: generators that raise, wrong use, time limits, and what is left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    GenServer,
    HandlerFailed,
    NoSuchProcess,
    ProcessDied,
    Ref,
    RejectedError,
    Runtime,
    UsageError,
    handle_call,
    handle_cast,
    handle_stream,
    ref,
    send,
    spawn,
)
from mabeam.kernel import Exited, kill, send_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._feed import Feed
from tests.otp._servers import begun, clock, for_ever, pid_of, process_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), UsageError("x")])
async def test_a_generator_that_raises_reaches_the_reader_as_handler_failed(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """After what it has yielded; it is reported once, and the server lives."""
    feed = await Feed.start_link()
    async with feed.stream(Feed.broken, error) as items:
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(HandlerFailed) as caught:
            await anext(items)
    assert caught.value.__cause__ is error
    assert caught.value.handler == "Feed.broken"
    assert len([record for record in caplog.records if record.name == "mabeam"]) == 1
    assert await feed.call(Feed.ping) == "pong"
    async with feed.stream(Feed.broken_at_once) as items:
        with pytest.raises(HandlerFailed, match="at once"):
            await anext(items)


async def test_arguments_that_do_not_fit_are_the_readers_mistake(caplog: pytest.LogCaptureFixture) -> None:
    """It is told when it enters the block; nothing is reported, and the server lives."""
    feed = await Feed.start_link()
    with pytest.raises(UsageError, match="does not fit"):
        async with feed.stream(Feed.count):  # type: ignore[call-arg]
            pass
    assert clock().time() == 0.0
    assert [record for record in caplog.records if record.name == "mabeam"] == []
    assert await feed.call(Feed.ping) == "pong"


async def test_iterating_without_the_block_is_a_usage_error() -> None:
    """It says how to write it."""
    feed = await Feed.start_link()
    with pytest.raises(UsageError, match="async with"):
        async for _ in feed.stream(Feed.count, 1):  # type: ignore[attr-defined]
            pass


async def test_a_stream_can_be_entered_once() -> None:
    """A second block would find it closed."""
    feed = await Feed.start_link()
    stream = feed.stream(Feed.count, 1)
    async with stream as numbers:
        assert [number async for number in numbers] == [0]
    with pytest.raises(UsageError, match="once"):
        async with stream:
            pass


async def _next_of(items: AsyncIterator[int]) -> int:
    return await anext(items)


async def test_a_stream_has_one_reader_at_a_time() -> None:
    """A second one would take the place of the first, which then would wait for ever."""
    feed = await Feed.start_link()
    loop = asyncio.get_running_loop()
    async with feed.stream(Feed.wait_inside) as items:
        assert await anext(items) == 1
        first = loop.create_task(_next_of(items))
        await wait_until_idle()
        with pytest.raises(UsageError, match="being read already"):
            await anext(items)
        first.cancel()
        await wait_until_idle()
        second = loop.create_task(_next_of(items))
        await wait_until_idle()
        state_of(feed).gate.set()
        assert await second == 2


async def test_many_readers_read_independently() -> None:
    """Each has a generator and credit of its own, and the server answers meanwhile."""
    feed = await Feed.start_link()
    probe = Probe.start()

    async def read(limit: int, *, slow: bool) -> None:
        async with feed.stream(Feed.count, limit) as numbers:
            if slow:
                await for_ever()
            send(probe.pid, [number async for number in numbers])

    hung = spawn(read, 1000, slow=True)
    for limit in (10, 20, 30):
        spawn(read, limit, slow=False)
    got = [await probe.next() for _ in range(3)]
    assert sorted(map(len, got)) == [10, 20, 30]
    assert await feed.call(Feed.ping) == "pong"
    kill(hung)


async def test_entering_waits_no_longer_than_the_timeout() -> None:
    """What the server takes later is closed at once."""
    feed = await Feed.start_link()
    blocked = await begun(feed.options(timeout=None).call(Feed.block))
    with pytest.raises(CallTimeout):
        async with feed.options(timeout=2.0).stream(Feed.count, 3):
            pass
    assert clock().time() == 2.0
    state_of(feed).gate.set()
    await blocked
    await wait_until_idle()
    assert state_of(feed).made == []


async def test_one_that_is_cancelled_on_entering_leaves_nothing() -> None:
    """Neither on the server nor in its own process."""
    feed = await Feed.start_link()
    blocked = await begun(feed.options(timeout=None).call(Feed.block))

    async def read() -> None:
        async with feed.stream(Feed.count, 3):
            pass

    reading = await begun(read())
    reading.cancel()
    await asyncio.wait([reading])
    state_of(feed).gate.set()
    await blocked
    await wait_until_idle()
    assert state_of(feed).made == []


class Crowded(GenServer):
    """Room for one message, and readers that wait for room."""

    mailbox_limit = 1
    on_full = "block"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.log: list[str] = []

    @handle_call
    async def block(self) -> None:
        await self.gate.wait()

    @handle_cast
    def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()

    @handle_stream
    async def count(self) -> AsyncIterator[int]:
        self.log.append("begun")
        yield 1


async def test_one_that_is_cancelled_when_its_request_has_been_let_in_and_taken_leaves_nothing() -> None:
    """All of that in one turn: the reader has heard of none of it."""
    crowded = await Crowded.start_link()
    blocked = await begun(crowded.options(timeout=None).call(Crowded.block))

    async def read() -> None:
        async with crowded.stream(Crowded.count):
            pass

    reading = asyncio.create_task(read())
    crowded.cast(Crowded.cancel, reading)
    await wait_until_idle()
    state_of(crowded).gate.set()
    await asyncio.wait([reading])
    await blocked
    await wait_until_idle()
    assert reading.cancelled()
    assert state_of(crowded).log == []
    assert not process_of(crowded).registrations
    assert not process_of(crowded).activations


class Narrow(GenServer):
    """As many streams as messages: two."""

    mailbox_limit = 2

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()

    @handle_call(concurrent=3)
    async def wait(self) -> None:
        await self.gate.wait()

    @handle_call
    def ping(self) -> str:
        return "pong"

    @handle_stream
    async def count(self) -> AsyncIterator[int]:
        self.begun += 1
        yield 1
        await for_ever()

    @handle_stream
    async def slow_to_close(self) -> AsyncIterator[int]:
        try:
            yield 1
            await for_ever()
        finally:
            await self.gate.wait()


async def test_no_more_streams_are_open_than_the_mailbox_may_hold(runtime: Runtime) -> None:
    """One more is refused, whatever else runs beside the server, and leaves nothing; there is room when one is left."""
    narrow = await Narrow.start_link()
    waiting = [await begun(narrow.options(timeout=None).call(Narrow.wait)) for _ in range(3)]
    async with narrow.stream(Narrow.count):
        async with narrow.stream(Narrow.count):
            there = dict(process_of(narrow).registrations or {}), dict(runtime.root.registrations or {})
            with pytest.raises(RejectedError, match=r"2 streams open .* raise mailbox_limit"):
                async with narrow.stream(Narrow.count):
                    pass
            assert (process_of(narrow).registrations, runtime.root.registrations) == there
        async with narrow.stream(Narrow.count) as numbers:
            assert await anext(numbers) == 1
    assert state_of(narrow).begun == 3
    assert await narrow.call(Narrow.ping) == "pong"
    state_of(narrow).gate.set()
    await asyncio.wait(waiting)


async def test_a_row_of_streams_is_refused_only_when_too_many_clean_up() -> None:
    """Readers that have left are no readers, but what they have left behind is bounded as well."""
    narrow = await Narrow.start_link()
    for _ in range(4):
        async with narrow.stream(Narrow.slow_to_close) as numbers:
            assert await anext(numbers) == 1
    with pytest.raises(RejectedError, match="4 that clean up"):
        async with narrow.stream(Narrow.count):
            pass
    state_of(narrow).gate.set()
    await wait_until_idle()
    async with narrow.stream(Narrow.count) as numbers:
        assert await anext(numbers) == 1
    await wait_until_idle()
    assert not process_of(narrow).registrations
    assert not process_of(narrow).activations


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_ends_before_it_begins_is_told_at_once(how: str) -> None:
    """Not after a timeout."""
    feed = await Feed.child_spec().start()
    blocked = await begun(feed.options(timeout=None).call(Feed.block))

    async def read() -> list[int]:
        async with feed.stream(Feed.count, 3) as numbers:
            return [number async for number in numbers]

    reading = await begun(read())
    send_exit(feed, Exited("x")) if how == "stop" else kill(feed)
    for task in (reading, blocked):
        with pytest.raises(ProcessDied):
            await task
    assert clock().time() == 0.0


@pytest.mark.simulate(
    False, reason="it is made of one interleaving; in another the stream has begun, or has not"
)
async def test_a_server_that_ends_just_as_it_begins_is_told_at_once() -> None:
    """Between taking the request and the first step of the generator."""
    feed = await Feed.child_spec().start()
    process = pid_of(feed)._process
    assert process is not None

    class Ending(GenServer):
        @handle_call
        def end(self) -> None:
            send_exit(feed, Exited("just now"))

    ending = await Ending.start_link()

    async def read() -> list[int]:
        async with feed.stream(Feed.count, 3) as numbers:
            return [number async for number in numbers]

    reading = asyncio.create_task(read())
    process.kernel.loop.call_soon(lambda: asyncio.ensure_future(ending.call(Ending.end)))
    with pytest.raises(ProcessDied) as caught:
        await reading
    assert caught.value.reason == Exited("just now")
    assert clock().time() < 5.0


async def test_streams_of_what_is_not_there_fail_on_entering() -> None:
    """By handle and by name."""
    feed = await Feed.start_link()
    await feed.stop()
    gone: list[Ref[Feed]] = [feed, ref("nobody", Feed)]
    for handle in gone:
        with pytest.raises(NoSuchProcess):
            async with handle.stream(Feed.count, 1):
                pass


async def test_a_name_is_followed_on_entering() -> None:
    """Whoever has it then is read, not who had it when the stream was made."""
    before = await Feed.child_spec().named("feed").start()
    made = [ref("feed", Feed).stream(Feed.count, 1), ref("later", Feed).stream(Feed.count, 1)]
    await before.stop()
    named = [await Feed.child_spec().named(name).start() for name in ("feed", "later")]
    for stream, server in zip(made, named, strict=True):
        async with stream as numbers:
            assert [number async for number in numbers] == [0]
        assert state_of(server).made == [0]


async def test_a_generator_that_swallows_its_cancellation_is_closed_at_its_next_yield() -> None:
    """It is nobody's any more."""
    feed = await Feed.start_link()
    async with feed.stream(Feed.stubborn) as numbers:
        assert await anext(numbers) == 1
        await wait_until_idle()
    await wait_until_idle()
    assert state_of(feed).log == ["swallowed"]
    assert await feed.call(Feed.ping) == "pong"


async def test_after_many_streams_nothing_is_left_of_them(runtime: Runtime) -> None:
    """Neither at the server nor at the reader."""
    feed = await Feed.start_link()
    for _ in range(100):
        async with feed.stream(Feed.count, 100) as numbers:
            await anext(numbers)
    await wait_until_idle()
    process: Any = pid_of(feed)._process
    assert not process.registrations
    assert not process.activations
    assert not runtime.root.registrations
