"""Being admitted, being rejected, waiting: by tasks in virtual time, and by threads with a clock in the hand."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, astuple
from typing import Any

import pytest

from mabeam.errors import RejectedError, UsageError
from mabeam.resilience import RateLimiter, _rate_limiter
from mabeam.telemetry import CATALOGUE, Bus
from mabeam.testing import wait_until_idle
from tests.resilience._clocks import HandClock


def _limiter(**options: Any) -> tuple[RateLimiter, HandClock]:
    clock = HandClock()
    return RateLimiter(**{"limit": 2, "period": 10.0, "clock": clock, **options}), clock


def test_allow_then_deny_then_allow_again() -> None:
    limiter, clock = _limiter()
    assert [limiter.try_acquire() for _ in range(3)] == [True, True, False]
    clock.advance(4.999)
    assert not limiter.try_acquire()
    clock.advance(0.001)
    assert [limiter.try_acquire() for _ in range(2)] == [True, False]
    clock.advance(1e6)
    assert [limiter.try_acquire() for _ in range(3)] == [True, True, False]


def test_keys_do_not_share() -> None:
    limiter, _ = _limiter()
    assert [limiter.try_acquire("ann") for _ in range(3)] == [True, True, False]
    assert [limiter.try_acquire("bob") for _ in range(3)] == [True, True, False]
    assert limiter.try_acquire()


def test_a_window_has_no_edge() -> None:
    """The ancestor's windows were aligned to the clock: twice the limit across a boundary."""
    limiter, clock = _limiter(limit=100, period=60.0)
    clock.now = 60 * 1_000 - 0.1
    assert sum(limiter.try_acquire() for _ in range(150)) == 100
    clock.advance(0.2)
    assert sum(limiter.try_acquire() for _ in range(150)) == 0


def test_a_rejection_says_when_to_come_back_and_means_it() -> None:
    limiter, clock = _limiter(limit=3, period=1.0, name="provider")
    for _ in range(3):
        limiter.acquire_nowait("ann")
    with pytest.raises(
        RejectedError, match=r"provider admits 3 in 1 s .* for 'ann'.*Come back after 0.333 s"
    ) as error:
        limiter.acquire_nowait("ann")
    assert error.value.retry_after == pytest.approx(1 / 3)
    clock.advance(error.value.retry_after or 0.0)
    limiter.acquire_nowait("ann")


def test_rejected_attempts_use_nothing_up() -> None:
    limiter, clock = _limiter()
    for _ in range(1_000):
        limiter.try_acquire()
    clock.advance(5.0)
    assert limiter.try_acquire()


def test_cost_counts() -> None:
    limiter, clock = _limiter(limit=10, period=10.0)
    assert limiter.try_acquire(cost=7)
    assert not limiter.try_acquire(cost=4)
    assert limiter.try_acquire(cost=3)
    clock.advance(4.0)
    assert limiter.try_acquire(cost=4)


@pytest.mark.parametrize("cost", [0, -1, 1.5, True, "1", 3])
async def test_a_cost_that_can_never_be_admitted_is_an_error(cost: Any) -> None:
    limiter, _ = _limiter()
    if cost is True:
        assert limiter.try_acquire(cost=cost)  # equal to 1, and not worth a look
        return
    for ask in (limiter.try_acquire, limiter.acquire_nowait, limiter.acquire_sync):
        with pytest.raises(UsageError, match="cost expects"):
            ask(cost=cost)
    with pytest.raises(UsageError, match="cost expects"):
        await limiter.acquire(cost=cost)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(UsageError) as error:
        RateLimiter(
            limit=0,
            period=0,
            burst=0.5,  # type: ignore[arg-type]  # that is the point
            max_wait=-1,
            on_limit="panic",  # type: ignore[arg-type]  # that is the point
            max_keys=True,
            clock=5,  # type: ignore[arg-type]  # that is the point
        )
    assert [each.split()[0] for each in error.value.problems] == [
        "limit",
        "period",
        "burst",
        "max_wait",
        "on_limit",
        "max_keys",
        "clock",
    ]
    assert str(error.value) == f"RateLimiter: {'; '.join(error.value.problems)}."


