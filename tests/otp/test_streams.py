"""Streams: what a reader gets, how far ahead a server is, and how either end is heard of."""

from __future__ import annotations

import pytest

from mabeam import (
    ExitReason,
    ProcessDied,
    Stop,
    UsageError,
    spawn,
)
from mabeam.kernel import Exited, Killed, Shutdown, kill, send_exit
from mabeam.otp._streams import CREDIT
from mabeam.testing import wait_until_idle
from tests.otp._feed import Feed
from tests.otp._servers import for_ever, state_of


async def test_a_reader_gets_what_the_generator_yields_and_then_the_end() -> None:
    """In order, all of it; reading on after the end gives the end again."""
    feed = await Feed.start_link()
    async with feed.stream(Feed.count, 100) as numbers:
        assert [number async for number in numbers] == list(range(100))
        assert [number async for number in numbers] == []
    async with feed.stream(Feed.count, 0) as numbers:
        assert [number async for number in numbers] == []
    assert state_of(feed).log == ["finished", "closed"] * 2


async def test_a_slow_reader_holds_the_generator_back() -> None:
    """It is never more than the credit ahead."""
    feed = await Feed.start_link()
    async with feed.stream(Feed.count, 1000) as numbers:
        await wait_until_idle()
        assert len(state_of(feed).made) == CREDIT
        for taken in range(1, 50):
            await anext(numbers)
            await wait_until_idle()
            assert len(state_of(feed).made) - taken <= CREDIT


async def test_leaving_the_block_closes_the_generator() -> None:
    """Where it waits for credit, and where it waits for something else."""
    feed = await Feed.start_link()
    async with feed.stream(Feed.count, 1000) as numbers:
        assert await anext(numbers) == 0
    await wait_until_idle()
    assert state_of(feed).log == ["closed"]
    async with feed.stream(Feed.wait_inside) as items:
        assert await anext(items) == 1
    await wait_until_idle()
    assert state_of(feed).log == ["closed", "closed"]
    with pytest.raises(UsageError, match="inside the block"):
        await anext(items)


async def test_an_error_in_the_block_closes_it_too() -> None:
    """And comes out unchanged."""
    feed = await Feed.start_link()
    with pytest.raises(LookupError, match="mine"):
        async with feed.stream(Feed.count, 1000):
            raise LookupError("mine")
    await wait_until_idle()
    assert state_of(feed).log in (["closed"], [])


@pytest.mark.parametrize("how", ["return", "crash", "kill", "exit"])
async def test_the_end_of_the_reader_closes_the_generator(how: str) -> None:
    """Whatever kind of end it is; the server lives."""
    feed = await Feed.start_link()

    async def read() -> None:
        entered = feed.stream(Feed.count, 1000)
        numbers = await entered.__aenter__()
        await anext(numbers)
        if how == "return":
            return
        if how == "crash":
            raise ValueError
        await for_ever()

    pid = spawn(read)
    await wait_until_idle()
    if how == "kill":
        kill(pid)
    elif how == "exit":
        send_exit(pid, Exited("x"))
    await wait_until_idle()
    assert state_of(feed).log == ["closed"]
    assert await feed.call(Feed.ping) == "pong"


@pytest.mark.parametrize(
    ("how", "reason"), [("stop", Shutdown("x")), ("kill", Killed()), ("exit", Exited("x"))]
)
async def test_the_end_of_the_server_reaches_the_reader_after_what_has_arrived(
    how: str, reason: ExitReason
) -> None:
    """As ProcessDied with the server's reason."""
    feed = await Feed.child_spec().start()
    got: list[int] = []
    async with feed.stream(Feed.count, 1000) as numbers:
        await wait_until_idle()
        if how == "stop":
            await feed.stop(reason)
        elif how == "kill":
            kill(feed)
        else:
            send_exit(feed, reason)
        await wait_until_idle()
        with pytest.raises(ProcessDied) as caught:
            async for number in numbers:
                got.append(number)  # noqa: PERF401 - what came before the error counts
    assert got == list(range(CREDIT))
    assert (caught.value.operation, caught.value.reason) == ("stream", reason)


async def test_a_server_that_stops_itself_in_a_stream_ends_it() -> None:
    """What it has yielded before is read."""
    feed = await Feed.child_spec().start()
    got: list[str] = []
    with pytest.raises(ProcessDied) as caught:
        async with feed.stream(Feed.last_words) as words:
            async for word in words:
                got.append(word)  # noqa: PERF401 - as above
    assert (got, caught.value.reason) == (["first", "second"], Shutdown("done"))


async def test_stop_raised_in_a_stream_ends_the_server() -> None:
    """As in a concurrent handler."""
    feed = await Feed.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        async with feed.stream(Feed.broken, Stop(Shutdown("enough"))) as items:
            assert [await anext(items), await anext(items)] == [1, 2]
            await anext(items)
    assert caught.value.reason == Shutdown("enough")
