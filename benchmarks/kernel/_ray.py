"""Ray: each actor is an OS process, reached through a store of objects that every process shares."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from benchmarks._rounds import check, resident_bytes

# Read when ray is imported: it is to tell nobody that it was used.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

AT_ONCE = 1_000


class Server:
    """Adds up."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    def pid(self) -> int:
        return os.getpid()

    def crash(self) -> None:
        os._exit(1)


class AsyncServer:
    """Adds up, in an event loop of its own."""

    def __init__(self) -> None:
        self.value = 0

    async def add(self, amount: int) -> int:
        self.value += amount
        return self.value


def _on_ray(body: Callable[[Rounds], Figures]) -> Callable[[Rounds], Figures]:
    def run(rounds: Rounds) -> Figures:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            return body(rounds)
        finally:
            ray.shutdown()

    return run


def _start(kind: type = Server, **options: Any) -> Any:
    return ray.remote(kind).options(num_cpus=0, **options).remote()


def _one_caller(kind: type) -> Callable[[Rounds], Figures]:
    def body(rounds: Rounds) -> Figures:
        server = _start(kind)
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    ray.get(server.add.remote(1))
        check("calls answered", ray.get(server.add.remote(0)), rounds.operations)
        return rounds.per_operation(elsewhere=True)

    return _on_ray(body)


def call_queued(rounds: Rounds) -> Figures:
    """As many at once from one caller."""
    rounds.note(f"{AT_ONCE:,} calls at once from one caller")
    server = _start()
    at_once = min(AT_ONCE, rounds.size)
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // at_once):
                ray.get([server.add.remote(1) for _ in range(at_once)])
    check("calls answered", ray.get(server.add.remote(0)), rounds.operations)
    return rounds.per_operation(elsewhere=True)


def call_behind(rounds: Rounds) -> Figures:
    """A call whose answer nobody awaits, and one whose answer is awaited."""
    server = _start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.add.remote(1)
                ray.get(server.add.remote(1))
    check("casts and calls taken", ray.get(server.add.remote(0)), 2 * rounds.operations)
    return rounds.per_operation(elsewhere=True)


def cast(rounds: Rounds) -> Figures:
    """Calls whose answers nobody awaits."""
    rounds.note("calls whose answers nobody awaits")
    server = _start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.add.remote(1)
            ray.get(server.add.remote(0))
    check("casts taken", ray.get(server.add.remote(0)), rounds.operations)
    return rounds.per_operation(elsewhere=True)


def start_supervised(rounds: Rounds) -> Figures:
    """Named actors that are restarted; started is one that answers."""
    rounds.note("an OS process for each; started is one that answers")
    for number in rounds:
        with rounds.timing():
            servers = []
            for each in range(rounds.size):
                server = _start(name=f"cell-{number}-{each}", max_restarts=-1)
                check("first answer", ray.get(server.add.remote(1)), 1)
                servers.append(server)
        for server in servers:
            ray.kill(server)
    return rounds.per_operation(elsewhere=True)


def memory_idle(rounds: Rounds) -> Figures:
    """The resident sets of the actors' OS processes, pages that they share counted for each."""
    rounds.note("resident set of the actor's own OS process, shared pages included")
    servers = [_start(name=f"cell-{number}", max_restarts=-1) for number in range(rounds.size)]
    pids = ray.get([server.pid.remote() for server in servers])
    check("OS processes", len(set(pids)), rounds.size)
    return {"value": [sum(resident_bytes(pid) for pid in pids) / rounds.size]}


def crash_restart(rounds: Rounds) -> Figures:
    """The OS process of the actor exits; an exception of a method does not end an actor."""
    rounds.note("its OS process exits: an exception only goes to the caller, and the actor lives on")
    server = _start(name="fragile", max_restarts=-1)
    ray.get(server.add.remote(1))
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                try:
                    ray.get(server.crash.remote())
                except ray.exceptions.RayActorError:
                    pass
                while True:
                    try:
                        value = ray.get(server.add.remote(1))
                    except ray.exceptions.RayActorError:
                        continue
                    check("first answer after a restart", value, 1)
                    break
    return rounds.per_operation(elsewhere=True)


def _same(item: int) -> int:
    return item


def async_stream(rounds: Rounds) -> Figures:
    """A window of remote functions."""
    same: Any = ray.remote(_same)
    figures: Figures = {f"at_{count}": [] for count in (1, 16, 64)}
    for _ in rounds:
        for count in (1, 16, 64):
            results: list[int] = []
            window: deque[Any] = deque()
            began = time.perf_counter()
            for item in range(rounds.size):
                if len(window) >= count:
                    results.append(ray.get(window.popleft()))
                window.append(same.remote(item))
            results.extend(ray.get(list(window)))
            figures[f"at_{count}"].append((time.perf_counter() - began) / rounds.size)
            check("results", results, list(range(rounds.size)))
    return {name: samples[1:] for name, samples in figures.items()}


MEASURES = {
    "call_idle": _one_caller(Server),
    "call_queued": _on_ray(call_queued),
    "call_behind": _on_ray(call_behind),
    "call_async": _one_caller(AsyncServer),
    "cast": _on_ray(cast),
    "start_supervised": _on_ray(start_supervised),
    "memory_idle": _on_ray(memory_idle),
    "crash_restart": _on_ray(crash_restart),
    "async_stream": _on_ray(async_stream),
}
