"""Whoever waits for stops is seen to: ``why`` names what it waits for, and a cycle that it closes is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallCycle,
    DynamicSupervisor,
    GenServer,
    Ref,
    Supervisor,
    TaskOk,
    TaskSupervisor,
    handle_call,
    kill,
    ref,
    spawn,
    why,
)
from mabeam.kernel import trap_exit
from mabeam.testing import wait_until_idle
from tests.kernel._why_scenes import kinds
from tests.otp._servers import begun, clock, for_ever, pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HEARD: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    HEARD.clear()


class Asking(GenServer):
    """Asks its supervisor while it ends."""

    def __init__(self, kind: Any) -> None:
        trap_exit()
        self.kind = kind

    async def terminate(self, reason: object) -> None:
        try:
            await ref("top", self.kind).call(self.kind.which_children)
        except CallCycle:
            HEARD.append("cycle")


class Hanging(GenServer):
    """Does not end by itself."""

    def __init__(self) -> None:
        trap_exit()

    async def terminate(self, reason: object) -> None:
        await for_ever()


async def several(kind: Any, spec: Any) -> Ref[Any]:
    """A supervisor with two of them."""
    if kind is Supervisor:
        children = [spec.options(id=name) for name in ("first", "second")]
        return await Supervisor.child_spec(children, strategy="one_for_one").named("top").start()
    top = await DynamicSupervisor.child_spec().named("top").start()
    for _ in range(2):
        await top.call(DynamicSupervisor.start_child, spec)
    return top


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_child_that_ends_and_asks_its_supervisor(kind: Any) -> None:
    """Which waits for it, be it for all its children at once."""
    top = await several(kind, Asking.child_spec(kind))
    await top.stop()
    assert HEARD == ["cycle", "cycle"]
    assert clock().time() == 0.0


@pytest.mark.parametrize(
    ("kind", "what"), [(Supervisor, "Hanging (pid 3)"), (DynamicSupervisor, "Hanging (pid 2) and 1 more")]
)
async def test_the_children_that_do_not_end_are_named(kind: Any, what: str) -> None:
    """One after the other, or all at once."""
    top = await several(kind, Hanging.child_spec().options(shutdown=1.0))
    stopping = await begun(top.stop())
    answer = why("top")
    assert kinds(answer) == ["stop", "unknown"]
    assert answer.chain[0].what == f"(in terminate) waits for {what} to end"
    await stopping


async def clean_up(_item: int = 0) -> None:
    """Takes long to end."""
    try:
        await for_ever()
    finally:
        await for_ever()


async def first_of(outcomes: AsyncIterator[Any]) -> None:
    await anext(outcomes)


async def shut_down() -> None:
    task = await TaskSupervisor.start_task_nolink("tasks", clean_up)
    await pause(0.1)
    await task.shutdown(1.0)


async def leave_stream() -> None:
    async with TaskSupervisor.async_stream_nolink(
        "tasks", clean_up, [1], max_concurrency=1, timeout=None, shutdown=1.0
    ) as outcomes:
        reading = asyncio.create_task(first_of(outcomes))
        await pause(0.1)
        reading.cancel()


async def leave_items() -> None:
    async def items() -> AsyncIterator[int]:
        try:
            await for_ever()
            yield 1
        finally:
            await asyncio.get_running_loop().create_future()

    async with TaskSupervisor.async_stream_nolink("tasks", clean_up, items(), max_concurrency=1) as outcomes:
        reading = asyncio.create_task(first_of(outcomes))
        await pause(0.1)
        reading.cancel()


@pytest.mark.parametrize(
    ("leave", "first"), [(shut_down, "stop"), (leave_stream, "stop"), (leave_items, "stream")]
)
async def test_a_task_that_takes_long_to_end_is_named(
    leave: Callable[[], Awaitable[None]], first: str
) -> None:
    """Where it is shut down, and where a stream is left."""
    await TaskSupervisor.child_spec().named("tasks").start()
    pid = spawn(leave)
    await wait_until_idle()
    await clock().advance(0.5)
    answer = why(pid)
    assert kinds(answer) == [first, "unknown"]
    assert "which is being cancelled" in answer.root.what or first == "stream"
    kill(pid)
    await wait_until_idle()


class Owner(GenServer):
    """Shuts down a task that has asked it, and does not end for a signal."""

    @handle_call
    def who(self) -> str:
        return "owner"

    @handle_call(raises=(CallCycle,))
    async def shut_down(self, *, asks: bool) -> object:
        async def task() -> str:
            trap_exit()
            return await ref("owner", Owner).call(Owner.who) if asks else "value"

        started = await TaskSupervisor.start_task_nolink("tasks", task)
        await wait_until_idle()
        return await started.shutdown("infinity")


async def test_a_task_that_is_shut_down_and_waits_for_its_owner() -> None:
    """It would end when it has its answer."""
    await TaskSupervisor.child_spec().named("tasks").start()
    owner = await Owner.child_spec().named("owner").start()
    assert await owner.call(Owner.shut_down, asks=False) == TaskOk("value")
    with pytest.raises(CallCycle):
        await owner.options(timeout=None).call(Owner.shut_down, asks=True)
