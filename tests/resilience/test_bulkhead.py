"""The bulkhead: never more inside than may be, first come first served, nobody forgotten."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

from mabeam import Bulkhead, BulkheadFull, UsageError
from tests.resilience._tools import Heard


class Gate:
    """Functions that stay inside until they are let go, and how many are."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.order: list[int] = []

    async def stay(self, number: int = 0) -> int:
        self.order.append(number)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return number


async def _turns(*tasks: asyncio.Future[Any]) -> None:
    await asyncio.wait(tasks, timeout=0.001)


async def test_never_more_than_so_many_run_and_the_rest_waits_in_order() -> None:
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=3, max_queue=10)
    tasks = [asyncio.ensure_future(bulkhead.call(gate.stay, number)) for number in range(10)]
    await _turns(*tasks)
    statistics = bulkhead.statistics()
    assert (statistics.inside, statistics.waiting, gate.inside) == (3, 7, 3)
    assert repr(bulkhead) == "<Bulkhead 'bulkhead' 3 of 3 inside, 7 waiting, 0 rejected>"
    gate.open.set()
    assert await asyncio.gather(*tasks) == list(range(10))
    assert (gate.order, gate.most) == (list(range(10)), 3)
    statistics = bulkhead.statistics()
    assert (statistics.inside, statistics.waiting, statistics.entered, statistics.rejected) == (0, 0, 10, 0)


async def test_what_finds_no_room_is_turned_away_at_once() -> None:
    heard = Heard()
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=1, max_queue=1, name="db", bus=heard.bus)
    tasks = [asyncio.ensure_future(bulkhead.call(gate.stay)) for _ in range(2)]
    await _turns(*tasks)
    with pytest.raises(BulkheadFull) as raised:
        await bulkhead.call(gate.stay)
    assert (raised.value.bulkhead, raised.value.reason, raised.value.retry_after) == (
        "db",
        "queue_full",
        None,
    )
    with pytest.raises(BulkheadFull):
        bulkhead.call_sync(lambda: None)
    gate.open.set()
    await asyncio.wait(tasks)
    assert await bulkhead(gate.stay)(5) == 5
    assert bulkhead.statistics().rejected == 2
    assert heard.named("bulkhead.rejected")[0] == {"bulkhead": "db", "why": "queue_full", "count": 1}
    heard.check()


async def test_who_waits_too_long_is_turned_away_and_leaves_the_queue() -> None:
    loop = asyncio.get_running_loop()
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=1, max_queue=1, queue_seconds=5.0)
    inside = asyncio.ensure_future(bulkhead.call(gate.stay))
    await _turns(inside)
    began = loop.time()
    with pytest.raises(BulkheadFull, match="queue_timeout"):
        await bulkhead.call(gate.stay)
    assert loop.time() - began == 5.0
    statistics = bulkhead.statistics()
    assert (statistics.inside, statistics.waiting, statistics.rejected) == (1, 0, 1)
    gate.open.set()
    await inside
    assert bulkhead.statistics().inside == 0


async def test_cancelled_waiters_leave_nothing_behind() -> None:
    """Thousands of them, at every moment: while they wait, and when the place has just been given to them."""
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=1, max_queue=5)
    for round_ in range(500):
        gate.open.clear()
        tasks = [asyncio.ensure_future(bulkhead.call(gate.stay)) for _ in range(4)]
        await _turns(*tasks)
        if round_ % 2:
            gate.open.set()
            await asyncio.wait(tasks[:1], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks[1:]:
            task.cancel()
        gate.open.set()
        await asyncio.wait(tasks)
        statistics = bulkhead.statistics()
        assert (statistics.inside, statistics.waiting) == (0, 0)
    assert gate.most == 1


async def test_a_place_that_comes_with_a_cancellation_goes_to_the_next() -> None:
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=1, max_queue=5)
    async with bulkhead:
        unlucky = asyncio.ensure_future(bulkhead.call(gate.stay, 1))
        following = asyncio.ensure_future(bulkhead.call(gate.stay, 2))
        await _turns(unlucky, following)
    unlucky.cancel()  # it has the place already, and has not run yet
    await asyncio.wait([unlucky])
    assert unlucky.cancelled()
    gate.open.set()
    assert await following == 2
    assert gate.order == [2]
    assert bulkhead.statistics().inside == 0


