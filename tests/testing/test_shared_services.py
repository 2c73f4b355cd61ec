"""A handler of a shared service that waits for somebody else fails the test in which it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import GenServer, Lock, Ref, get_state, handle_call, spawn
from mabeam.testing import VirtualLoop
from mabeam.testing._session import LoopSession, UnhandledError
from tests.otp._servers import pause


class Other(GenServer):
    @handle_call
    async def ask(self) -> int:
        return 1

    @handle_call
    async def ask_late(self) -> int:
        await pause(2.0)
        return 1


class Unshared(GenServer):
    def __init__(self, other: Ref[Other]) -> None:
        self.other = other

    @handle_call
    async def wait(self) -> int:
        return await self.other.call(Other.ask)

    @handle_call(concurrent=2)
    async def wait_beside(self) -> int:
        return await self.other.call(Other.ask)


class Service(Unshared, shared=True):
    """The same, for many."""


class Waits(GenServer, shared=True):
    """In all the ways there are."""

    def __init__(self, other: Ref[Other]) -> None:
        self.other = other

    @handle_call
    async def in_gather(self) -> int:
        return (await asyncio.gather(self.other.call(Other.ask)))[0]

    @handle_call
    async def in_task(self) -> int:
        return await asyncio.create_task(self.other.call(Other.ask))

    @handle_call
    async def in_limit(self) -> int:
        return await asyncio.wait_for(self.other.call(Other.ask), 10.0)

    @handle_call
    async def in_group(self) -> int:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self.other.call(Other.ask))
        return asking.result()

    @handle_call
    async def in_a_task_made_before(self) -> int:
        asking = asyncio.create_task(self.other.call(Other.ask_late))
        await pause(1.0)
        return await asking

    @handle_call
    async def in_a_group_after_a_pause(self) -> int:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self.other.call(Other.ask_late))
            await pause(1.0)
        return asking.result()

    @handle_call
    async def for_whichever_comes_first(self) -> int:
        asking = [asyncio.create_task(self.other.call(Other.ask_late)) for _ in range(2)]
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    @handle_call
    async def for_a_task_of_a_task(self) -> int:
        async def inner() -> int:
            return (await asyncio.gather(self.other.call(Other.ask)))[0]

        return await asyncio.shield(asyncio.create_task(inner()))

    @handle_call
    async def for_a_state(self) -> int:
        await get_state(self.other)
        return 1

    @handle_call
    async def for_a_start(self) -> int:
        await Slow.start_link()
        return 1

    @handle_call
    async def for_an_end(self) -> int:
        await self.other.stop()
        return 1

    @handle_call
    async def for_a_lock(self) -> int:
        holding = spawn(hold)
        await pause(1.0)
        async with LOCK:
            return int(not holding.is_alive)

    @handle_call
    async def beside(self) -> int:
        """In a task that nobody waits for."""
        asking = asyncio.create_task(self.other.call(Other.ask))
        await pause(1.0)
        return asking.result()


class Slow(GenServer):
    async def init(self) -> None:
        await pause(1.0)


LOCK = Lock("door")


async def hold() -> None:
    async with LOCK:
        await pause(5.0)


def run(server: Any, handler: Any) -> LoopSession:
    async def test() -> None:
        service = await server.start_link(await Other.start_link())
        assert await service.options(timeout=None).call(handler) == 1

    session = LoopSession(VirtualLoop)
    session.run(test)
    return session


def test_a_serial_handler_of_a_shared_service_must_not_wait() -> None:
    session = run(Service, Service.wait)
    with pytest.raises(UnhandledError) as caught:
        session.close()
    (problem,) = caught.value.problems
    assert problem.startswith(
        "Service (pid 2) is a shared service (shared=True), and one of its handlers waited for Other"
    )
    assert "to answer Other.ask" in problem


@pytest.mark.parametrize(
    ("handler", "what"),
    [
        (Waits.in_gather, "to answer Other.ask"),
        (Waits.in_task, "to answer Other.ask"),
        (Waits.in_limit, "to answer Other.ask"),
        (Waits.in_group, "to answer Other.ask"),
        (Waits.in_a_task_made_before, "to answer Other.ask_late"),
        (Waits.in_a_group_after_a_pause, "to answer Other.ask_late"),
        (Waits.for_whichever_comes_first, "to answer Other.ask_late"),
        (Waits.for_a_task_of_a_task, "to answer Other.ask"),
        (Waits.for_a_state, "to answer get_state"),
        (Waits.for_an_end, "to end"),
        (Waits.for_a_lock, "to release the door"),
    ],
)
def test_nor_in_any_other_way(handler: Any, what: str) -> None:
    session = run(Waits, handler)
    with pytest.raises(UnhandledError) as caught:
        session.close()
    assert any(what in problem for problem in caught.value.problems)


@pytest.mark.parametrize("handler", [Waits.beside, Waits.for_a_start])
def test_a_task_that_its_handler_does_not_wait_for_and_a_start_may(handler: Any) -> None:
    run(Waits, handler).close()


@pytest.mark.parametrize(("server", "handler"), [(Service, Service.wait_beside), (Unshared, Unshared.wait)])
def test_others_may(server: type[Unshared], handler: Any) -> None:
    run(server, handler).close()
