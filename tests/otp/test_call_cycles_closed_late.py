"""Cycles that close when a handler begins to wait for a task, which has asked somebody else before."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from mabeam import CallCycle, GenServer, Lock, Ref, handle_call, handle_stream, ref, spawn
from tests.otp._servers import pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Asked(GenServer):
    """Asks the other back."""

    def __init__(self) -> None:
        self.asked = 0

    @handle_call(raises=(CallCycle,))
    async def back(self) -> str:
        return await ref("first", First).call(First.ping)

    @handle_call(raises=(CallCycle,))
    async def back_and_on(self) -> str:
        try:
            return await ref("first", First).call(First.ping)
        except CallCycle:
            return "refused"

    @handle_stream
    async def items(self) -> AsyncIterator[int]:
        yield 1


class First(GenServer):
    """Has a task ask, does something else, and waits for the task only then."""

    def __init__(self) -> None:
        self.pings = 0
        self.outcome: object = None

    @handle_call
    def ping(self) -> str:
        self.pings += 1
        return "pong"

    @handle_call
    def seen(self) -> tuple[int, object]:
        return self.pings, self.outcome

    @handle_call(raises=(CallCycle, ExceptionGroup))
    async def waits(self, how: str, method: Any) -> Any:
        asks = ref("second", Asked).call(method)
        if how == "group":
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asks)
                await pause(1.0)
            return task.result()
        if how == "anyio group":
            got: list[Any] = []

            async def ask() -> None:
                got.append(await asks)

            async with anyio.create_task_group() as many:
                many.start_soon(ask)
                await pause(1.0)
            return got[0]
        task = asyncio.create_task(asks)
        await pause(1.0)
        match how:
            case "task":
                return await task
            case "gather":
                return (await asyncio.gather(task, pause(0.5)))[0]
            case "shield":
                return await asyncio.shield(task)
            case "limit":
                return await asyncio.wait_for(task, 100.0)
            case "all":
                await asyncio.wait([task])
                return await task
            case _:
                await asyncio.wait([task], return_when=asyncio.FIRST_COMPLETED)
                return await task

    @handle_call
    async def leaves(self, context: Context | None) -> str:
        """The handler does not wait for its task."""
        task = asyncio.get_running_loop().create_task(self._ask(), context=context)
        await pause(1.0)
        assert not task.done()
        return "left"

    async def _ask(self) -> None:
        try:
            self.outcome = await ref("second", Asked).call(Asked.back)
        except Exception as error:  # whatever it is, the test looks at it
            self.outcome = error

    @handle_call(raises=(CallCycle,))
    async def waits_with(self, context: Context) -> str:
        return await asyncio.get_running_loop().create_task(
            ref("second", Asked).call(Asked.back), context=context
        )


WAYS = ["task", "gather", "shield", "limit", "all", "any", "group", "anyio group"]


async def both() -> Ref[First]:
    await Asked.child_spec().named("second").start_link()
    return await First.child_spec().named("first").start_link()


@pytest.mark.parametrize("how", WAYS)
async def test_the_call_that_leads_back_is_refused(how: str) -> None:
    """At once, and not when somebody's time is up."""
    first, loop = await both(), asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises((CallCycle, ExceptionGroup)) as caught:
        await first.call(First.waits, how, Asked.back)
    assert loop.time() == began + 1.0
    error: Any = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, CallCycle)
    assert [name.partition(" ")[0] for name in error.path] == ["Asked", "First", "Asked"]
    assert await first.call(First.seen) == (0, None)  # what was refused is not done


@pytest.mark.parametrize("how", WAYS)
async def test_who_is_refused_may_go_on(how: str) -> None:
    """Then all others do, too."""
    first = await both()
    assert await first.call(First.waits, how, Asked.back_and_on) == "refused"
    assert await first.call(First.seen) == (0, None)


@pytest.mark.parametrize("context", [None, copy_context, Context], ids=["own", "copied", "empty"])
async def test_a_task_that_is_left_running_closes_no_cycle(context: Callable[[], Context] | None) -> None:
    """Whatever its context is."""
    first = await both()
    assert await first.call(First.leaves, context and context()) == "left"
    await pause(1.0)
    assert await first.call(First.seen) == (1, "pong")


@pytest.mark.parametrize("context", [copy_context, Context], ids=["copied", "empty"])
async def test_a_task_with_a_context_of_its_own_that_is_waited_for_closes_one(
    context: Callable[[], Context],
) -> None:
    first = await both()
    with pytest.raises(CallCycle):
        await first.call(First.waits_with, context())


async def test_a_stream_that_was_made_before_is_refused_when_it_is_entered() -> None:
    class Reads(GenServer):
        @handle_call(raises=(CallCycle,))
        async def read(self, feed: Ref[Feeds]) -> list[int]:
            stream = feed.stream(Feeds.items)
            await pause(1.0)
            async with stream as items:
                return [item async for item in items]

        @handle_call
        def ping(self) -> None: ...

    class Feeds(GenServer):
        @handle_stream
        async def items(self) -> AsyncIterator[int]:
            yield 1

        @handle_call
        async def asks(self, reads: Ref[Reads]) -> None:
            await reads.call(Reads.ping)

    reads, feeds = await Reads.start_link(), await Feeds.start_link()
    task = asyncio.create_task(reads.call(Reads.read, feeds))
    await pause(0.5)
    back = asyncio.create_task(feeds.call(Feeds.asks, reads))
    with pytest.raises(CallCycle):
        await task
    await back


async def test_a_task_that_waits_for_the_lock_of_the_handler_that_awaits_it() -> None:
    lock = Lock("the lock")

    class Locks(GenServer):
        @handle_call(raises=(CallCycle,))
        async def nest(self) -> None:
            async with lock:
                task = asyncio.create_task(self._enter())
                await pause(1.0)
                await task

        async def _enter(self) -> None:
            async with lock:
                raise AssertionError("never")

    locks = await Locks.start_link()
    with pytest.raises(CallCycle):
        await locks.call(Locks.nest)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lock)  # given back


async def test_two_tasks_with_contexts_of_their_own_share_a_lock() -> None:
    lock, got = Lock("shared"), list[int]()

    async def program() -> None:
        async def enter(number: int) -> None:
            async with lock:
                await pause(0.1)
                got.append(number)

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(enter(each), context=copy_context()) for each in range(2)))

    spawn(program)
    await pause(1.0)
    assert sorted(got) == [0, 1]


async def test_a_deadline_ends_with_the_handler_also_for_a_task_with_a_context_of_its_own() -> None:
    class Leaves(GenServer):
        def __init__(self) -> None:
            self.outcome: object = None

        @handle_call
        async def leave(self, other: Ref[Asked]) -> None:
            asyncio.get_running_loop().create_task(self._later(other), context=copy_context())

        async def _later(self, other: Ref[Asked]) -> None:
            await pause(5.0)
            try:
                self.outcome = await other.call(Asked.back_and_on)
            except Exception as error:  # whatever it is, the test looks at it
                self.outcome = error

        @handle_call
        def seen(self) -> object:
            return self.outcome

    await First.child_spec().named("first").start_link()
    other = await Asked.start_link()
    leaves = await Leaves.start_link()
    await leaves.options(timeout=1.0).call(Leaves.leave, other)
    await pause(6.0)
    assert await leaves.call(Leaves.seen) == "pong"
