"""Loading through a cache from threads and from several event loops; order is made by events, nobody sleeps."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.resilience import Cache


def _until(condition: Any) -> None:
    """Let the other threads go on until it is so."""
    pause = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        pause.wait(0.001)
    pytest.fail("it never came to that")


def _waiting(cache: Cache[Any, Any], key: str) -> int:
    flight = cache._flights.under_way.get(key)
    return -1 if flight is None else len(flight.threads) + len(flight.tasks)


def test_threads_share_one_load() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()
    calls: list[str] = []

    def load(key: str) -> int:
        calls.append(key)
        assert go.wait(10)
        return 3

    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(cache.get_or_load_sync, "tea", load) for _ in range(8)]
        _until(lambda: _waiting(cache, "tea") == 7)
        go.set()
        assert [each.result(10) for each in results] == [3] * 8
    assert calls == ["tea"]


def test_an_error_reaches_all_threads() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()

    def fail(key: str) -> int:
        assert go.wait(10)
        raise ValueError(key)

    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(cache.get_or_load_sync, "tea", fail) for _ in range(4)]
        _until(lambda: _waiting(cache, "tea") == 3)
        go.set()
        assert [repr(each.exception(10)) for each in results] == ["ValueError('tea')"] * 4
    assert cache.get_or_load_sync("tea", len) == 3


def test_when_the_first_thread_is_interrupted_the_next_loads() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()

    def interrupted(key: str) -> int:
        assert go.wait(10)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(cache.get_or_load_sync, "tea", interrupted)
        _until(lambda: _waiting(cache, "tea") == 0)
        others = [threads.submit(cache.get_or_load_sync, "tea", len) for _ in range(2)]
        _until(lambda: _waiting(cache, "tea") == 2)
        go.set()
        assert [each.result(10) for each in others] == [3, 3]
        assert isinstance(first.exception(10), KeyboardInterrupt)
    got = cache.statistics()
    assert (got.loads, got.taken_over, got.loading) == (1, 1, 0)


def test_event_loops_and_threads_share_one_load() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()
    calls: list[str] = []

    async def load(key: str) -> int:
        calls.append(key)
        await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)
        return 3

    async def ask() -> list[int]:
        return await asyncio.gather(*(cache.get_or_load("tea", load) for _ in range(3)))

    def plain(key: str) -> int:
        calls.append(key)
        assert go.wait(10)
        return 3

    with ThreadPoolExecutor(4) as threads:
        loops = [threads.submit(asyncio.run, ask()) for _ in range(2)]
        blocking = [threads.submit(cache.get_or_load_sync, "tea", plain) for _ in range(2)]
        _until(lambda: _waiting(cache, "tea") == 7)
        go.set()
        assert [each.result(10) for each in loops] == [[3] * 3] * 2
        assert [each.result(10) for each in blocking] == [3, 3]
    assert calls == ["tea"]


@pytest.mark.parametrize("waits", ["a thread", "a loop"])
def test_when_a_loop_ends_in_the_middle_of_a_load_another_goes_on(waits: str) -> None:
    """Its task was the leader, and is cancelled with the loop."""
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()

    async def hangs(key: str) -> int:
        await asyncio.Event().wait()
        return 0

    async def short_lived() -> None:
        task = asyncio.create_task(cache.get_or_load("tea", hangs))
        await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)
        assert not task.done()
        # asyncio.run cancels it.

    async def ask() -> int:
        return await cache.get_or_load("tea", len)

    with ThreadPoolExecutor(2) as threads:
        ending = threads.submit(asyncio.run, short_lived())
        _until(lambda: _waiting(cache, "tea") == 0)
        if waits == "a thread":
            other = threads.submit(cache.get_or_load_sync, "tea", len)
        else:
            other = threads.submit(asyncio.run, ask())
        _until(lambda: _waiting(cache, "tea") == 1)
        go.set()
        ending.result(10)
        assert other.result(10) == 3


def test_a_thread_that_stands_still_leads_before_a_task_of_a_loop() -> None:
    """The task may live in that very thread, where it could not run."""
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()
    order: list[str] = []

    def interrupted(key: str) -> int:
        assert go.wait(10)
        raise KeyboardInterrupt

    async def by_task(key: str) -> int:
        order.append("task")
        return 1

    def by_thread(key: str) -> int:
        order.append("thread")
        return 2

    async def both() -> tuple[int, int]:
        task = asyncio.create_task(cache.get_or_load("tea", by_task))
        await asyncio.sleep(0)  # noqa: TID251  (a turn for the task)
        blocked = cache.get_or_load_sync("tea", by_thread)  # the loop stands still meanwhile
        return await task, blocked

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get_or_load_sync, "tea", interrupted)
        _until(lambda: _waiting(cache, "tea") == 0)
        second = threads.submit(asyncio.run, both())
        _until(lambda: _waiting(cache, "tea") == 2)
        go.set()
        assert second.result(10) == (2, 2)
        assert isinstance(first.exception(10), KeyboardInterrupt)
    assert order == ["thread"]


def test_a_waiter_whose_loop_was_closed_under_it_is_passed_over() -> None:
    """It can neither lead nor be told."""
    cache: Cache[str, int] = Cache(max_entries=10)
    go = threading.Event()

    def interrupted(key: str) -> int:
        assert go.wait(10)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(cache.get_or_load_sync, "tea", interrupted)
        _until(lambda: _waiting(cache, "tea") == 0)
        loop = asyncio.new_event_loop()
        task = loop.create_task(cache.get_or_load("tea", len))
        loop.run_until_complete(asyncio.wait([task], timeout=0))
        assert _waiting(cache, "tea") == 1
        loop.close()

        async def ask() -> int:
            return await cache.get_or_load("tea", len)

        second = threads.submit(asyncio.run, ask())
        _until(lambda: _waiting(cache, "tea") == 2)
        go.set()
        assert second.result(10) == 3
        assert isinstance(first.exception(10), KeyboardInterrupt)
    # What is left of the dead loop's task goes without a word about it.
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
    del task


def test_an_async_loader_is_refused_by_synchronous_code() -> None:
    cache: Cache[str, Any] = Cache(max_entries=10)

    async def load(key: str) -> int:
        return 3

    with pytest.raises(UsageError, match="expects a plain function"):
        cache.get_or_load_sync("tea", load)
    assert cache.get_or_load_sync("tea", len) == 3


def test_a_plain_loader_that_asks_for_its_own_key_is_told_so() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)

    def load(key: str) -> int:
        return cache.get_or_load_sync(key, load)

    with pytest.raises(UsageError, match="would wait for itself"):
        cache.get_or_load_sync("tea", load)
    assert cache.statistics().loading == 0


def test_a_stale_value_is_loaded_anew_by_the_first_thread() -> None:
    now = [0.0]
    cache: Cache[str, int] = Cache(max_entries=10, ttl=1.0, stale_for=10.0, clock=lambda: now[0])
    cache.put("tea", 1)
    now[0] = 1.0
    go = threading.Event()

    def load(key: str) -> int:
        assert go.wait(10)
        return 2

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(cache.get_or_load_sync, "tea", load)
        _until(lambda: _waiting(cache, "tea") == 0)
        assert cache.get_or_load_sync("tea", load) == 1
        go.set()
        assert first.result(10) == 2
    assert cache.get("tea") == 2