@pytest.mark.parametrize(
    "options",
    [
        {"limit": True},
        {"limit": 1.5},
        {"period": math.inf},
        {"period": math.nan},
        {"period": "10"},
        {"period": 9e-7},
        {"period": 1e12 + 0.5},
        {"max_wait": math.nan},
        {"max_wait": None},
        {"max_keys": 0},
        {"on_limit": None},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} expects"):
        _limiter(**options)


def test_limits_at_their_edges_are_taken() -> None:
    _limiter(limit=1, period=1e-6, burst=1, max_wait=0, max_keys=1)
    _limiter(limit=1, period=1e12)
    _limiter(max_wait=math.inf)


def test_exactly_the_limit_is_admitted_under_threads() -> None:
    """100 of 200, from eight threads at once."""
    limiter, _ = _limiter(limit=100, period=60.0)
    start = threading.Barrier(8)

    def ask() -> int:
        start.wait(10)
        return sum(limiter.try_acquire("k") for _ in range(25))

    with ThreadPoolExecutor(8) as threads:
        assert sum(each.result(10) for each in [threads.submit(ask) for _ in range(8)]) == 100
    got = limiter.statistics()
    assert (got.admitted, got.rejected) == (100, 100)


async def test_exactly_the_limit_is_admitted_under_tasks() -> None:
    limiter = RateLimiter(limit=100, period=60.0, max_wait=0)
    results = await asyncio.gather(*(limiter.acquire() for _ in range(200)), return_exceptions=True)
    assert sum(result == 0.0 for result in results) == 100
    assert sum(isinstance(result, RejectedError) for result in results) == 100


# --------------------------------------------------------------------------------------------------- waiting


async def _note(limiter: RateLimiter, times: list[tuple[float, int]], number: int, **options: Any) -> float:
    waited = await limiter.acquire("k", **options)
    times.append((asyncio.get_running_loop().time(), number))
    return waited


async def test_those_who_wait_are_admitted_in_order_and_in_time() -> None:
    limiter = RateLimiter(limit=2, period=10.0)
    times: list[tuple[float, int]] = []
    waited = await asyncio.gather(*(_note(limiter, times, number) for number in range(6)))
    assert [number for _, number in times] == list(range(6))
    assert [time for time, _ in times] == pytest.approx([0, 0, 5, 10, 15, 20], abs=1e-6)
    assert waited == pytest.approx([0, 0, 5, 10, 15, 20], abs=1e-6)
    got = limiter.statistics()
    assert (got.admitted, got.delayed, got.waiting, got.rejected) == (6, 4, 0, 0)


async def test_nobody_overtakes_those_who_wait() -> None:
    limiter = RateLimiter(limit=2, period=10.0)
    times: list[tuple[float, int]] = []
    tasks = [asyncio.create_task(_note(limiter, times, number, cost=2)) for number in range(2)]
    await wait_until_idle()
    await asyncio.sleep(6)  # noqa: TID251  (virtual time)
    # One slot has been earned, and belongs to the one who waits for two.
    assert not limiter.try_acquire("k")
    assert limiter.status("k").remaining == 0
    assert limiter.status("k").retry_after == pytest.approx(9)
    with pytest.raises(RejectedError) as error:
        limiter.acquire_nowait("k")
    assert error.value.retry_after == pytest.approx(9)
    await asyncio.gather(*tasks)
    assert [time for time, _ in times] == pytest.approx([0, 10], abs=1e-6)


async def test_one_who_is_cancelled_takes_up_nothing() -> None:
    limiter = RateLimiter(limit=1, period=10.0)
    times: list[tuple[float, int]] = []
    tasks = [asyncio.create_task(_note(limiter, times, number)) for number in range(5)]
    await wait_until_idle()
    assert limiter.statistics().waiting == 4
    tasks[1].cancel()  # the first in line
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [number for _, number in times] == [0, 2, 4]
    assert [time for time, _ in times] == pytest.approx([0, 10, 20], abs=1e-6)
    got = limiter.statistics()
    assert (got.cancelled, got.waiting) == (2, 0)


async def test_thousands_who_are_cancelled_leave_nothing_behind() -> None:
    limiter = RateLimiter(limit=1, period=10.0, max_wait=math.inf)
    tasks = [asyncio.create_task(limiter.acquire("k")) for _ in range(3_000)]
    await wait_until_idle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.statistics().waiting == 0
    await asyncio.sleep(10)  # noqa: TID251  (virtual time)
    assert limiter.try_acquire("k")


async def test_who_would_have_to_wait_too_long_is_rejected_before_waiting() -> None:
    limiter = RateLimiter(limit=1, period=10.0, max_wait=25.0)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await wait_until_idle()
    assert isinstance(tasks[3].exception(), RejectedError)
    error = tasks[3].exception()
    assert isinstance(error, RejectedError)
    assert error.retry_after == pytest.approx(30)
    with pytest.raises(RejectedError):
        await limiter.acquire(timeout=5.0)
    await asyncio.gather(*tasks[:3])
    assert await limiter.acquire(timeout=10.5) == pytest.approx(10)


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", True])
async def test_a_timeout_that_is_none_is_an_error(timeout: Any) -> None:
    limiter, _ = _limiter()
    with pytest.raises(UsageError, match="timeout expects"):
        await limiter.acquire(timeout=timeout)


async def test_late_timers_never_make_a_burst() -> None:
    """The loop stands still while ten are due: afterwards they are spaced as ever, for it is the clock that counts."""
    clock = HandClock(0.0)
    loop = asyncio.get_running_loop()
    late = 0.0
    limiter = RateLimiter(limit=1, period=1.0, clock=lambda: loop.time() + late)
    del clock
    times: list[float] = []

    async def take() -> None:
        await limiter.acquire()
        times.append(loop.time() + late)

    tasks = [asyncio.create_task(take()) for _ in range(10)]
    await asyncio.sleep(0.5)  # noqa: TID251  (virtual time)
    late = 5.0
    await asyncio.gather(*tasks)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 1.0 - 1e-9
    assert times[-1] == pytest.approx(6 + 8, abs=0.01)


async def test_a_clock_that_the_loop_does_not_follow_is_told() -> None:
    """Waiting on it would never end."""
    limiter, _ = _limiter(limit=1)
    await limiter.acquire()
    with pytest.raises(UsageError, match=r"clock=loop\.time"):
        await limiter.acquire()
    assert limiter.statistics().waiting == 0


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """A clock that threads move by waiting."""
    clock = HandClock()
    monkeypatch.setattr(_rate_limiter, "pause_thread", clock.advance)
    return clock


def test_threads_wait_too(hand: HandClock) -> None:
    limiter = RateLimiter(limit=1, period=10.0, clock=hand)
    assert limiter.acquire_sync() == 0.0
    assert limiter.acquire_sync() == pytest.approx(10.0)
    with pytest.raises(RejectedError):
        limiter.acquire_sync(timeout=9.0)
    assert limiter.acquire_sync(timeout=10.5) == pytest.approx(10.0)


def test_threads_stand_in_one_line(hand: HandClock) -> None:
    limiter = RateLimiter(limit=1, period=10.0, clock=hand, max_wait=math.inf)
    limiter.acquire_sync()
    with ThreadPoolExecutor(5) as threads:
        waits = sorted(each.result(10) for each in [threads.submit(limiter.acquire_sync) for _ in range(5)])
    assert limiter.statistics().admitted == 6
    assert hand.now >= 1_000 + 50
    assert len(waits) == 5


async def test_synchronous_code_never_blocks_a_loop() -> None:
    """Where it would have to wait it is rejected, and nobody else on the loop notices."""
    limiter = RateLimiter(limit=1, period=10.0)
    assert limiter.acquire_sync() == 0.0
    with pytest.raises(RejectedError) as error:
        limiter.acquire_sync()
    assert error.value.retry_after == pytest.approx(10.0)


def test_a_waiter_whose_loop_was_closed_under_it_is_passed_over(hand: HandClock) -> None:
    limiter = RateLimiter(limit=1, period=10.0, clock=hand, max_wait=math.inf)
    limiter.acquire_sync()
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(limiter.acquire()) for _ in range(2)]
    loop.run_until_complete(asyncio.wait(tasks, timeout=0))
    first = next(iter(limiter._lines.waiting[None]))
    with ThreadPoolExecutor(1) as threads:
        behind = threads.submit(limiter.acquire_sync)
        while limiter.statistics().waiting < 3:
            pass
        loop.close()
        limiter._give_up(first, cancelled=True)
        assert behind.result(10) > 0
    # When at last the tasks are thrown away, they leave a line in which they are no more.
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
    del task, tasks, first
    assert limiter.statistics().waiting == 0


