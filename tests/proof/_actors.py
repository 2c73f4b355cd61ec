"""Who lives in a storm: servers that wait for each other in all their handlers, and plain processes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from mabeam import (
    Caller,
    ExitSignal,
    GenServer,
    Ignore,
    continue_with,
    handle_call,
    handle_cast,
    handle_stream,
    idle_timeout,
    receive,
    reply_later,
    trap_exit,
)
from mabeam.kernel import current_process
from tests.proof._deeds import act
from tests.proof._world import Declared, World, pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mabeam import ExitReason

__all__ = ("Holder", "Polite", "Worker", "client", "stubborn")


class Worker(GenServer):
    """One handler of each kind."""

    def __init__(self, world: World, *, traps: bool = False, odd: bool = False) -> None:
        self.world = world
        self.odd = odd
        self.waiting: list[Caller[int]] = []
        if traps:
            trap_exit()
        if odd and world.happens(0.1):
            raise ValueError("in __init__")

    async def init(self) -> None:
        if self.odd:
            await act(self.world, 1)
            if self.world.happens(0.1):
                raise Ignore
            if self.world.happens(0.1):
                raise ValueError("in init")

    @handle_call
    def ping(self) -> str:
        return "pong"

    @handle_call
    async def work(self, depth: int) -> int:
        await act(self.world, depth)
        return depth

    @handle_call(concurrent=3, raises=(Declared,))
    async def beside(self, depth: int) -> int:
        await act(self.world, depth)
        if self.world.happens(0.2):
            raise Declared
        if self.world.happens(0.1):
            raise ValueError("beside")
        return depth

    @handle_call
    def fail(self) -> NoReturn:
        raise ValueError("fail")

    @handle_call(raises=(Declared,))
    def fail_politely(self) -> NoReturn:
        raise Declared

    @handle_call
    def later(self) -> int:
        return reply_later(self.waiting.append)

    @handle_call
    async def stubborn(self) -> None:
        """Never comes back, as a rule."""
        if self.world.happens(0.5):
            await stubborn()

    @handle_call(thread=True)
    def in_a_thread(self) -> int:
        return sum(range(1_000))

    @handle_cast
    def note(self) -> None:
        while self.waiting:
            self.waiting.pop().reply(1)
        if self.world.happens(0.2):
            continue_with("note")
        if self.world.happens(0.2):
            idle_timeout(0.05)

    @handle_cast
    async def note_slowly(self) -> None:
        await act(self.world, 2)

    @handle_stream
    async def rows(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            if self.world.happens(0.2):
                await pause(0.05)
            if self.world.happens(0.02):
                raise ValueError("rows")
            yield number

    async def handle_continue(self, argument: object, /) -> None:
        await pause(0.01)

    def handle_info(self, message: object, /) -> None:
        self.world.heard(message)


class Polite(Worker):
    """Takes its time to end, and does as much then as at other times."""

    async def terminate(self, reason: ExitReason, /) -> None:
        await pause(self.world.random.choice((0.0, 0.05, 0.5)))
        await act(self.world, 2)
        if self.world.happens(0.1):
            raise ValueError("in terminate")


class Holder(Worker):
    """Holds something for as long as it lives."""

    async def lifespan(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            background = group.create_task(self._background())
            if self.odd:
                await act(self.world, 2)
            try:
                yield
            finally:
                background.cancel()
            await pause(0.05)

    async def _background(self) -> None:
        while True:
            await pause(1.0)
            if self.odd and not self.world.calm and self.world.happens(0.1):
                raise ValueError("what was held is gone")


async def stubborn() -> None:
    """Swallows its cancellation for ever, and is frozen when its time is over."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()


async def client(world: World, *, traps: bool = False) -> None:
    """A plain process that goes on for as long as the storm does."""
    if traps:
        trap_exit()
    parent = current_process().parent
    while True:
        with suppress(TimeoutError):
            while True:
                message = await receive(timeout=None if world.calm else world.random.random() / 5)
                world.heard(message)
                if isinstance(message, ExitSignal) and parent is not None and message.pid is parent.pid:
                    return  # one that traps is told to end like this, and has to do it
        await act(world)
