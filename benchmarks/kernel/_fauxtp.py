"""fauxtp: GenServers and supervisors on anyio."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import anyio
from fauxtp import ChildSpec, GenServer, Supervisor, call, cast

from benchmarks._rounds import check, resident_bytes
from benchmarks.kernel._asyncio_server import on_asyncio
from benchmarks.kernel._lateness import Lateness, all_busy, lateness_figures, ring_of, seconds_of_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

AT_ONCE = 1_000


class Server(GenServer):  # type: ignore[misc]  # the peer may not be installed where types are checked
    """Adds up. Its handlers are always async."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: tuple[str, int], _from: Any, state: int) -> tuple[int, int]:
        kind, amount = request
        if kind == "add_waiting":
            await asyncio.sleep(0)
        return state + amount, state + amount

    async def handle_cast(self, request: Any, state: int) -> int:
        if request == "crash":
            raise ValueError("as told")
        if isinstance(request, int):
            return state + request
        request()
        return state


def _one_caller(kind: str) -> Callable[[Rounds], Figures]:
    async def body(rounds: Rounds) -> Figures:
        async with anyio.create_task_group() as group:
            server = await Server.start(task_group=group)
            for _ in rounds:
                with rounds.timing():
                    for _ in range(rounds.size):
                        await call(server, (kind, 1))
            check("calls answered", await call(server, ("add", 0)), rounds.operations)
            group.cancel_scope.cancel()
        return rounds.per_operation()

    return on_asyncio(body)


async def call_queued(rounds: Rounds) -> Figures:
    """Tasks that call at the same time; they are made anew in each round."""
    callers = min(AT_ONCE, rounds.size)
    each = rounds.size // callers
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group)

        async def caller() -> None:
            for _ in range(each):
                await call(server, ("add", 1), timeout=60.0)

        for _ in rounds:
            with rounds.timing():
                await asyncio.gather(*(caller() for _ in range(callers)))
        check("calls answered", await call(server, ("add", 0)), rounds.operations)
        group.cancel_scope.cancel()
    return rounds.per_operation()


async def call_behind(rounds: Rounds) -> Figures:
    """A cast, and a call behind it."""
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await cast(server, 1)
                    await call(server, ("add", 1))
        check("casts and calls taken", await call(server, ("add", 0)), 2 * rounds.operations)
        group.cancel_scope.cancel()
    return rounds.per_operation()


async def casts(rounds: Rounds) -> Figures:
    """A burst of casts."""
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await cast(server, 1)
                await call(server, ("add", 0), timeout=60.0)
        check("casts taken", await call(server, ("add", 0)), rounds.operations)
        group.cancel_scope.cancel()
    return rounds.per_operation()


async def _supervised(count: int, group: Any) -> Any:
    """A supervisor with so many children, all of them up; its instance, which knows the registry."""
    made: list[Any] = []

    class Kept(Supervisor):  # type: ignore[misc]  # as above
        """``start_link`` makes the instance and does not show it."""

        def __init__(self, children: list[Any]) -> None:
            super().__init__(children)
            made.append(self)

    specs = [ChildSpec(Server, f"cell-{number}") for number in range(count)]
    await Kept.start_link(specs, task_group=group)
    while made[0].registry is None:  # noqa: ASYNC110  (it has no event to wait for)
        await asyncio.sleep(0)
    last = None
    while last is None:
        last = await call(made[0].registry, ("get", f"cell-{count - 1}"), timeout=60.0)
    check("last child answers", await call(last, ("add", 7), timeout=60.0), 7)
    return made[0]


async def start_supervised(rounds: Rounds) -> Figures:
    """A supervisor takes its children as a list, and starts them one by one."""
    rounds.note("all children in one list, since it takes no others; specs are not checked")
    for _ in rounds:
        async with anyio.create_task_group() as group:
            with rounds.timing():
                await _supervised(rounds.size, group)
            group.cancel_scope.cancel()
    return rounds.per_operation()


async def memory_idle(rounds: Rounds) -> Figures:
    """Children of one supervisor."""
    async with anyio.create_task_group() as group:
        before = resident_bytes()
        supervisor = await _supervised(rounds.size, group)
        grown = resident_bytes() - before
        check("children asked for", len(supervisor.childspecs), rounds.size)
        group.cancel_scope.cancel()
    return {"value": [grown / rounds.size]}