# --------------------------------------------------------------------------------------------------- keys


def test_keys_are_bounded_and_no_busy_one_is_forgotten() -> None:
    limiter, clock = _limiter(limit=1, period=10.0, max_keys=3)
    assert [limiter.try_acquire(number) for number in range(5)] == [True] * 3 + [False] * 2
    assert [limiter.try_acquire(number) for number in range(3)] == [False] * 3
    with pytest.raises(RejectedError) as error:
        limiter.acquire_nowait("new")
    assert error.value.retry_after == pytest.approx(10.0)
    clock.advance(10.0)
    assert limiter.try_acquire("new")
    for number in range(10_000):
        limiter.try_acquire(f"churn {number}")
        clock.advance(10.0)
        assert limiter.statistics().keys <= 3


async def test_a_key_too_many_does_not_wait() -> None:
    limiter = RateLimiter(limit=1, period=10.0, max_keys=1)
    await limiter.acquire("a")
    with pytest.raises(RejectedError):
        await limiter.acquire("b", timeout=20.0)


def test_status_is_a_look() -> None:
    limiter, clock = _limiter()
    assert limiter.status("ann") == limiter.status("ann")
    got = limiter.status("ann")
    assert (got.remaining, got.retry_after, got.reset_after, got.waiting) == (2, 0.0, 0.0, 0)
    limiter.try_acquire("ann", cost=2)
    clock.advance(1.0)
    got = limiter.status("ann")
    assert got.remaining == 0
    assert got.retry_after == pytest.approx(4.0)
    assert got.reset_after == pytest.approx(9.0)
    assert limiter.statistics().keys == 1


