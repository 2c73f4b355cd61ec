"""Time comes from the loop, chance from a generator that is passed in."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING

from mabeam._base import (
    clock_of,
    monotonic,
    now,
    pause_thread,
    seeded_random,
    stopwatch_of,
    system_random,
    wall_time,
)
from mabeam.testing import VirtualLoop

if TYPE_CHECKING:
    import pytest


def test_now_is_the_time_that_timers_are_set_by() -> None:
    """A timer set for ``now() + x`` runs when ``now()`` says so."""

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = now(loop)
        reached = loop.create_future()
        loop.call_at(before + 3.5, lambda: reached.set_result(now(loop)))
        return before, await reached

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        before, after = runner.run(main())
    assert after == before + 3.5


def test_a_stopwatch_on_a_virtual_loop_measures_virtual_time() -> None:
    """Durations are the virtual ones, to the last digit."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        stopwatch = stopwatch_of(loop)
        before = stopwatch()
        reached = loop.create_future()
        loop.call_later(0.1, reached.set_result, None)
        await reached
        return stopwatch() - before

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 0.1


def test_a_stopwatch_on_a_real_loop_moves_within_one_iteration() -> None:
    """It is not the loop's time, which some loops read only once per iteration."""

    async def main() -> bool:
        stopwatch = stopwatch_of(asyncio.get_running_loop())
        first = stopwatch()
        return any(stopwatch() > first for _ in range(1_000_000))

    with asyncio.Runner() as runner:
        assert runner.run(main())


def test_wall_time_is_a_date() -> None:
    """It counts from 1970, so it can be written as a date."""
    assert wall_time() > 1_700_000_000


def test_equal_seeds_draw_equally() -> None:
    """A seed decides all draws, and different seeds draw differently."""
    assert [seeded_random("x").random() for _ in range(3)] == [seeded_random("x").random()] * 3
    assert seeded_random(1).random() != seeded_random(2).random()


def test_a_system_generator_shares_its_state_with_nobody() -> None:
    """Two of them have different states, and drawing from one leaves the other."""
    one, other = system_random(), system_random()
    before = pickle.dumps(other.getstate())
    assert one.getstate() != other.getstate()
    one.random()
    assert pickle.dumps(other.getstate()) == before


def test_monotonic_is_the_loops_where_that_is_virtual_and_the_same_for_all_elsewhere() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = monotonic(), clock_of(loop)()
        reached = loop.create_future()
        loop.call_later(7200, reached.set_result, None)
        await reached
        return monotonic() - before[0], clock_of(loop)() - before[1]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == (7200, 7200)

    async def really() -> float:
        return monotonic()

    first = monotonic()
    second = asyncio.run(really())
    assert first <= second <= clock_of(None)()


def test_a_pause_of_nothing_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("mabeam._base._clock.time.sleep", slept.append)
    pause_thread(0)
    pause_thread(-1)
    pause_thread(2.5)
    assert slept == [2.5]
