"""Callers: those that would wait for themselves, and those that give up."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from mabeam import (
    CallCycle,
    GenServer,
    ProcessDied,
    Ref,
    handle_call,
    handle_stream,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import for_ever, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Selfish(GenServer):
    """Calls itself."""

    def __init__(self, where: str) -> None:
        self.where = where

    @handle_call
    async def ask(self, me: Ref[Selfish]) -> object:
        if self.where == "call":
            return await me.call(Selfish.ask, me)
        if self.where == "stop":
            await me.stop()
        async with me.stream(Selfish.flow) as items:
            return [item async for item in items]

    @handle_stream
    async def flow(self) -> AsyncIterator[int]:
        yield 1


@pytest.mark.parametrize("where", ["call", "stop", "stream"])
async def test_a_server_that_would_wait_for_itself_gets_call_cycle(where: str) -> None:
    """At once, and not after a timeout; the path names it."""
    server = await Selfish.child_spec(where).start()
    with pytest.raises(ProcessDied) as caught:
        await server.options(timeout=math.inf).call(Selfish.ask, server)
    cycle = caught.value.__cause__
    assert isinstance(cycle, CallCycle)
    assert len(cycle.path) == 2
    assert asyncio.get_running_loop().time() == 0.0


async def test_terminate_cannot_wait_for_its_own_server() -> None:
    """It takes no more messages, so nothing would ever answer."""

    class Late(GenServer):
        async def terminate(self, reason: object) -> None:
            await late.options(timeout=None).call(Late.ping)

        @handle_call
        def ping(self) -> None: ...

    late = await Late.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await late.stop()
    assert isinstance(caught.value.__cause__, CallCycle)


async def test_a_caller_that_is_cancelled_stops_waiting_and_the_handler_goes_on() -> None:
    """The answer reaches nobody."""

    class Slow(GenServer):
        def __init__(self) -> None:
            self.done = 0
            self.gate = asyncio.Event()

        @handle_call
        async def work(self) -> int:
            await self.gate.wait()
            self.done += 1
            return self.done

    server = await Slow.start_link()
    task = asyncio.create_task(server.call(Slow.work))
    await wait_until_idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    state_of(server).gate.set()
    assert await server.call(Slow.work) == 2


async def test_a_caller_that_gives_up_before_its_message_is_taken_is_not_served() -> None:
    """There is nobody to answer, and nothing has begun."""

    class Busy(GenServer):
        def __init__(self) -> None:
            self.count = 0

        @handle_call
        async def block(self) -> None:
            await for_ever()

        @handle_call
        def work(self) -> int:
            self.count += 1
            return self.count

    server = await Busy.child_spec().start()
    blocked = asyncio.create_task(server.options(timeout=None).call(Busy.block))
    await wait_until_idle()
    with pytest.raises(TimeoutError):
        await server.options(timeout=1.0).call(Busy.work)
    assert state_of(server).count == 0
    blocked.cancel()
