"""mabeam: calls and casts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import mabeam
from benchmarks._rounds import check
from mabeam import GenServer, Ref, handle_call, handle_cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES", "on_mabeam")

CALLERS = 1_000


class Server(GenServer):
    """Adds up."""

    def __init__(self) -> None:
        self.value = 0

    @handle_call
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_call
    async def add_async(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_call
    async def add_waiting(self, amount: int) -> int:
        await asyncio.sleep(0)
        self.value += amount
        return self.value

    @handle_call(concurrent=16)
    async def add_beside(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_call(thread=True)
    def add_in_thread(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_cast
    def increase(self, amount: int) -> None:
        self.value += amount


def on_mabeam(body: Callable[[Rounds], Coroutine[Any, Any, Figures]]) -> Callable[[Rounds], Figures]:
    """The measure that runs ``body`` as the main process of a program."""
    return lambda rounds: mabeam.run(body, rounds)


def one_caller(method: Any) -> Callable[[Rounds], Figures]:
    """One caller, one call after the other."""

    async def body(rounds: Rounds) -> Figures:
        server = await Server.start_link()
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await server.call(method, 1)
        check("calls answered", await server.call(Server.add, 0), rounds.operations)
        return rounds.per_operation()

    return on_mabeam(body)


async def call_queued(rounds: Rounds) -> Figures:
    """Many callers at the same time."""
    server = await Server.start_link()
    callers = min(CALLERS, rounds.size)
    each = rounds.size // callers
    check("calls shared out evenly", each * callers, rounds.size)
    main = mabeam.self_pid()
    pids = [mabeam.spawn_link(_caller, server, each, main) for _ in range(callers)]
    for _ in rounds:
        with rounds.timing():
            for pid in pids:
                mabeam.send(pid, "go")
            for _ in pids:
                await mabeam.receive()
    check("calls answered", await server.call(Server.add, 0), rounds.operations)
    return rounds.per_operation()


async def _caller(server: Ref[Server], count: int, main: mabeam.Pid) -> None:
    while True:
        await mabeam.receive()
        for _ in range(count):
            await server.call(Server.add, 1)
        mabeam.send(main, "done")


async def call_behind(rounds: Rounds) -> Figures:
    """A cast, and a call behind it."""
    server = await Server.start_link()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.cast(Server.increase, 1)
                await server.call(Server.add, 1)
    check("casts and calls taken", await server.call(Server.add, 0), 2 * rounds.operations)
    return rounds.per_operation()


async def cast(rounds: Rounds) -> Figures:
    """A burst of casts."""
    server = await Server.start_link()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.cast(Server.increase, 1)
            await server.call(Server.add, 0)
    check("casts taken", await server.call(Server.add, 0), rounds.operations)
    return rounds.per_operation()


MEASURES = {
    "call_idle": one_caller(Server.add),
    "call_queued": on_mabeam(call_queued),
    "call_behind": on_mabeam(call_behind),
    "call_async": one_caller(Server.add_async),
    "call_async_waits": one_caller(Server.add_waiting),
    "call_concurrent": one_caller(Server.add_beside),
    "call_thread": one_caller(Server.add_in_thread),
    "cast": on_mabeam(cast),
}