async def test_a_coroutine_that_is_dropped_leaves_its_place() -> None:
    gate, bulkhead = Gate(), Bulkhead(max_concurrent=1, max_queue=1)
    running = bulkhead.call(gate.stay)
    running.send(None)
    waiting = bulkhead.call(gate.stay)
    waiting.send(None)
    assert (bulkhead.statistics().inside, bulkhead.statistics().waiting) == (1, 1)
    waiting.close()
    running.close()
    assert (bulkhead.statistics().inside, bulkhead.statistics().waiting) == (0, 0)


async def test_a_function_that_fails_leaves_its_place() -> None:
    bulkhead = Bulkhead(max_concurrent=1)

    async def fail() -> None:
        raise ValueError

    def fail_sync() -> None:
        raise ValueError

    for _ in range(3):
        with pytest.raises(ValueError):
            await bulkhead.call(fail)
        with pytest.raises(ValueError):
            bulkhead.call_sync(fail_sync)
        with pytest.raises(ValueError):
            async with bulkhead:
                raise ValueError
    forgot: Any = lambda: fail()  # noqa: E731
    with pytest.raises(UsageError, match="returned a coroutine"):
        bulkhead.call_sync(forgot)
    assert await bulkhead.call(lambda: _five()) == 5
    assert bulkhead.statistics().inside == 0


async def _five() -> int:
    return 5


def test_threads_and_loops_share_its_places() -> None:
    bulkhead = Bulkhead(max_concurrent=3, max_queue=1000)
    inside, most, guard = 0, 0, threading.Lock()

    def enter() -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)

    def leave() -> None:
        nonlocal inside
        with guard:
            inside -= 1

    async def work() -> None:
        async with bulkhead:
            enter()
            await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0)
            leave()

    async def many() -> None:
        tasks = [asyncio.ensure_future(work()) for _ in range(100)]
        await asyncio.wait(tasks)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def in_thread() -> None:
        for _ in range(100):
            with bulkhead:
                enter()
                leave()

    threads = [threading.Thread(target=in_thread) for _ in range(4)]
    threads += [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    statistics = bulkhead.statistics()
    assert (statistics.inside, statistics.waiting, statistics.entered) == (0, 0, 700)


def test_a_thread_waits_no_longer_than_it_may() -> None:
    bulkhead = Bulkhead(max_concurrent=1, max_queue=1, queue_seconds=0)
    with bulkhead, pytest.raises(BulkheadFull, match="queue_timeout"):
        bulkhead.call_sync(lambda: None)
    assert bulkhead.call_sync(lambda: 5) == 5


def test_a_waiter_whose_loop_is_closed_is_passed_over() -> None:
    """Nobody could wake it; the place goes to the next one."""
    bulkhead = Bulkhead(max_concurrent=1, max_queue=2)
    held = threading.Event()
    loop = asyncio.new_event_loop()

    async def give_up() -> object:
        waiting = bulkhead.call(_five)
        task = asyncio.ensure_future(waiting)
        await asyncio.wait([task], timeout=0)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is the scene
        return task

    with bulkhead:
        kept: list[object] = []

        def run_and_close() -> None:
            kept.append(loop.run_until_complete(give_up()))
            loop.close()

        thread = threading.Thread(target=run_and_close)
        thread.start()
        thread.join()
        follower = threading.Thread(target=lambda: bulkhead.call_sync(held.set))
        follower.start()
        while bulkhead.statistics().waiting < 2:
            pass
    follower.join()
    assert held.is_set()
    assert bulkhead.statistics().inside == 0


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        Bulkhead(max_concurrent=0, max_queue=-1, queue_seconds=-1)
    assert len(raised.value.problems) == 3
    with pytest.raises(UsageError, match="with 0 nobody waits"):
        Bulkhead(max_concurrent=1, queue_seconds=1)
    assert Bulkhead(max_concurrent=2, name="db").describe() == (
        "Bulkhead('db', max_concurrent=2, max_queue=0, queue_seconds=None)"
    )


async def test_plain_code_never_waits_where_a_loop_runs() -> None:
    """It would wait for ever: whoever has the place is a task of that loop."""
    heard = Heard()
    bulkhead = Bulkhead(max_concurrent=1, max_queue=5, bus=heard.bus)

    @bulkhead
    def plain() -> int:
        return 5

    async with bulkhead:
        with pytest.raises(BulkheadFull, match="Make it async") as raised:
            plain()
    assert raised.value.reason == "would_block_loop"
    assert heard.named("bulkhead.rejected") == [
        {"bulkhead": "bulkhead", "why": "would_block_loop", "count": 1}
    ]
    assert (bulkhead.statistics().rejected, bulkhead.statistics().waiting) == (1, 0)
    assert plain() == 5
    assert pickle.loads(pickle.dumps(raised.value)).reason == "would_block_loop"