async def fan_out(rounds: Rounds) -> Figures:
    """A cast to each; each puts its answer into a queue."""
    async with anyio.create_task_group() as group:
        servers = [await Server.start(task_group=group) for _ in range(rounds.size)]
        answers: asyncio.Queue[int] = asyncio.Queue()
        for _ in rounds:
            total = 0
            with rounds.timing():
                for number, server in enumerate(servers):
                    await cast(server, lambda number=number: answers.put_nowait(number))
                for _ in servers:
                    total += await answers.get()
            check("sum of the answers", total, sum(range(rounds.size)))
        group.cancel_scope.cancel()
    return rounds.per_operation()


async def crash_restart(rounds: Rounds) -> Figures:
    """A caller is not told of the crash: it asks for the name until another server has it."""
    rounds.note(
        "crashes are not reported, and a caller hears of them by its timeout only; so the server is told by a cast"
    )
    for _ in rounds:
        async with anyio.create_task_group() as group:
            registry = (await _supervised(1, group)).registry
            old = await call(registry, ("get", "cell-0"))
            with rounds.timing():
                for _ in range(rounds.size):
                    await cast(old, "crash")
                    new = old
                    while new is None or new == old:
                        new = await call(registry, ("get", "cell-0"))
                    check("answer of the restarted server", await call(new, ("add", 1)), 1)
                    old = new
            group.cancel_scope.cancel()
    return rounds.per_operation()


async def stop_orderly(rounds: Rounds) -> Figures:
    """The task group that all are in is cancelled and left: a supervisor that is cancelled alone waits for its children."""
    rounds.note("the task group around them is cancelled")
    for _ in rounds:
        tasks = len(asyncio.all_tasks())
        async with anyio.create_task_group() as group:
            await _supervised(rounds.size, group)
            gc.collect()
            cpu, began = time.process_time(), time.perf_counter()
            group.cancel_scope.cancel()
        rounds.add(time.perf_counter() - began, time.process_time() - cpu)
        check("tasks left", len(asyncio.all_tasks()), tasks)
    return rounds.per_operation()


async def latency_under_load(rounds: Rounds) -> Figures:
    """A ring of the busy ones, with a message for each of them."""
    async with anyio.create_task_group() as group:
        busy = [await Server.start(task_group=group) for _ in range(rounds.size)][::10]
        tally = [0] * len(busy)
        following = dict(ring_of(len(busy)))

        def handing_on(number: int) -> Callable[[], None]:
            def hand_on() -> None:
                tally[number] += 1
                # As its put() does, which never waits; a handler that is no coroutine cannot await it.
                mailbox = busy[following[number]]._mailbox
                mailbox._buffer.append(("$cast", hand_ons[following[number]]))
                mailbox._signal.set()

            return hand_on

        hand_ons = [handing_on(number) for number in range(len(busy))]
        for server, hand_on in zip(busy, hand_ons, strict=True):
            await cast(server, hand_on)
        await all_busy(tally)
        lateness = Lateness()
        handed_on, began = sum(tally), time.perf_counter()
        lateness.start()
        await asyncio.sleep(seconds_of_load(rounds.size))
        lateness.stop()
        speed = (sum(tally) - handed_on) / (time.perf_counter() - began)
        group.cancel_scope.cancel()
    return lateness_figures(lateness.timer, lateness.pipe, speed)


MEASURES = {
    "call_idle": _one_caller("add"),
    "call_queued": on_asyncio(call_queued),
    "call_behind": on_asyncio(call_behind),
    "call_async": _one_caller("add"),
    "call_async_waits": _one_caller("add_waiting"),
    "cast": on_asyncio(casts),
    "start_supervised": on_asyncio(start_supervised),
    "memory_idle": on_asyncio(memory_idle),
    "fan_out": on_asyncio(fan_out),
    "crash_restart": on_asyncio(crash_restart),
    "stop_orderly": on_asyncio(stop_orderly),
    "latency_under_load": on_asyncio(latency_under_load),
}
