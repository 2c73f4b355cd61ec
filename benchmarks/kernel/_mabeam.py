"""mabeam: starting, stopping, crashing, very many processes; calls and casts are in ``_mabeam_calls.py``."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn

import mabeam
from benchmarks._rounds import GcPauses, check, resident_bytes
from benchmarks.kernel import _mabeam_calls
from benchmarks.kernel._crash_log import MakesText, log_to
from benchmarks.kernel._lateness import Lateness, all_busy, lateness_figures, ring_of, seconds_of_load
from benchmarks.kernel._mabeam_calls import on_mabeam
from mabeam import (
    DynamicSupervisor,
    GenServer,
    NoSuchProcess,
    ProcessDied,
    Ref,
    Supervisor,
    TaskOk,
    TaskSupervisor,
    handle_call,
    handle_cast,
)

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

NO_LIMIT = 1_000_000_000


class Cell(GenServer):
    """One of very many."""

    def __init__(self, number: int) -> None:
        self.number = number

    @handle_call
    def read(self) -> int:
        return self.number

    @handle_call
    async def read_later(self) -> int:
        return self.number

    @handle_cast
    def ask(self, asker: mabeam.Pid) -> None:
        mabeam.send(asker, self.number)


class Fragile(GenServer):
    """Crashes when told to."""

    @handle_call
    def crash(self) -> None:
        raise ValueError("as told")

    @handle_call
    def ping(self) -> str:
        return "pong"


class Node(GenServer):
    """Hands on what it gets, without end."""

    def __init__(self, number: int, tally: list[int]) -> None:
        self.number = number
        self.tally = tally
        self.next: Ref[Node] | None = None

    @handle_call
    def follow_with(self, other: Ref[Node]) -> None:
        self.next = other

    @handle_cast
    def hand_on(self) -> None:
        self.tally[self.number] += 1
        if self.next is not None:
            self.next.cast(Node.hand_on)

    @handle_cast
    async def hand_on_later(self) -> None:
        await asyncio.sleep(0)
        self.tally[self.number] += 1
        if self.next is not None:
            self.next.cast(Node.hand_on_later)


async def _start(supervisor: Ref[Any], count: int, *, named: bool = True) -> list[Ref[Cell]]:
    refs: list[Ref[Cell]] = []
    for number in range(count):
        spec = Cell.child_spec(number)
        if named:
            spec = spec.named(f"cell-{number}")
        refs.append(await supervisor.call(DynamicSupervisor.start_child, spec))
    return refs


async def start_supervised(rounds: Rounds) -> Figures:
    """Children of a DynamicSupervisor, one after the other."""
    for _ in rounds:
        supervisor = await DynamicSupervisor.start_link()
        with rounds.timing():
            refs = await _start(supervisor, rounds.size)
        counts = await supervisor.call(DynamicSupervisor.count_children)
        check("children", counts.active, rounds.size)
        check(
            "last child", await mabeam.ref(f"cell-{rounds.size - 1}", Cell).call(Cell.read), rounds.size - 1
        )
        del refs
        await supervisor.stop()
    return rounds.per_operation()


async def memory_idle(rounds: Rounds) -> Figures:
    """The handles are given up, as a program that goes by names does."""
    supervisor = await DynamicSupervisor.start_link()
    await _start(supervisor, 100, named=False)
    before = resident_bytes()
    for number in range(rounds.size):
        await supervisor.call(DynamicSupervisor.start_child, Cell.child_spec(number).named(f"cell-{number}"))
    grown = resident_bytes() - before
    check("answer of one", await mabeam.ref("cell-77", Cell).call(Cell.read), 77)
    rounds.leave({"value": [grown / rounds.size]})


async def fan_out(rounds: Rounds) -> Figures:
    """A cast to each; each sends its answer."""
    supervisor = await DynamicSupervisor.start_link()
    refs = await _start(supervisor, rounds.size, named=False)
    main = mabeam.self_pid()
    for _ in rounds:
        total = 0
        with rounds.timing():
            for ref in refs:
                ref.cast(Cell.ask, main)
            for _ in refs:
                total += await mabeam.receive()
        check("sum of the answers", total, sum(range(rounds.size)))
    rounds.leave(rounds.per_operation())


def _crash_restart(handler: logging.Handler) -> Any:
    async def body(rounds: Rounds) -> Figures:
        log_to(handler, "mabeam")
        fragile = mabeam.ref("fragile", Fragile)
        for _ in rounds:
            supervisor = await Supervisor.start_link(
                [Fragile.child_spec().named("fragile")],
                strategy="one_for_one",
                max_restarts=NO_LIMIT,
                max_seconds=1.0,
            )
            pids = {fragile.pid}
            with rounds.timing():
                for _ in range(rounds.size):
                    await _crash_once(fragile)
                    pids.add(fragile.pid)
            check("processes that had the name", len(pids), rounds.size + 1)
            await supervisor.stop()
        return rounds.per_operation()

    return body


async def _crash_once(fragile: Ref[Fragile]) -> None:
    try:
        await fragile.call(Fragile.crash)
    except ProcessDied:
        pass
    while True:
        try:
            await fragile.call(Fragile.ping)
        except NoSuchProcess:
            await asyncio.sleep(0)
        else:
            return


async def stop_orderly(rounds: Rounds) -> Figures:
    """The supervisor is stopped with all its children."""
    for _ in rounds:
        supervisor = await DynamicSupervisor.start_link()
        refs = await _start(supervisor, rounds.size)
        with rounds.timing():
            await supervisor.stop()
        check("children alive", sum(ref.pid is not None and ref.pid.is_alive for ref in refs), 0)
    return rounds.per_operation()


async def million(rounds: Rounds) -> Figures:
    """Started one after the other, as everything is that a supervisor starts."""
    supervisor = await DynamicSupervisor.start_link()
    before = resident_bytes()
    pauses = GcPauses()
    some: list[Ref[Cell]] = []
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(rounds.size):
        ref = await supervisor.call(DynamicSupervisor.start_child, Cell.child_spec(number))
        if number % 1_000 == 0:
            some.append(ref)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    pause = pauses.longest
    grown = resident_bytes() - before
    counts = await supervisor.call(DynamicSupervisor.count_children)
    check("children alive", counts.active, rounds.size)
    check("answers", [await ref.call(Cell.read) for ref in some], list(range(0, rounds.size, 1_000)))
    rounds.leave({"seconds": [seconds], "cpu_seconds": [cpu_seconds], "bytes": [grown], "pause": [pause]})


async def _same(item: int) -> int:
    return item


async def async_stream(rounds: Rounds) -> Figures:
    """``TaskSupervisor.async_stream``."""
    tasks = await TaskSupervisor.start_link()
    figures: Figures = {f"at_{count}": [] for count in (1, 16, 64)}
    for _ in rounds:
        for count in (1, 16, 64):
            began = time.perf_counter()
            async with TaskSupervisor.async_stream(
                tasks, _same, range(rounds.size), max_concurrency=count
            ) as outcomes:
                results = [outcome async for outcome in outcomes]
            figures[f"at_{count}"].append((time.perf_counter() - began) / rounds.size)
            check("results", results, [TaskOk(number) for number in range(rounds.size)])
    return {name: samples[1:] for name, samples in figures.items()}


async def latency_under_load(rounds: Rounds) -> Figures:
    """A ring of the busy ones, with a message for each of them."""
    supervisor = await DynamicSupervisor.start_link()
    tally = [0] * (rounds.size // 10)
    nodes: list[Ref[Node]] = [
        await supervisor.call(DynamicSupervisor.start_child, Node.child_spec(number // 10, tally))
        for number in range(rounds.size)
    ]
    busy = nodes[::10]
    for number, following in ring_of(len(busy)):
        await busy[number].call(Node.follow_with, busy[following])
    for node in busy:
        node.cast(Node.hand_on)
    await _watch(rounds, tally)


async def latency_async_handlers(rounds: Rounds) -> Figures:
    """The same ring, of those whose handler is a coroutine."""
    tally = [0] * rounds.size
    busy = [await Node.start_link(number, tally) for number in range(rounds.size)]
    for number, following in ring_of(len(busy)):
        await busy[number].call(Node.follow_with, busy[following])
    for node in busy:
        node.cast(Node.hand_on_later)
    await _watch(rounds, tally)


async def latency_plain_processes(rounds: Rounds) -> Figures:
    """The same ring, of plain processes."""
    tally = [0] * rounds.size
    after = dict(ring_of(rounds.size))

    async def node(number: int) -> None:
        while True:
            message = await mabeam.receive()
            tally[number] += 1
            mabeam.send(pids[after[number]], message)

    pids = [mabeam.spawn(node, number) for number in range(rounds.size)]
    for pid in pids:
        mabeam.send(pid, "ball")
    await _watch(rounds, tally)


async def latency_callers(rounds: Rounds) -> Figures:
    """Processes that call servers without end."""
    tally = [0] * rounds.size
    servers = [await Cell.start_link(number) for number in range(rounds.size // 10)]

    async def caller(number: int) -> None:
        server = servers[number % len(servers)].options(timeout=None)
        while True:
            await server.call(Cell.read_later)
            tally[number] += 1

    for number in range(rounds.size):
        mabeam.spawn(caller, number)
    await _watch(rounds, tally)


async def _watch(rounds: Rounds, tally: list[int]) -> NoReturn:
    """See how late timers and I/O are while all that count in ``tally`` are busy, and leave."""
    await all_busy(tally)
    lateness = Lateness()
    handed_on, began = sum(tally), time.perf_counter()
    lateness.start()
    await asyncio.sleep(seconds_of_load(rounds.size))
    lateness.stop()
    speed = (sum(tally) - handed_on) / (time.perf_counter() - began)
    rounds.leave(lateness_figures(lateness.timer, lateness.pipe, speed))


MEASURES = {
    **_mabeam_calls.MEASURES,
    "start_supervised": on_mabeam(start_supervised),
    "memory_idle": on_mabeam(memory_idle),
    "fan_out": on_mabeam(fan_out),
    "crash_restart": on_mabeam(_crash_restart(logging.NullHandler())),
    "crash_restart_report": on_mabeam(_crash_restart(MakesText())),
    "stop_orderly": on_mabeam(stop_orderly),
    "million": on_mabeam(million),
    "async_stream": on_mabeam(async_stream),
    "latency_under_load": on_mabeam(latency_under_load),
    "latency_plain_processes": on_mabeam(latency_plain_processes),
    "latency_async_handlers": on_mabeam(latency_async_handlers),
    "latency_callers": on_mabeam(latency_callers),
}