def test_what_it_tells_is_a_record_of_one_moment() -> None:
    """Named, since nobody remembers the order of its numbers; and it stays as it is."""
    limiter, _ = _limiter()
    for record in (limiter.status("ann"), limiter.statistics()):
        changed: Any = record
        with pytest.raises(FrozenInstanceError):
            changed.waiting = 1
        positional: Any = type(record)
        with pytest.raises(TypeError, match="positional"):
            positional(*astuple(record))


def test_reset_gives_the_burst_back() -> None:
    limiter, _ = _limiter()
    limiter.try_acquire("ann", cost=2)
    assert limiter.reset("ann")
    assert not limiter.reset("ann")
    assert limiter.try_acquire("ann", cost=2)


def test_it_shows_what_it_is() -> None:
    limiter, _ = _limiter(name="provider")
    limiter.try_acquire("ann")
    assert repr(limiter) == "<RateLimiter 'provider' 2 per 10 s, burst 2: 1 keys, 0 waiting>"
    assert repr(limiter.for_key("ann")).startswith("<RateLimit of 'ann' by <RateLimiter")


# --------------------------------------------------------------------------------------------------- its forms


async def test_as_caller_decorator_and_context_manager_of_async_code() -> None:
    limiter = RateLimiter(limit=1, period=10.0)
    loop = asyncio.get_running_loop()

    async def add(one: int, *, two: int) -> int:
        return one + two

    assert await limiter.call(add, 1, two=2) == 3
    assert await limiter(add)(3, two=4) == 7
    assert loop.time() == pytest.approx(10)
    async with limiter:
        assert loop.time() == pytest.approx(20)
    async with limiter.for_key("ann"):
        assert loop.time() == pytest.approx(20)
    assert limiter(add).__name__ == "add"


