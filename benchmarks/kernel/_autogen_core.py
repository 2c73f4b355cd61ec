"""AutoGen Core: agents of one runtime that share a queue; each message is handled in a task of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)

from benchmarks._rounds import check, resident_bytes
from benchmarks.kernel._asyncio_server import on_asyncio

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)

AT_ONCE = 1_000


@dataclass
class Add:
    """Add so much and answer."""

    amount: int


@dataclass
class AddWaiting:
    """The same, letting the others have their turn."""

    amount: int


@dataclass
class Sum:
    """What it has come to."""

    value: int


class Server(RoutedAgent):  # type: ignore[misc]  # the peer may not be installed where types are checked
    """Adds up."""

    def __init__(self) -> None:
        super().__init__("adds up")
        self.value = 0

    @message_handler  # type: ignore[untyped-decorator]  # as above
    async def add(self, message: Add, ctx: MessageContext) -> Sum:
        self.value += message.amount
        return Sum(self.value)

    @message_handler  # type: ignore[untyped-decorator]  # as above
    async def add_waiting(self, message: AddWaiting, ctx: MessageContext) -> Sum:
        await asyncio.sleep(0)
        self.value += message.amount
        return Sum(self.value)


async def _started() -> Any:
    """A runtime that makes a server when it is first sent something; casts are published to a topic."""
    runtime = SingleThreadedAgentRuntime()
    await Server.register(runtime, "server", Server)
    await runtime.add_subscription(TypeSubscription(topic_type="casts", agent_type="server"))
    runtime.start()
    return runtime


def _one_caller(kind: type) -> Callable[[Rounds], Figures]:
    async def body(rounds: Rounds) -> Figures:
        runtime, server = await _started(), AgentId("server", "one")
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await runtime.send_message(kind(1), server)
        check("calls answered", (await runtime.send_message(Add(0), server)).value, rounds.operations)
        return rounds.per_operation()

    return on_asyncio(body)


async def call_queued(rounds: Rounds) -> Figures:
    """Tasks that call at the same time; they are made anew in each round."""
    runtime, server = await _started(), AgentId("server", "one")
    callers = min(AT_ONCE, rounds.size)
    each = rounds.size // callers

    async def caller() -> None:
        for _ in range(each):
            await runtime.send_message(Add(1), server)

    for _ in rounds:
        with rounds.timing():
            await asyncio.gather(*(caller() for _ in range(callers)))
    check("calls answered", (await runtime.send_message(Add(0), server)).value, rounds.operations)
    return rounds.per_operation()


async def cast(rounds: Rounds) -> Figures:
    """Messages published to a topic that one agent has subscribed to."""
    rounds.note("published to a topic with one subscriber, until the runtime is idle")
    runtime, server, topic = await _started(), AgentId("server", "one"), TopicId("casts", "one")
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                await runtime.publish_message(Add(1), topic)
            await runtime.stop_when_idle()
        runtime.start()
    check("casts taken", (await runtime.send_message(Add(0), server)).value, rounds.operations)
    return rounds.per_operation()


async def memory_idle(rounds: Rounds) -> Figures:
    """Agents that were sent one message each, which is what makes them."""
    rounds.note("not supervised; its id is its name")
    runtime = await _started()
    await _call_each(runtime, 100, "warm")
    before = resident_bytes()
    values = await _call_each(runtime, rounds.size, "cell")
    del values
    grown = resident_bytes() - before
    answer = await runtime.send_message(Add(1), AgentId("server", "cell-77"))
    check("answer of one", answer.value, 2)
    rounds.leave({"value": [grown / rounds.size]})


async def _call_each(runtime: Any, count: int, prefix: str) -> list[int]:
    ids = [AgentId("server", f"{prefix}-{number}") for number in range(count)]
    values = []
    for begin in range(0, count, AT_ONCE):
        sums = await asyncio.gather(
            *(runtime.send_message(Add(1), each) for each in ids[begin : begin + AT_ONCE])
        )
        values += [each.value for each in sums]
    return values


async def fan_out(rounds: Rounds) -> Figures:
    """A call of each, 1,000 at once."""
    rounds.note(f"calls, {AT_ONCE:,} at once")
    runtime = await _started()
    for number in rounds:
        if number == 0:
            await _call_each(runtime, rounds.size, "cell")
        with rounds.timing():
            values = await _call_each(runtime, rounds.size, "cell")
        check("answers", values, [number + 2] * rounds.size)
    rounds.leave(rounds.per_operation())


MEASURES = {
    "call_idle": _one_caller(Add),
    "call_queued": on_asyncio(call_queued),
    "call_async": _one_caller(Add),
    "call_async_waits": _one_caller(AddWaiting),
    "cast": on_asyncio(cast),
    "memory_idle": on_asyncio(memory_idle),
    "fan_out": on_asyncio(fan_out),
}
