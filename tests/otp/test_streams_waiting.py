"""Who waits for whom in a stream: told by ``why``, and refused where neither could go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mabeam
from mabeam import CallCycle, GenServer, HandlerFailed, Ref, handle_call, handle_stream, self_pid, spawn, why
from mabeam.kernel import in_thread
from mabeam.testing import wait_until_idle
from tests.otp._feed import Feed
from tests.otp._servers import for_ever, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def read_all(feed: Ref[Feed]) -> None:
    async with feed.stream(Feed.wait_inside) as items:
        async for _ in items:
            pass


async def test_a_reader_waits_for_what_its_generator_waits_for() -> None:
    feed = await Feed.start_link()
    reader = spawn(read_all, feed)
    await wait_until_idle()
    answer = why(reader)
    assert [cause.kind for cause in answer.chain] == ["stream", "outside_lock"]
    assert "to make the next item of Feed.wait_inside" in answer.chain[0].what
    assert answer.root.pid == feed.pid


class Digest(GenServer):
    """Answers out of a stream of its own."""

    @handle_stream
    async def lines(self) -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    @handle_stream
    async def lines_of(self, other: Ref[Digest]) -> AsyncIterator[int]:
        async with other.stream(Digest.lines) as lines:
            async for line in lines:
                yield line


async def test_a_generator_far_enough_ahead_waits_for_its_reader() -> None:
    """Followed from somebody who waits for that generator."""
    source, digest = await Digest.start_link(), await Digest.start_link()

    async def keep() -> None:
        async with digest.stream(Digest.lines_of, source) as lines:
            await anext(lines)
            await in_thread(int)
            await for_ever()

    spawn(keep)
    await wait_until_idle()
    process = source.pid
    assert process is not None
    waits = [
        activation.waits_for
        for activation in process._process.activations or ()  # type: ignore[union-attr]  # alive
        if activation.waits_for is not None
    ]
    assert [wait.what for wait in waits] == ["to read on in Digest.lines"]
    assert [wait.process.pid for wait in waits] == [digest.pid]


class Loop(GenServer):
    """Reads what is made with its own help."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @handle_call
    def help(self) -> int:
        return 1

    @handle_call(raises=(HandlerFailed, CallCycle))
    async def read(self, maker: Ref[Maker]) -> list[int]:
        async with maker.stream(Maker.ask, mabeam.ref(self_pid(), Loop)) as items:
            await self.gate.wait()
            return [item async for item in items]


class Maker(GenServer):
    """Makes items with the help of somebody."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @handle_stream
    async def ask(self, helper: Ref[Loop]) -> AsyncIterator[int]:
        await self.gate.wait()
        yield await helper.options(timeout=None).call(Loop.help)


@pytest.mark.parametrize("first", ["reader", "generator"])
async def test_a_generator_that_needs_its_reader_is_told_or_else_its_reader(first: str) -> None:
    """Neither could go on: whoever begins to wait last is refused, be it the call or the read."""
    loop, maker = await Loop.start_link(), await Maker.start_link()
    gates = [state_of(loop).gate, state_of(maker).gate]
    reading = spawn_reader(loop, maker)
    for gate in gates if first == "reader" else reversed(gates):
        await wait_until_idle()
        gate.set()
    error = await reading
    cycle = error.__cause__ if first == "reader" else error
    assert isinstance(error, HandlerFailed if first == "reader" else CallCycle)
    assert isinstance(cycle, CallCycle)
    assert len(cycle.path) == 3


def spawn_reader(loop: Ref[Loop], maker: Ref[Maker]) -> asyncio.Future[BaseException]:
    """What the reading ends with."""
    future: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        try:
            await loop.options(timeout=None).call(Loop.read, maker)
        except Exception as error:
            future.set_result(error)

    spawn(read)
    return future