def test_as_caller_decorator_and_context_manager_of_plain_code(hand: HandClock) -> None:
    limiter = RateLimiter(limit=1, period=10.0, clock=hand)

    def add(one: int, *, two: int) -> int:
        return one + two

    assert limiter.call_sync(add, 1, two=2) == 3
    assert limiter(add)(3, two=4) == 7
    with limiter:
        pass
    assert hand.now == pytest.approx(1_020)
    with limiter.for_key("ann"):
        pass
    assert hand.now == pytest.approx(1_020)


async def test_rejecting_forms_run_nothing() -> None:
    limiter = RateLimiter(limit=1, period=10.0, on_limit="reject")
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    def plain() -> None:
        ran.append(2)

    await limiter.call(work)
    with pytest.raises(RejectedError):
        await limiter.call(work)
    with pytest.raises(RejectedError):
        limiter.call_sync(plain)
    with pytest.raises(RejectedError):
        await limiter(work)()
    with pytest.raises(RejectedError):
        limiter(plain)()
    with pytest.raises(RejectedError):
        async with limiter:
            ran.append(3)
    with pytest.raises(RejectedError), limiter:
        ran.append(4)
    assert ran == [1]


def test_generators_are_refused() -> None:
    limiter, _ = _limiter()

    def numbers() -> Any:
        yield 1

    async def async_numbers() -> Any:
        yield 1

    for wrong in (numbers, async_numbers, 5):
        with pytest.raises(UsageError, match="expects a function"):
            limiter(wrong)  # type: ignore[type-var]  # that is the point


# --------------------------------------------------------------------------------------------------- telemetry


async def test_its_events() -> None:
    bus = Bus(strict=True)
    heard: list[tuple[str, dict[str, float], dict[str, object]]] = []
    bus.attach(lambda event, numbers, rest: heard.append((event, dict(numbers), dict(rest))))
    limiter = RateLimiter(limit=1, period=10.0, max_keys=1, max_wait=15.0, bus=bus, name="provider")
    await limiter.acquire("a")
    assert heard.pop() == ("rate_limiter.admitted", {"count": 1}, {"limiter": "provider"})
    limiter.try_acquire("a")
    event, numbers, rest = heard.pop()
    assert (event, rest) == ("rate_limiter.rejected", {"limiter": "provider", "why": "limit"})
    assert numbers["retry_after"] == pytest.approx(10)
    limiter.try_acquire("b")
    assert heard.pop()[2] == {"limiter": "provider", "why": "keys"}
    task = asyncio.create_task(limiter.acquire("a"))
    await wait_until_idle()
    event, numbers, rest = heard.pop()
    assert (event, rest) == ("rate_limiter.delayed", {"limiter": "provider"})
    assert numbers["delay"] == pytest.approx(10)
    with pytest.raises(RejectedError):
        await limiter.acquire("a")
    assert heard.pop()[0] == "rate_limiter.rejected"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert heard.pop() == ("rate_limiter.cancelled", {"count": 1}, {"limiter": "provider"})
    limiter.reset("a")
    assert limiter.try_acquire("a")
    assert heard.pop()[0] == "rate_limiter.admitted"
    await limiter.acquire("a", timeout=12.0)
    assert [each[0] for each in heard] == ["rate_limiter.delayed"]
    assert bus.problems == ()


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("rate_limiter.")])
def test_every_event_of_the_catalogue_has_been_heard_above(name: str) -> None:
    """By name, in this file."""
    import inspect
    import sys

    assert f'"{name}"' in inspect.getsource(sys.modules[__name__])


async def test_a_coroutine_from_a_plain_function_is_refused_as_by_all_policies() -> None:
    """It was let in as plain code: where it would have to wait it was rejected, for a loop runs."""

    async def ask() -> int:
        return 5

    limiter = RateLimiter(limit=10)
    forgot: Any = lambda: ask()  # noqa: E731
    with pytest.raises(UsageError, match="returned a coroutine"):
        limiter.call_sync(forgot)
    with pytest.raises(UsageError, match="returned a coroutine"):
        limiter.for_key("ann")(forgot)()
    assert await limiter.call(forgot) == 5
