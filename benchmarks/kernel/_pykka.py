"""Pykka: each actor is a thread, a call is a message whose answer is a blocking future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka

from benchmarks._rounds import check, resident_bytes

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

AT_ONCE = 1_000


class Server(pykka.ThreadingActor):  # type: ignore[misc]  # the peer may not be installed where types are checked
    """Adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    def on_receive(self, message: int) -> int:
        self.value += message
        return self.value


def call_idle(rounds: Rounds) -> Figures:
    """``ask`` of one actor."""
    server = Server.start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.ask(1)
    check("calls answered", server.ask(0), rounds.operations)
    server.stop()
    return rounds.per_operation()


def call_queued(rounds: Rounds) -> Figures:
    """As many asked at once from one thread: a thread for each caller would measure threads."""
    rounds.note(f"{AT_ONCE:,} calls at once from one thread")
    server = Server.start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size // AT_ONCE):
                pykka.get_all([server.ask(1, block=False) for _ in range(AT_ONCE)])
    check("calls answered", server.ask(0), rounds.operations)
    server.stop()
    return rounds.per_operation()


def call_behind(rounds: Rounds) -> Figures:
    """``tell`` and ``ask``."""
    server = Server.start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.tell(1)
                server.ask(1)
    check("casts and calls taken", server.ask(0), 2 * rounds.operations)
    server.stop()
    return rounds.per_operation()


def cast(rounds: Rounds) -> Figures:
    """``tell``."""
    server = Server.start()
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                server.tell(1)
            server.ask(0)
    check("casts taken", server.ask(0), rounds.operations)
    server.stop()
    return rounds.per_operation()


def memory_idle(rounds: Rounds) -> Figures:
    """Threads that wait at their queues."""
    rounds.note("neither supervised nor named; a thread each")
    before = resident_bytes()
    servers = [Server.start() for _ in range(rounds.size)]
    grown = resident_bytes() - before
    check("answer of one", servers[7].ask(1), 1)
    rounds.leave({"value": [grown / rounds.size]})


def fan_out(rounds: Rounds) -> Figures:
    """``ask`` all, then wait for all."""
    servers: list[Any] = [Server.start() for _ in range(rounds.size)]
    for _ in rounds:
        with rounds.timing():
            answers = pykka.get_all([server.ask(1, block=False) for server in servers])
        check("answers", len(answers), rounds.size)
    rounds.leave(rounds.per_operation())


def stop_orderly(rounds: Rounds) -> Figures:
    """``ActorRegistry.stop_all``."""
    rounds.note("unsupervised actors, stopped through the registry")
    for _ in rounds:
        for _ in range(rounds.size):
            Server.start()
        with rounds.timing():
            pykka.ActorRegistry.stop_all(block=True)
        check("actors left", len(pykka.ActorRegistry.get_all()), 0)
    return rounds.per_operation()


MEASURES = {
    "call_idle": call_idle,
    "call_queued": call_queued,
    "call_behind": call_behind,
    "cast": cast,
    "memory_idle": memory_idle,
    "fan_out": fan_out,
    "stop_orderly": stop_orderly,
}
