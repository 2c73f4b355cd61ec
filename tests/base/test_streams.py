"""Streams that are given up in one step."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mabeam._base import SocketStream, open_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[SocketStream, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream, and its other side."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
        asyncio.get_running_loop().create_future()
    )
    server = await asyncio.start_server(lambda *ends: accepted.set_result(ends), "127.0.0.1", 0)
    lost = asyncio.Event()
    stream = await open_stream(
        "127.0.0.1", server.sockets[0].getsockname()[1], tls=None, server_name=None, timeout=5.0
    )
    stream.on_lost = lost.set
    reader, writer = await accepted
    try:
        yield stream, reader, writer
    finally:
        stream.abort()
        await lost.wait()
        assert stream.is_lost
        writer.transport.abort()
        server.close()
        await reader.read()


async def test_what_comes_is_read_in_pieces_that_are_no_larger_than_asked() -> None:
    """In order, to the end; and counted."""
    async with pair() as (stream, _, writer):
        writer.write(b"abcdef")
        assert await stream.read(4, 5.0) == b"abcd"
        assert stream.is_at_end  # nobody asked for more
        assert await stream.read(4, 5.0) == b"ef"
        assert not stream.is_at_end
        writer.close()
        assert await stream.read(4, None) == b""
        assert stream.is_ended
        assert stream.read_bytes == 6


async def test_a_read_that_is_cancelled_or_late_loses_nothing() -> None:
    """What comes afterwards is the next one's."""
    async with pair() as (stream, _, writer):
        with pytest.raises(TimeoutError):
            await stream.read(10, 0.01)
        task = asyncio.ensure_future(stream.read(10, None))
        await asyncio.wait([asyncio.ensure_future(_nothing())])
        task.cancel()
        await asyncio.wait([task])
        writer.write(b"later")
        assert await stream.read(10, 5.0) == b"later"


async def _nothing() -> None:
    return


async def test_a_slow_receiver_is_waited_for_by_all_who_write() -> None:
    """One that gives up does not stop the others."""
    async with pair() as (stream, reader, _):
        block = b"x" * 30_000_000
        writing = asyncio.ensure_future(stream.write(block, None))
        await asyncio.wait([asyncio.ensure_future(_nothing())])
        with pytest.raises(TimeoutError):
            await stream.write(b"y", 0.01)
        assert not writing.done()
        assert len(await reader.readexactly(len(block) + 1)) == len(block) + 1
        await writing
        assert stream.written_bytes == len(block) + 1


@pytest.mark.parametrize("what", ["read", "write"])
async def test_whoever_waits_is_told_when_it_is_given_up(what: str) -> None:
    """And so is who comes later."""
    async with pair() as (stream, _, _writer):
        act: Callable[[], Awaitable[object]] = (
            (lambda: stream.read(1, None))
            if what == "read"
            else (lambda: stream.write(b"x" * 30_000_000, None))
        )
        waiting = asyncio.ensure_future(act())
        await asyncio.wait([asyncio.ensure_future(_nothing())])
        stream.abort()
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        assert outcome == b"" if what == "read" else isinstance(outcome, OSError)
        with pytest.raises(OSError, match="closed"):
            await stream.write(b"x", None)
        assert await stream.read(1, None) == b""


async def test_a_reset_by_the_other_side_is_told() -> None:
    """As an error, or as the end, as the system reports it."""
    async with pair() as (stream, _, writer):
        await stream.write(b"unread", 5.0)
        await asyncio.wait([asyncio.ensure_future(_nothing())])
        writer.transport.abort()
        try:
            assert await stream.read(1, 5.0) == b""
        except OSError as error:
            assert not isinstance(error, TimeoutError)  # noqa: PT017 - both ends are right
