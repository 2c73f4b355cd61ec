"""How an async_stream ends: its block is left, its items fail, its supervisor ends."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    ExitSignal,
    GenServer,
    HandlerFailed,
    Killed,
    ProcessDied,
    Ref,
    Runtime,
    Shutdown,
    TaskExit,
    TaskOk,
    TaskSupervisor,
    UsageError,
    handle_call,
    kill,
    receive,
    send,
    spawn,
    trap_exit,
)
from mabeam.testing import Probe
from tests.otp._owners import (
    Boom,
    double,
    hang,
    nothing_is_left,
    pause,
    process_of,
    refuse_to_end,
    spawn_owner,
    ties_of,
    turn,
    wait_until_idle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.mabeam

stream = TaskSupervisor.async_stream_nolink


async def _now() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------------------------------------- the block


async def test_leaving_the_block_stops_what_runs_and_waits_for_it() -> None:
    """Clean-up of the tasks has its time."""
    tasks = await TaskSupervisor.start_link()
    cleaned: list[int] = []

    async def work(number: int) -> None:
        try:
            await hang()
        finally:
            await pause(2.0)
            cleaned.append(number)

    async with stream(tasks, work, range(10), max_concurrency=3) as outcomes:
        waiting = asyncio.ensure_future(anext(outcomes))
        await wait_until_idle()
        waiting.cancel()
    assert sorted(cleaned) == [0, 1, 2]
    assert await _now() == 2.0
    await nothing_is_left(tasks)


@pytest.mark.parametrize("source", ["sync", "async"])
async def test_cancelled_anywhere_it_leaves_nothing_behind(source: str) -> None:
    """At each turn of the loop in the life of a stream: entering, waiting, reading, leaving."""
    tasks = await TaskSupervisor.start_link(max_children=3)

    async def items() -> AsyncIterator[int]:
        for number in range(6):
            await pause(0.0)
            yield number

    async def work(number: int) -> int:
        await pause(0.0)
        if number == 4:
            await refuse_to_end()
        return number

    async def read() -> None:
        given: Any = items() if source == "async" else range(6)
        async with stream(tasks, work, given, max_concurrency=2, timeout=None, shutdown=0.5) as outcomes:
            async for outcome in outcomes:
                if outcome == TaskOk(3):
                    break

    for turns in itertools.count():
        reading = asyncio.ensure_future(read())
        for _ in range(turns):
            await turn()
        over = reading.done()
        reading.cancel()
        await asyncio.wait([reading])
        await nothing_is_left(tasks)
        if over:
            break
    assert turns > 5


async def test_cancelled_while_it_waits_for_the_end_it_kills_what_is_left() -> None:
    tasks = await TaskSupervisor.start_link()

    async def read() -> None:
        async with stream(
            tasks, lambda _: refuse_to_end(), [1], max_concurrency=1, shutdown=100.0
        ) as outcomes:
            async with asyncio.timeout(1.0):
                await anext(outcomes)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.0):
            await read()
    assert await _now() == 3.0
    await nothing_is_left(tasks)


async def test_a_stream_outside_its_block_is_refused() -> None:
    """Before, without and after; entering twice, too."""
    tasks = await TaskSupervisor.start_link()
    made = stream(tasks, double, [1, 2], max_concurrency=1)
    wrong: Any = made
    with pytest.raises(UsageError, match="inside its block"):
        async for _ in wrong:
            pass
    async with made as outcomes:
        await anext(outcomes)
    with pytest.raises(UsageError, match="closed"):
        await anext(outcomes)
    with pytest.raises(UsageError, match="once"):
        async with made:
            pass


async def test_a_stream_has_one_reader() -> None:
    tasks = await TaskSupervisor.start_link()
    async with stream(tasks, pause, [1.0], max_concurrency=1) as outcomes:
        first = asyncio.ensure_future(anext(outcomes))
        await wait_until_idle()
        with pytest.raises(UsageError, match="one reader"):
            await anext(outcomes)
        assert await first == TaskOk(None)


async def test_a_stream_shows_its_counts() -> None:
    tasks = await TaskSupervisor.start_link()
    made = stream(tasks, double, range(5), max_concurrency=3)
    assert repr(made) == "<async_stream_nolink of double new, 0 running, 0 unread>"
    async with made as outcomes:
        await anext(outcomes)
        await wait_until_idle()
        assert repr(made) == "<async_stream_nolink of double open, 0 running, 3 unread>"
    assert repr(made).startswith("<async_stream_nolink of double closed")


# ------------------------------------------------------------------------------------------------- items


@pytest.mark.parametrize("source", ["sync", "async"])
async def test_an_error_of_the_items_comes_in_its_place(source: str) -> None:
    """After the outcomes of what came before it; nothing is lost."""

    def items() -> Iterator[int]:
        yield from range(3)
        raise Boom("items")

    async def async_items() -> AsyncIterator[int]:
        for item in items():
            yield item

    tasks = await TaskSupervisor.start_link()
    got: list[Any] = []
    given: Any = items() if source == "sync" else async_items()
    with pytest.raises(Boom, match="items"):
        async with stream(tasks, double, given, max_concurrency=2) as outcomes:
            async for outcome in outcomes:
                got.append(outcome)  # noqa: PERF401
    assert got == [TaskOk(0), TaskOk(2), TaskOk(4)]
    await nothing_is_left(tasks)


async def test_outcomes_are_given_out_while_the_next_item_is_awaited() -> None:
    """So the items may depend on the outcomes, as those of a crawler do."""
    tasks = await TaskSupervisor.start_link()
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)

    async def items() -> AsyncIterator[int]:
        while (item := await queue.get()) < 100:
            yield item

    got = []
    async with stream(tasks, double, items(), max_concurrency=4) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, TaskOk)
            got.append(outcome.value)
            queue.put_nowait(outcome.value)
    assert got == [2, 4, 8, 16, 32, 64, 128]


async def test_async_items_are_closed_with_the_stream() -> None:
    """Also in the middle of waiting for the next one. A generator that was given stays the giver's otherwise."""
    tasks = await TaskSupervisor.start_link()
    closed: list[str] = []

    class Source:
        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
                yield 3
            finally:
                closed.append("own")

    async def waits() -> AsyncIterator[int]:
        try:
            yield 1
            await hang()
        finally:
            closed.append("waits")

    for source in (Source(), waits()):
        async with stream(tasks, double, source, max_concurrency=1) as outcomes:
            await anext(outcomes)
            await wait_until_idle()
    assert closed == ["own", "waits"]
    given_away = (number async for number in Source())
    async with stream(tasks, double, given_away, max_concurrency=1) as outcomes:
        await anext(outcomes)
    assert await anext(given_away) == 2
    await given_away.aclose()
    await nothing_is_left(tasks)


