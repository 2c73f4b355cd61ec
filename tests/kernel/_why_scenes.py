"""What the tests of ``why`` plant: a server that can be kept busy in many ways, and those who ask it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Caller,
    GenServer,
    ProcessDied,
    Ref,
    Why,
    handle_call,
    reply_later,
    spawn,
)
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    import threading

    from mabeam import Pid


class Worker(GenServer):
    """Can be kept busy in many ways."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.kept: list[Caller[None]] = []

    @handle_call
    async def hold(self) -> None:
        await self.gate.wait()

    @handle_call
    def ping(self) -> None:
        return None

    @handle_call
    async def ask(self, other: Ref[Any]) -> None:
        await other.options(timeout=None).call(Worker.ping)

    @handle_call
    async def ask_in_task(self, other: Ref[Any], *further: Ref[Any]) -> None:
        """In a way that the check for cycles does not see through: a queue that anybody might put something into."""
        method, arguments = (Worker.ask_in_task, further) if further else (Worker.ping, ())
        for call in asyncio.as_completed([other.options(timeout=None).call(method, *arguments)]):
            with pytest.raises(ProcessDied):
                await call

    @handle_call
    def keep(self) -> None:
        return reply_later(self.kept.append)

    @handle_call(thread=True)
    def block_thread(self, begun: threading.Event, release: threading.Event) -> None:
        stuck_in_thread(begun, release)


def stuck_in_thread(begun: threading.Event, release: threading.Event) -> None:
    begun.set()
    release.wait()


def kinds(answer: Why) -> list[str]:
    return [cause.kind for cause in answer.chain]


def asker(server: Ref[Any], method: Any, *args: Any) -> Pid:
    """A process that calls and waits without limit."""

    async def ask() -> None:
        await server.options(timeout=None).call(method, *args)

    return spawn(ask)


async def busy() -> tuple[Ref[Worker], Pid]:
    """A worker that is in the middle of something, and who has asked for it."""
    worker = await Worker.start_link()
    first = asker(worker, Worker.hold)
    await wait_until_idle()
    return worker, first
