"""Bare asyncio: a server written by hand, a task with a queue that answers through futures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from benchmarks._rounds import Figures, Rounds

__all__ = ("Server", "on_asyncio")

Request: TypeAlias = "tuple[Callable[[int], Any], int, asyncio.Future[int] | None]"


class Server:
    """An object, a queue, and a task that takes requests from it."""

    def __init__(self) -> None:
        self.value = 0
        self.queue: asyncio.Queue[Request] = asyncio.Queue()
        self.task = asyncio.create_task(self._serve())
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: ThreadPoolExecutor | None = None

    async def _serve(self) -> None:
        while True:
            handler, amount, answer = await self.queue.get()
            value = handler(amount)
            if isinstance(value, Awaitable):
                value = await value
            if answer is not None and not answer.done():
                answer.set_result(value)

    async def call(self, handler: Callable[[int], Any], amount: int) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((handler, amount, answer))
        return await answer

    async def call_beside(self, amount: int) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def beside() -> None:
            answer.set_result(await self.add_async(amount))

        def start(_amount: int) -> None:
            task = asyncio.create_task(beside())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.queue.put_nowait((start, amount, None))
        return await answer

    def cast(self, handler: Callable[[int], Any], amount: int) -> None:
        self.queue.put_nowait((handler, amount, None))

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    async def add_async(self, amount: int) -> int:
        return self.add(amount)

    async def add_waiting(self, amount: int) -> int:
        await asyncio.sleep(0)
        return self.add(amount)

    async def add_in_thread(self, amount: int) -> int:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(4)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.add, amount)


def on_asyncio(body: Callable[[Rounds], Coroutine[Any, Any, Figures]]) -> Callable[[Rounds], Figures]:
    """The measure that runs ``body`` in uvloop where it is installed, else in the standard loop."""

    def run(rounds: Rounds) -> Figures:
        try:
            import uvloop  # noqa: PLC0415  (optional, and hidden from one of the two subjects)
        except ImportError:
            factory = asyncio.new_event_loop
        else:
            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(body(rounds))

    return run
