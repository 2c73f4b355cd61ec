"""A handler that only looks for a task of its own closes no cycle; a call goes through many tasks of whom it calls only if it must."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from mabeam import GenServer, Ref, handle_call
from mabeam.kernel import _cycles
from mabeam.kernel._waits import awaits
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, pause, state_of


class Node(GenServer):
    """Calls others, in tasks that it does not wait for to their end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = asyncio.Event()
        self.heard: list[str] = []
        self.tasks: list[asyncio.Task[str]] = []

    @handle_call
    def who(self) -> str:
        return self.name

    @handle_call
    async def through(self, *route: Ref[Node]) -> str:
        """Ask the first of the route, which asks the next, and so on."""
        first, *rest = route
        return await (first.call(Node.through, *rest) if rest else first.call(Node.who))

    @handle_call
    async def look_for_task(self, how: str, *route: Ref[Node]) -> str:
        """Let a task have a while, and leave it alone when it needs longer."""
        asking = asyncio.create_task(self.through(*route))
        match how:
            case "wait":
                await asyncio.wait((asking,), timeout=1.0)
            case "wait for the first":
                await asyncio.wait((asking,), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            case _:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(asking), 1.0)
        assert not asking.done()
        asking.add_done_callback(lambda task: self.heard.append(task.result()))
        self.tasks = [asking]
        return "looked"

    @handle_call
    def what_it_heard(self) -> list[str]:
        return self.heard


@pytest.mark.parametrize("how", ["wait", "wait for the first", "limit of shield"])
async def test_a_task_that_is_left_to_itself_after_a_while_is_no_cycle(how: str) -> None:
    """It is answered when the handler that has looked for it is over."""
    first, second = await Node.start_link("first"), await Node.start_link("second")
    assert await first.call(Node.look_for_task, how, second, first) == "looked"
    await pause(1.0)
    assert await first.call(Node.what_it_heard) == ["first"]


async def test_the_tasks_that_a_server_waits_for_are_not_gone_through_when_none_can_lead_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There may be thousands, and each call to it would go through all."""

    class Gathering(Node):
        @handle_call
        async def gather(self) -> None:
            await asyncio.gather(*(self.gate.wait() for _ in range(100)))

    looked: list[object] = []

    def look(activation: Any) -> Any:
        looked.append(activation)
        return awaits(activation)

    monkeypatch.setattr(_cycles, "awaits", look)
    asking, gathering = await Node.start_link("asking"), await Gathering.start_link("gathering")
    first = await begun(gathering.call(Gathering.gather))
    await wait_until_idle()
    looked.clear()
    second = await begun(asking.call(Node.through, gathering))
    await wait_until_idle()
    assert len(looked) < 10
    state_of(gathering).gate.set()
    await first
    assert await second == "gathering"
