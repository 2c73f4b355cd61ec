"""Permits: each way in which one can come back, or not; no place of a probe is ever lost."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import CircuitBreaker, CircuitOpen, Permit, UsageError
from mabeam.testing import VirtualLoop
from tests.resilience._tools import Hand

if TYPE_CHECKING:
    from collections.abc import Coroutine


def _half_open(clock: Hand, **options: Any) -> CircuitBreaker:
    """One that will take its next call for a probe."""
    breaker = CircuitBreaker("x", consecutive_failures=1, clock=clock, half_open_seconds=None, **options)
    breaker.acquire().failure()
    clock.now += 30
    return breaker


async def _hang() -> None:
    await asyncio.get_running_loop().create_future()


async def _finish(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks)


async def test_thousands_of_cancelled_probes_leave_no_place_taken() -> None:
    breaker = _half_open(Hand(), probes=3)
    for round_ in range(1000):
        tasks = [asyncio.ensure_future(breaker.call(_hang)) for _ in range(3)]
        await asyncio.wait(tasks, timeout=0)
        with pytest.raises(CircuitOpen):
            await breaker.call(_hang)
        for task in tasks:
            task.cancel()
        await _finish(*tasks)
        statistics = breaker.statistics()
        assert (statistics.state, statistics.probes_out) == ("half_open", 0)
        assert statistics.ignored == 3 * (round_ + 1)


async def test_a_cancelled_call_is_a_failure_where_that_is_said() -> None:
    breaker = CircuitBreaker("x", consecutive_failures=1, cancelled="failure")
    task = asyncio.ensure_future(breaker.call(_hang))
    await asyncio.wait([task], timeout=0)
    task.cancel()
    await _finish(task)
    assert task.cancelled()
    assert breaker.state == "open"


async def test_a_coroutine_that_was_never_started_holds_nothing() -> None:
    breaker = _half_open(Hand())
    breaker.call(_hang).close()
    assert breaker.statistics().probes_out == 0
    assert breaker.state == "open"


@pytest.mark.parametrize("decorated", [False, True])
async def test_a_coroutine_that_is_closed_or_dropped_gives_its_permit_back(decorated: bool) -> None:  # noqa: FBT001
    breaker = _half_open(Hand())
    for _ in range(100):
        running: Coroutine[Any, Any, None] = breaker(_hang)() if decorated else breaker.call(_hang)
        running.send(None)
        assert breaker.statistics().probes_out == 1
        running.close()
        assert breaker.statistics().probes_out == 0
    assert breaker.statistics().lost == 100
    closed = CircuitBreaker("closed")
    running = closed(_hang)() if decorated else closed.call(_hang)
    running.send(None)
    running.close()
    assert closed.statistics().lost == 1


async def test_a_permit_that_nobody_refers_to_any_more_is_given_back() -> None:
    breaker = _half_open(Hand())
    for count in range(100):
        breaker.acquire()  # dropped at once
        assert breaker.statistics().lost == count + 1
        assert breaker.statistics().probes_out == 0
    cycle: list[Any] = [breaker.acquire()]
    cycle.append(cycle)
    del cycle
    with pytest.raises(CircuitOpen):
        breaker.acquire()
    gc.collect()
    assert breaker.acquire().success()
    assert breaker.state == "closed"


async def test_a_permit_whose_task_has_ended_is_given_back() -> None:
    """Also when something still refers to it, and the task crashed."""
    breaker = _half_open(Hand())
    kept: list[Permit] = []

    async def forget() -> None:
        kept.append(breaker.acquire())

    async def crash() -> None:
        kept.append(breaker.acquire())
        raise ValueError

    for body in (forget, crash):
        task = asyncio.ensure_future(body())
        await _finish(task)
        task.exception()
        await asyncio.wait([asyncio.ensure_future(asyncio.wait_for(_nothing(), None))])
        assert kept[-1].is_reported
        assert breaker.statistics().probes_out == 0
        assert not kept[-1].success()
    statistics = breaker.statistics()
    assert (statistics.lost, statistics.repeated, statistics.state) == (2, 2, "half_open")


async def _nothing() -> None:
    pass


def test_a_permit_whose_thread_has_died_is_given_back() -> None:
    breaker = _half_open(Hand())
    kept: list[Permit] = []
    thread = threading.Thread(target=lambda: kept.append(breaker.acquire()))
    thread.start()
    thread.join()
    assert breaker.statistics().probes_out == 1
    assert breaker.call_sync(lambda: 5) == 5  # asking finds out
    statistics = breaker.statistics()
    assert (statistics.state, statistics.lost, statistics.rejected) == ("closed", 1, 0)


def test_a_permit_counts_once() -> None:
    breaker = CircuitBreaker("x", consecutive_failures=3)
    permit = breaker.acquire()
    assert not permit.is_reported
    assert permit.failure()
    assert permit.is_reported
    assert not permit.failure()
    assert not permit.report("success")
    statistics = breaker.statistics()
    assert (statistics.failed, statistics.succeeded, statistics.repeated) == (1, 0, 2)
    assert repr(permit) == "<Permit of 'x' reported>"


def test_a_report_from_before_the_last_transition_is_late() -> None:
    breaker = CircuitBreaker("x", consecutive_failures=1)
    first, second, third = breaker.acquire(), breaker.acquire(), breaker.acquire()
    assert first.failure()
    assert not second.success()
    breaker.reset()
    assert not third.failure()
    statistics = breaker.statistics()
    assert (statistics.state, statistics.late, statistics.failed, statistics.succeeded) == ("closed", 2, 1, 0)


def test_a_holder_that_never_comes_back_is_outlived() -> None:
    """What is frozen or hangs for ever holds its place until ``half_open_seconds`` are over, and not longer."""
    clock = Hand()
    breaker = CircuitBreaker("x", consecutive_failures=1, clock=clock, half_open_seconds=60.0)
    breaker.acquire().failure()
    clock.now += 30
    stuck = breaker.acquire()
    clock.now += 59
    with pytest.raises(CircuitOpen, match="half_open"):
        breaker.acquire()
    clock.now += 31
    assert breaker.acquire().success()
    assert breaker.state == "closed"
    assert not stuck.failure()


async def test_blocks_are_calls() -> None:
    breaker = CircuitBreaker("x", consecutive_failures=9)
    with breaker.acquire() as permit:
        assert not permit.is_reported
    with pytest.raises(KeyError):
        async with breaker.acquire():
            raise KeyError
    with breaker.acquire() as permit:
        permit.ignore()
    with pytest.raises(KeyError), breaker:
        raise KeyError
    async with breaker as permit, breaker:
        permit.failure()
    statistics = breaker.statistics()
    assert (statistics.succeeded, statistics.failed, statistics.ignored) == (2, 3, 1)


async def test_a_block_that_is_cancelled_says_nothing() -> None:
    breaker = _half_open(Hand())

    async def hold() -> None:
        async with breaker:
            await _hang()

    for _ in range(100):
        task = asyncio.ensure_future(hold())
        await asyncio.wait([task], timeout=0)
        assert breaker.statistics().probes_out == 1
        task.cancel()
        await _finish(task)
    assert (breaker.statistics().probes_out, breaker.statistics().ignored) == (0, 100)


async def test_blocks_of_several_tasks_do_not_mix() -> None:
    breaker = CircuitBreaker("x", consecutive_failures=9)
    go = asyncio.Event()

    async def hold(error: Exception | None) -> None:
        async with breaker:
            await go.wait()
            if error is not None:
                raise error

    tasks = [asyncio.ensure_future(hold(error)) for error in (None, ValueError(), None, KeyError())]
    await asyncio.wait(tasks, timeout=0)
    go.set()
    await _finish(*tasks)
    for task in tasks:
        task.exception()
    assert (breaker.statistics().succeeded, breaker.statistics().failed) == (2, 2)


async def test_a_block_whose_coroutine_is_closed_gives_its_permit_back() -> None:
    breaker = _half_open(Hand())

    async def hold() -> None:
        async with breaker.acquire():
            await _hang()

    for count in range(50):
        running = hold()
        running.send(None)
        assert breaker.statistics().probes_out == 1
        running.close()
        assert (breaker.statistics().probes_out, breaker.statistics().lost) == (0, count + 1)


async def test_a_probe_in_a_garbage_cycle_is_given_back_while_the_breaker_is_in_use() -> None:
    """The collector may run at any allocation, in the midst of the breaker itself."""
    breaker = _half_open(Hand(), probes=10)
    threshold = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for _ in range(40):
            running = breaker.call(_hang)
            running.send(None)
            cycle: list[Any] = [running]
            cycle.append(cycle)
            del running, cycle
            breaker.statistics()
            try:
                breaker.acquire().ignore()
            except CircuitOpen:
                gc.collect()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    statistics = breaker.statistics()
    assert (statistics.probes_out, statistics.lost, statistics.state) == (0, 40, "half_open")


def test_a_breaker_made_on_the_real_clock_works_on_a_virtual_one() -> None:
    """As one made at import, used by tests in virtual time."""
    breaker = CircuitBreaker("x", failure_rate=0.5, window_seconds=10.0, minimum_calls=2)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        breaker.acquire().failure()
        await asyncio.wait([loop.create_future()], timeout=11)
        breaker.acquire().success()
        breaker.acquire().success()
        return breaker.state

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == "closed"
    assert breaker.statistics().failed == 1


def test_an_outcome_that_does_not_exist_is_refused() -> None:
    permit = CircuitBreaker("x").acquire()
    wrong: Any = "fine"
    with pytest.raises(UsageError, match="one of 'success', 'failure', 'ignore', got 'fine'"):
        permit.report(wrong)
    assert permit.report("ignore")


def test_many_threads_and_loops_count_every_call_and_never_exceed_the_probes() -> None:
    """The half-open race: many ask at the moment when the time is over."""
    clock = Hand()
    breaker = CircuitBreaker("x", consecutive_failures=10**9, probes=5, clock=clock, half_open_seconds=None)
    start = threading.Barrier(8)

    async def many() -> None:
        async def ok() -> None:
            pass

        for _ in range(500):
            await breaker.call(ok)
            breaker.call_sync(lambda: None)

    def work() -> None:
        start.wait()
        asyncio.run(many())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.statistics().succeeded == 8 * 1000
    breaker = _half_open(clock, probes=5)
    admitted: list[Permit] = []

    def ask() -> None:
        start.wait()
        for _ in range(20):
            try:
                admitted.append(breaker.acquire())
            except CircuitOpen:
                pass
        start.wait()  # so that nobody has died while others ask

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 5
    assert breaker.statistics().probes_out == 5


def test_a_function_that_hangs_for_ever_holds_up_nobody() -> None:
    """Critical flaw 1: the breaker is no place where functions run."""
    breaker = CircuitBreaker("x")
    go, inside = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        go.wait()

    thread = threading.Thread(target=breaker.call_sync, args=(hang,))
    thread.start()
    inside.wait()
    for number in range(1000):
        assert breaker.call_sync(int, number) == number
        assert breaker.statistics().succeeded == number + 1
    go.set()
    thread.join()
    assert breaker.statistics().succeeded == 1001


async def test_a_block_that_another_task_leaves_is_lost_with_the_task_that_entered_it() -> None:
    """As in an async generator that is closed elsewhere. Nothing is kept of it, and no place of a probe."""
    clock = Hand()
    breaker = CircuitBreaker("x", consecutive_failures=1, clock=clock, half_open_seconds=None)

    async def block() -> Any:
        async with breaker:
            yield

    async def enter() -> Any:
        entered = block()
        await anext(entered)
        return entered

    async def enter_and_close(times: int) -> None:
        for _ in range(times):
            await (await asyncio.ensure_future(enter())).aclose()

    await enter_and_close(10)
    await asyncio.ensure_future(_nothing())
    gc.collect()
    assert (breaker.statistics().lost, len(breaker._entered)) == (10, 0)
    breaker.acquire().failure()
    clock.now += 30
    await enter_and_close(10)
    await asyncio.ensure_future(_nothing())
    gc.collect()
    assert (breaker.statistics().lost, len(breaker._entered)) == (20, 0)
    assert breaker.acquire().success()


def test_a_probe_that_was_given_back_for_its_thread_is_not_given_back_again() -> None:
    clock = Hand()
    breaker = _half_open(clock)
    begun: list[Coroutine[Any, Any, None]] = []

    class Waiting:
        def __await__(self) -> Any:
            yield

    async def wait() -> None:
        await Waiting()

    def begin() -> None:
        coroutine = breaker.call(wait)
        coroutine.send(None)
        begun.append(coroutine)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    probe = breaker.acquire()
    begun[0].close()
    assert (breaker.statistics().probes_out, breaker.statistics().lost) == (1, 1)
    assert probe.success()