# ------------------------------------------------------------------------------------------------- the supervisor


@pytest.mark.parametrize("source", ["sync", "async"])
async def test_a_supervisor_killed_in_the_middle_is_told_after_what_has_come(source: str) -> None:
    """What ran is reported, each in its place; what could not be started is an error, never silence."""

    async def items() -> AsyncIterator[int]:
        for number in range(10):
            yield number
        await hang()

    async def read() -> Any:
        trap_exit()
        tasks = await TaskSupervisor.start_link()
        send(probe.pid, tasks)
        got: list[Any] = []
        given: Any = items() if source == "async" else range(10)
        try:
            async with stream(
                tasks,
                pause,
                (0.0 if n < 2 else 100.0 for n in given) if source == "sync" else given,
                max_concurrency=3,
                timeout=None,
            ) as outcomes:
                async for outcome in outcomes:
                    got.append(outcome)  # noqa: PERF401
        except ProcessDied as error:
            return got, error
        return got, None

    probe = Probe.start()
    _, owner = spawn_owner(read)
    tasks = await probe.next()
    await pause(0.5)
    kill(tasks)
    _, (got, error) = await owner.next(timeout=500)
    assert (error.operation, error.reason) == ("stream", Killed())
    assert len(got) >= 3
    assert {type(outcome) for outcome in got} == {TaskOk, TaskExit}
    assert all(outcome.reason == Killed() for outcome in got if isinstance(outcome, TaskExit))


