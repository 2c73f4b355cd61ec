"""Time comes from the loop, chance from a generator that is passed in."""

from __future__ import annotations

import asyncio
import pickle
import random
from typing import TYPE_CHECKING

from mabeam._base import (
    all_random_seeded,
    clock_of,
    monotonic,
    now,
    pause_thread,
    seeded_random,
    stopwatch_of,
    system_random,
    unique_id,
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


def test_a_seed_decides_what_a_system_generator_gives_meanwhile() -> None:
    """All kinds of draws, also of one that was made before; afterwards it goes on where it was, as the shared one does."""
    old = system_random()
    states = old.getstate(), random.getstate()

    def draws(generator: random.Random) -> list[object]:
        return [
            generator.random(),
            generator.uniform(1, 2),
            generator.getrandbits(64),
            generator.choice(range(10**6)),
        ]

    with all_random_seeded(1):
        first, second, shared = draws(old), draws(system_random()), random.random()  # noqa: TID251  (it is under test)
        with all_random_seeded(2):
            other = draws(old)
        third = draws(old)
    with all_random_seeded(1):
        assert [draws(system_random()), draws(old), draws(old)] == [first, second, third]
        assert random.random() == shared  # noqa: TID251  (as above)
    assert first != other
    assert (old.getstate(), random.getstate()) == states
    assert draws(old) != first


def test_no_seed_decides_what_must_never_come_twice() -> None:
    with all_random_seeded(1):
        one = unique_id()
    with all_random_seeded(1):
        assert unique_id() != one
    assert len(one) == 8


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
