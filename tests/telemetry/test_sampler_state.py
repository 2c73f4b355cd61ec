"""What samplers decide, against models that are simple and slow."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mabeam._base import seeded_random
from mabeam.telemetry._sampler_state import AdaptiveState, PerSecondState

#: Steps of time in seconds, exact in binary, so that the edges are hit.
STEPS = st.lists(st.sampled_from((0.0, 0.125, 0.25, 0.5, 1.0, 2.0)), max_size=60)


@given(st.integers(1, 5), STEPS)
def test_per_second_keeps_what_the_model_keeps(limit: int, steps: list[float]) -> None:
    """One is kept if fewer than `limit` were kept within the second before it."""
    state, now = PerSecondState(limit), 0.0
    kept: list[float] = []
    for step in steps:
        now += step
        expected = sum(1 for time in kept if now - time < 1.0) < limit
        assert state.keep(now) is expected
        if expected:
            kept.append(now)


@given(st.integers(1, 5), STEPS, st.integers(0, 15))
def test_per_second_never_keeps_more_in_any_second(limit: int, steps: list[float], shift: int) -> None:
    """Wherever that second begins: there is no double burst at an edge."""
    state, now = PerSecondState(limit), 0.0
    kept = [now for step in steps if state.keep(now := now + step)]
    for start in {*kept, shift / 8}:
        assert sum(1 for time in kept if start <= time < start + 1.0) <= limit


def test_per_second_counts_anew_when_the_clock_goes_backwards() -> None:
    state = PerSecondState(1)
    assert [state.keep(now) for now in (100.0, 100.5, 3.0, 3.5)] == [True, False, True, False]


def test_per_second_counts_anew_however_little_the_clock_goes_backwards() -> None:
    """Also when it does not go back to before all that is remembered."""
    state = PerSecondState(2)
    assert [state.keep(now) for now in (0.0, 0.5, 0.25, 0.5, 0.5)] == [True, True, True, True, False]


@given(st.floats(0.5, 50.0), STEPS, st.lists(st.floats(0.0, 0.999), min_size=60, max_size=60))
def test_the_adaptive_share_is_a_share(target: float, steps: list[float], draws: list[float]) -> None:
    """Between 0 and 1, never nothing; a draw of 0 is always kept."""
    state, now = AdaptiveState(target, 1.0), 0.0
    for step, draw in zip(steps, draws, strict=False):
        now += step
        assert state.keep(now, draw) is (draw < state.share)
        assert 0.0 < state.share <= 1.0
        assert state.rate is None or math.isclose(state.share, min(1.0, target / max(state.rate, 1e-9)))


def run(state: AdaptiveState, rate: float, seconds: float, begin: float = 0.0) -> int:
    """So many a second for so long; how many were kept."""
    random = seeded_random(f"{rate} {begin}")
    return sum(state.keep(begin + index / rate, random.random()) for index in range(int(rate * seconds)))


def test_adaptive_keeps_everything_while_less_comes_than_it_may_keep() -> None:
    assert run(AdaptiveState(10.0, 1.0), 9.0, 100.0) == 900


def test_adaptive_keeps_about_its_target_of_any_load() -> None:
    """A steady one, ten times and a thousand times too high."""
    for rate in (100.0, 10_000.0):
        state = AdaptiveState(10.0, 1.0)
        run(state, rate, 5.0)
        assert 0.7 * 10 * 20 < run(state, rate, 20.0, begin=5.0) < 1.3 * 10 * 20


def test_a_sudden_burst_does_not_go_through_whole() -> None:
    """A quiet hour has opened it fully; then a thousand times as many come."""
    state = AdaptiveState(10.0, 1.0)
    run(state, 1.0, 10.0)
    assert run(state, 10_000.0, 1.0, begin=10.0) < 100


def test_a_lull_opens_it_step_by_step_until_it_is_open() -> None:
    state = AdaptiveState(10.0, 1.0)
    run(state, 1_000.0, 3.0)
    shares = []
    for second in range(3, 20):
        run(state, 2.0, 1.0, begin=float(second))
        shares.append(state.share)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0


def test_after_a_long_lull_everything_is_kept_from_the_first_on() -> None:
    """Windows in which nothing came count as well, though nobody was there to end them."""
    state = AdaptiveState(10.0, 1.0)
    run(state, 10_000.0, 3.0)
    assert state.share < 0.01
    assert all(state.keep(3_600.0 + 60.0 * minute, 0.999) for minute in range(30))


def test_the_difference_is_halved_once_for_each_window_that_is_over() -> None:
    state = AdaptiveState(2.0, 1.0)
    for number in range(6):
        state.keep(number / 8, 0.999)
    assert state.rate == 8.0
    state.keep(0.625 + 2.5, 0.999)  # 1 within 2.5 s: two windows are over
    assert state.rate == 8.0 + (0.4 - 8.0) * 0.75


def test_a_window_that_ends_early_halves_the_difference_as_one_that_is_over() -> None:
    state = AdaptiveState(2.0, 1.0)
    for number in range(6):
        state.keep(number / 1024, 0.999)
    assert state.rate == 1024.0
    for number in range(1, 7):
        state.keep(5 / 1024 + number / 10.0, 0.0)  # five are kept, one more than twice the target
    assert state.rate is not None
    assert abs(state.rate - (1024.0 + 10.0) / 2) < 0.001


def test_adaptive_keeps_everything_when_it_cannot_know() -> None:
    """Before the first window is over, when the clock goes backwards, when it stands still."""
    state = AdaptiveState(1.0, 1.0)
    assert state.keep(0.0, 0.99)
    run(state, 1_000.0, 2.0)
    assert state.share < 0.1
    assert state.keep(-5.0, 0.99)
    assert (state.share, state.rate) == (1.0, None)
    assert all(state.keep(-5.0, 0.99) for _ in range(100))


def test_the_adaptive_rate_by_example() -> None:
    """A window ends when it is over, or once more than twice its target has been kept; a fall is believed by half."""
    state = AdaptiveState(2.0, 1.0)
    for number in range(5):  # 0 to 0.5: the fifth is one more than twice the target
        assert state.keep(number / 8, 0.999)
        assert (state.rate, state.share) == (None, 1.0)
    assert not state.keep(0.625, 0.25)  # 5 within 0.625 s are 8 a second
    assert (state.rate, state.share) == (8.0, 0.25)
    assert state.keep(0.75, 0.2499)
    assert not state.keep(1.5, 0.5)
    assert state.rate == 8.0
    state.keep(1.625, 0.5)  # 3 within 1 s
    assert (state.rate, state.share) == (5.5, 2.0 / 5.5)
    state.keep(2.625, 0.5)  # 1 within 1 s
    assert state.rate == 3.25
    for _ in range(2):
        state.keep(3.5, 0.5)
    assert state.keep(3.625, 0.5)  # 3 within 1 s: less than it looked, by a quarter
    assert state.rate == 3.125


def test_adaptive_knows_nothing_before_the_first() -> None:
    state = AdaptiveState(2.0, 1.0)
    assert (state.rate, state.share) == (None, 1.0)


def test_a_rise_is_believed_at_once() -> None:
    """Not by half, as a fall is."""
    state = AdaptiveState(2.0, 1.0)
    state.keep(0.0, 0.999)
    state.keep(1.0, 0.999)
    assert state.rate == 1.0
    for _ in range(3):
        state.keep(1.5, 0.999)
    state.keep(2.0, 0.999)  # 4 within 1 s
    assert (state.rate, state.share) == (4.0, 0.5)


def test_the_adaptive_target_is_for_each_second_of_a_window() -> None:
    """One of four seconds ends early once eight times its target has been kept."""
    state = AdaptiveState(1.0, 4.0)
    for number in range(9):
        assert state.keep(number / 8, 0.999)
        assert state.rate is None
    assert not state.keep(1.125, 0.999)  # 9 within 1.125 s
    assert (state.rate, state.share) == (8.0, 0.125)


def test_a_rate_that_is_just_its_target_is_kept_whole() -> None:
    state = AdaptiveState(1.0, 1.0)
    assert all(state.keep(float(second), 0.999) for second in range(5))
    assert (state.rate, state.share) == (1.0, 1.0)