async def test_a_supervisor_that_ends_after_the_last_item_is_no_error() -> None:
    async def read() -> Any:
        trap_exit()
        tasks = await TaskSupervisor.start_link()
        async with stream(tasks, double, [1, 2], max_concurrency=2) as outcomes:
            got = [await anext(outcomes)]
            await wait_until_idle()
            await tasks.stop()
            got += [outcome async for outcome in outcomes]
        await receive(ExitSignal)
        return got

    _, owner = spawn_owner(read)
    assert await owner.next() == ("value", [TaskOk(2), TaskOk(4)])


async def test_an_orderly_stop_of_the_supervisor_reports_what_ran() -> None:
    tasks = await TaskSupervisor.start_link()
    with pytest.raises(ProcessDied):
        async with stream(tasks, lambda _: hang(), range(5), max_concurrency=2) as outcomes:
            stopping = asyncio.ensure_future(tasks.stop())
            got = [await anext(outcomes), await anext(outcomes)]
            await stopping
            await anext(outcomes)
    assert got == [TaskExit(Shutdown(), 0), TaskExit(Shutdown(), 1)]


# ------------------------------------------------------------------------------------------------- servers


class Reader(GenServer):
    """Reads streams in its handlers."""

    def __init__(self, tasks: Ref[TaskSupervisor]) -> None:
        self.tasks = tasks

    async def _read(self, items: Any) -> list[Any]:
        async with TaskSupervisor.async_stream(self.tasks, double, items, max_concurrency=4) as outcomes:
            return [outcome.value async for outcome in outcomes if isinstance(outcome, TaskOk)]

    @handle_call
    async def serial(self, count: int) -> list[Any]:
        return await self._read(range(count))

    @handle_call(concurrent=4)
    async def beside(self, count: int) -> list[Any]:
        return await self._read(range(count))

    @handle_call(concurrent=4)
    async def beside_async(self, count: int) -> list[Any]:
        async def items() -> AsyncIterator[int]:
            for number in range(count):
                await pause(0.0)
                yield number

        return await self._read(items())

    @handle_call(concurrent=1)
    async def fails(self) -> None:
        async with TaskSupervisor.async_stream_nolink(self.tasks, double, [1], max_concurrency=4):
            raise Boom("handler")

    def handle_info(self, message: object, /) -> None:
        raise AssertionError(f"nothing of a stream goes to the mailbox, got {message!r}")


async def test_every_kind_of_handler_can_read_a_stream() -> None:
    tasks = await TaskSupervisor.start_link()
    reader = await Reader.start_link(tasks)
    calls = [reader.call(method, 50) for method in (Reader.beside, Reader.beside_async, Reader.serial)]
    assert await asyncio.gather(*calls) == [[2 * number for number in range(50)]] * 3
    with pytest.raises(HandlerFailed):
        await reader.call(Reader.fails)
    await wait_until_idle()
    assert ties_of(reader) == (1, 0)
    assert not process_of(reader).registrations


async def test_a_reader_that_is_frozen_in_its_block_takes_its_tasks_along() -> None:
    """It never leaves the block; its death does it."""
    tasks = await TaskSupervisor.start_link()

    async def read() -> None:
        async with stream(tasks, lambda _: hang(), range(5), max_concurrency=3, timeout=None) as outcomes:
            waiting = asyncio.ensure_future(anext(outcomes))
            await wait_until_idle()
            waiting.cancel()
            await refuse_to_end()

    owner, probe = spawn_owner(read)
    await wait_until_idle()
    kill(owner)
    assert (await probe.next()).reason == Killed()
    await nothing_is_left(tasks)


async def test_a_kill_of_who_reads_freezes_nothing(runtime: Runtime) -> None:
    """Its tasks are killed, since there is no time to wait for them."""
    tasks = await TaskSupervisor.start_link()

    async def read() -> None:
        async with stream(tasks, lambda _: hang(), [1, 2], max_concurrency=2) as outcomes:
            await anext(outcomes)

    owner = spawn(read)
    await pause(1.0)
    kill(owner)
    await nothing_is_left(tasks)
    assert runtime.statistics().frozen == 0
