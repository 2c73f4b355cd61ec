"""Bare asyncio: what one writes by hand for a server, a task with a queue that answers through futures.

Nothing is supervised, named, bounded or checked here: it is the floor, not a competitor.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from benchmarks._rounds import GcPauses, check, resident_bytes
from benchmarks.kernel import _asyncio_crash
from benchmarks.kernel._asyncio_server import Server, on_asyncio
from benchmarks.kernel._lateness import Lateness, all_busy, lateness_figures, ring_of, seconds_of_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

CALLERS = 1_000
BARE = "neither supervised nor named"


def _one_caller(name: str) -> Callable[[Rounds], Figures]:
    async def body(rounds: Rounds) -> Figures:
        server = Server()
        handler = getattr(server, name)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await server.call(handler, 1)
        check("calls answered", server.value, rounds.operations)
        return rounds.per_operation()

    return on_asyncio(body)


async def call_concurrent(rounds: Rounds) -> Figures:
    """A task for each call."""
    server = Server()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                await server.call_beside(1)
    check("calls answered", server.value, rounds.operations)
    return rounds.per_operation()


async def call_queued(rounds: Rounds) -> Figures:
    """Many tasks that call at the same time; they are made anew in each round."""
    server = Server()
    callers = min(CALLERS, rounds.size)
    each = rounds.size // callers

    async def caller() -> None:
        for _ in range(each):
            await server.call(server.add, 1)

    for _ in rounds:
        with rounds.timing():
            await asyncio.gather(*(caller() for _ in range(callers)))
    check("calls answered", server.value, rounds.operations)
    return rounds.per_operation()


async def call_behind(rounds: Rounds) -> Figures:
    """A cast, and a call behind it."""
    server = Server()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.cast(server.add, 1)
                await server.call(server.add, 1)
    check("casts and calls taken", server.value, 2 * rounds.operations)
    return rounds.per_operation()


async def cast(rounds: Rounds) -> Figures:
    """A burst of casts."""
    server = Server()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.cast(server.add, 1)
            await server.call(server.add, 0)
    check("casts taken", server.value, rounds.operations)
    return rounds.per_operation()


async def memory_idle(rounds: Rounds) -> Figures:
    """Tasks that wait at their queues."""
    rounds.note(BARE)
    before = resident_bytes()
    servers = await _start(rounds.size)
    grown = resident_bytes() - before
    check("answer of one", await servers[77].call(servers[77].add, 1), 1)
    rounds.leave({"value": [grown / rounds.size]})


async def _start(count: int) -> list[Server]:
    servers = [Server() for _ in range(count)]
    await asyncio.sleep(0)  # now each of them waits at its queue
    return servers


async def fan_out(rounds: Rounds) -> Figures:
    """A message to each; each puts its answer into a queue."""
    servers = await _start(rounds.size)
    answers: asyncio.Queue[int] = asyncio.Queue()
    for _ in rounds:
        total = 0
        with rounds.timing():
            for number, server in enumerate(servers):
                server.cast(answers.put_nowait, number)
            for _ in servers:
                total += await answers.get()
        check("sum of the answers", total, sum(range(rounds.size)))
    rounds.leave(rounds.per_operation())


async def stop_orderly(rounds: Rounds) -> Figures:
    """All tasks are cancelled and waited for."""
    rounds.note(f"{BARE}: tasks are cancelled and waited for")
    for _ in rounds:
        servers = await _start(rounds.size)
        with rounds.timing():
            for server in servers:
                server.task.cancel()
            await asyncio.gather(*(server.task for server in servers), return_exceptions=True)
        check("tasks left", sum(not server.task.done() for server in servers), 0)
    return rounds.per_operation()


async def million(rounds: Rounds) -> Figures:
    """Tasks that wait at their queues."""
    rounds.note(BARE)
    before = resident_bytes()
    pauses = GcPauses()
    cpu, began = time.process_time(), time.perf_counter()
    servers = await _start(rounds.size)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    pause = pauses.longest
    grown = resident_bytes() - before
    some = servers[::1_000]
    check("answers", [await each.call(each.add, 1) for each in some], [1] * len(some))
    rounds.leave({"seconds": [seconds], "cpu_seconds": [cpu_seconds], "bytes": [grown], "pause": [pause]})


async def _same(item: int) -> int:
    return item


async def _stream(count: int, items: range) -> list[int]:
    """A window of tasks over the items; the results in order."""
    results: list[int] = []
    window: deque[asyncio.Task[int]] = deque()
    for item in items:
        if len(window) >= count:
            results.append(await window.popleft())
        window.append(asyncio.create_task(_same(item)))
    while window:
        results.append(await window.popleft())
    return results


async def async_stream(rounds: Rounds) -> Figures:
    """A window of tasks."""
    figures: Figures = {f"at_{count}": [] for count in (1, 16, 64)}
    for _ in rounds:
        for count in (1, 16, 64):
            began = time.perf_counter()
            results = await _stream(count, range(rounds.size))
            figures[f"at_{count}"].append((time.perf_counter() - began) / rounds.size)
            check("results", results, list(range(rounds.size)))
    return {name: samples[1:] for name, samples in figures.items()}


async def latency_under_load(rounds: Rounds) -> Figures:
    """A ring of the busy ones, with a message for each of them."""
    busy = (await _start(rounds.size))[::10]
    tally = [0] * len(busy)
    following = dict(ring_of(len(busy)))

    def hand_on(number: int) -> None:
        tally[number] += 1
        after = following[number]
        busy[after].cast(hand_on, after)

    for number, server in enumerate(busy):
        server.cast(hand_on, number)
    await all_busy(tally)
    lateness = Lateness()
    handed_on, began = sum(tally), time.perf_counter()
    lateness.start()
    await asyncio.sleep(seconds_of_load(rounds.size))
    lateness.stop()
    speed = (sum(tally) - handed_on) / (time.perf_counter() - began)
    rounds.leave(lateness_figures(lateness.timer, lateness.pipe, speed))


MEASURES = {
    **_asyncio_crash.MEASURES,
    "call_idle": _one_caller("add"),
    "call_queued": on_asyncio(call_queued),
    "call_behind": on_asyncio(call_behind),
    "call_async": _one_caller("add_async"),
    "call_async_waits": _one_caller("add_waiting"),
    "call_concurrent": on_asyncio(call_concurrent),
    "call_thread": _one_caller("add_in_thread"),
    "cast": on_asyncio(cast),
    "memory_idle": on_asyncio(memory_idle),
    "fan_out": on_asyncio(fan_out),
    "stop_orderly": on_asyncio(stop_orderly),
    "million": on_asyncio(million),
    "async_stream": on_asyncio(async_stream),
    "latency_under_load": on_asyncio(latency_under_load),
}
