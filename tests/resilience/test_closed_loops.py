"""Loops that were closed with somebody in them: he will never go on, and nobody else may suffer for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import Bulkhead, Cache, CircuitBreaker, CircuitOpen, RateLimiter
from tests.resilience._clocks import HandClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def _hang(*_: object) -> Any:
    await asyncio.get_running_loop().create_future()


class Abandoned:
    """A task that has begun, and whose loop was closed then."""

    def __init__(self, work: Coroutine[Any, Any, Any], meanwhile: Callable[[], object] = int) -> None:
        loop = asyncio.new_event_loop()
        self.task: asyncio.Task[Any] | None = loop.create_task(work)
        self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is the scene
        loop.run_until_complete(asyncio.wait([self.task], timeout=0.001))
        meanwhile()
        loop.close()

    def collect(self) -> None:
        """Have its coroutine closed by the garbage collector."""
        self.task = None
        gc.collect()


def _in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _here(work: Callable[[], object]) -> None:
    work()


@pytest.mark.parametrize("where", [_here, _in_thread])
def test_a_place_of_a_bulkhead_is_given_back_once(where: Callable[[Callable[[], object]], None]) -> None:
    """Passed over by who leaves, in whichever thread; and not given back again when its coroutine is collected."""
    bulkhead = Bulkhead(max_concurrent=1, max_queue=2)
    bulkhead.__enter__()
    waiter = Abandoned(bulkhead.call(_hang))
    where(lambda: bulkhead.__exit__(None, None, None))
    assert bulkhead.statistics().inside == 0
    waiter.collect()
    assert bulkhead.statistics().inside == 0
    assert bulkhead.call_sync(lambda: 5) == 5


def test_a_place_that_was_given_is_left_by_who_never_hears_of_it() -> None:
    """His loop stands still, and is closed after that."""
    bulkhead = Bulkhead(max_concurrent=1, max_queue=2)
    loop = asyncio.new_event_loop()
    with bulkhead:
        task = loop.create_task(bulkhead.call(_hang))
        loop.run_until_complete(asyncio.wait([task], timeout=0.001))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is the scene
    assert bulkhead.statistics().inside == 1
    loop.close()
    del task
    gc.collect()
    assert bulkhead.statistics().inside == 0


def test_the_first_in_line_at_a_rate_limit_is_passed_over() -> None:
    clock = HandClock()
    limiter = RateLimiter(limit=1, period=10.0, clock=clock, max_wait=60.0)
    limiter.acquire_sync()

    async def two() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(limiter.acquire())

    waiters = Abandoned(two())
    assert limiter.statistics().waiting == 2
    clock.advance(10.0)
    assert limiter.try_acquire()
    assert limiter.statistics().waiting == 0
    waiters.collect()
    assert (limiter.statistics().waiting, limiter.statistics().admitted) == (0, 2)


def test_who_stands_behind_one_that_is_passed_over_is_told() -> None:
    clock = HandClock()
    limiter = RateLimiter(limit=1, period=10.0, clock=clock, max_wait=60.0)
    limiter.acquire_sync()
    second = threading.Thread(target=limiter.acquire_sync)

    def stand_behind() -> None:
        second.start()
        while limiter.statistics().waiting < 2:
            pass

    first = Abandoned(limiter.acquire(), stand_behind)
    clock.advance(20.0)
    limiter.try_acquire()
    second.join(10)
    assert not second.is_alive()
    first.collect()


def test_a_load_is_taken_over() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    leader = Abandoned(cache.get_or_load("tea", _hang))
    assert cache.get_or_load_sync("tea", len) == 3
    leader.collect()
    assert (cache.get("tea"), cache.statistics().loading) == (3, 0)


def test_a_load_is_taken_over_by_one_who_waits_already() -> None:
    cache: Cache[str, int] = Cache(max_entries=10)
    loaded: list[int] = []
    waiter = threading.Thread(target=lambda: loaded.append(cache.get_or_load_sync("tea", len)))

    def wait_for_it() -> None:
        waiter.start()
        while not cache._flights.under_way["tea"].threads:
            pass

    leader = Abandoned(cache.get_or_load("tea", _hang), wait_for_it)
    assert cache.get_or_load_sync("tea", len) == 3
    waiter.join(10)
    assert loaded == [3]
    assert cache.statistics().loading == 0
    leader.collect()


def test_a_probe_is_given_back_once() -> None:
    clock = HandClock()
    breaker = CircuitBreaker("x", consecutive_failures=1, half_open_seconds=None, clock=clock)
    breaker.acquire().failure()
    clock.advance(30.0)
    probe = Abandoned(breaker.call(_hang))
    assert breaker.statistics().probes_out == 1
    second = breaker.acquire()
    assert (breaker.statistics().probes_out, breaker.statistics().lost) == (1, 1)
    probe.collect()
    assert (breaker.statistics().probes_out, breaker.statistics().lost) == (1, 1)
    with pytest.raises(CircuitOpen):
        breaker.acquire()
    assert second.success()
    assert breaker.state == "closed"
