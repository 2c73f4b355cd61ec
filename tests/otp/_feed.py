"""A server with streams, for their tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mabeam import (
    ExitReason,
    GenServer,
    handle_call,
    handle_stream,
    stop_self,
)
from mabeam.kernel import Shutdown
from tests.otp._servers import for_ever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Feed(GenServer):
    """Counts, and keeps a log of what its generators came to."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.log: list[str] = []
        self.gate = asyncio.Event()

    @handle_stream
    async def count(self, limit: int) -> AsyncIterator[int]:
        try:
            for number in range(limit):
                self.made.append(number)
                yield number
            self.log.append("finished")
        finally:
            self.log.append("closed")

    @handle_stream
    async def wait_inside(self) -> AsyncIterator[int]:
        try:
            yield 1
            await self.gate.wait()
            yield 2
        finally:
            self.log.append("closed")

    @handle_stream
    async def broken(self, error: BaseException) -> AsyncIterator[int]:
        yield 1
        yield 2
        raise error

    @handle_stream
    async def broken_at_once(self) -> AsyncIterator[int]:
        raise ValueError("at once")
        yield 1

    @handle_stream
    async def stubborn(self) -> AsyncIterator[int]:
        number = 0
        while True:
            try:
                number += 1
                yield number
                await for_ever()
            except asyncio.CancelledError:
                self.log.append("swallowed")

    @handle_stream
    async def last_words(self) -> AsyncIterator[str]:
        yield "first"
        stop_self(Shutdown("done"))
        yield "second"
        await for_ever()

    @handle_call
    async def block(self) -> None:
        await self.gate.wait()

    @handle_call
    def ping(self) -> str:
        return "pong"

    def terminate(self, reason: ExitReason) -> None:
        self.log.append("terminate")
