"""The windows, compared with lists of everything that happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.resilience._window_state import BUCKETS, CountWindow, TimeWindow, Window

MARKS = st.integers(0, 3)


def _totals(marks: list[int]) -> tuple[int, int, int]:
    return len(marks), sum(mark in {1, 3} for mark in marks), sum(mark in {2, 3} for mark in marks)


def _of(window: Window) -> tuple[int, int, int]:
    return window.calls, window.failed, window.slow


@given(st.integers(1, 7), st.lists(MARKS, max_size=40))
def test_a_window_of_calls_holds_the_last_so_many(size: int, marks: list[int]) -> None:
    window = CountWindow(size)
    for number, mark in enumerate(marks):
        window.add(mark, 0.0)
        assert _of(window) == _totals(marks[max(0, number + 1 - size) : number + 1])
    window.look(1e9)
    assert _of(window) == _totals(marks[-size:])


@given(st.lists(st.tuples(st.integers(0, 130), MARKS), max_size=40), st.integers(0, 130))
def test_a_window_of_time_holds_the_last_hundred_parts(steps: list[tuple[int, int]], wait: int) -> None:
    """Steps of whole parts, and calls in the middle of them, so that the model needs no rounding."""
    window = TimeWindow(100.0)
    part, happened = 0, list[tuple[int, int]]()
    for step, mark in steps:
        part += step
        happened.append((part, mark))
        window.add(mark, 7.5 + part)
        assert _of(window) == _totals([old for when, old in happened if when > part - BUCKETS])
    part += wait
    window.look(7.5 + part)
    assert _of(window) == _totals([old for when, old in happened if when > part - BUCKETS])


@given(st.floats(0.5, 500.0), st.lists(st.floats(0, 700.0), max_size=30))
def test_a_window_of_time_is_exact_to_a_hundredth(seconds: float, gaps: list[float]) -> None:
    """What is younger than 99 hundredths is in it, what is older than the window is not."""
    window = TimeWindow(seconds)
    now, times = 0.0, list[float]()
    for gap in gaps:
        now += gap
        times.append(now)
        window.add(1, now)
        younger = sum(now - when < seconds * 0.9899 for when in times)
        not_older = sum(now - when <= seconds * 1.0001 for when in times)
        assert younger <= window.calls <= not_older
        assert window.calls == window.failed


@pytest.mark.parametrize("late", [0.0, 6.9])
def test_a_call_of_a_thread_that_is_a_little_late_counts_in_the_latest_part(late: float) -> None:
    window = TimeWindow(100.0)
    window.add(1, 50.0)
    window.add(2, 50.0 - late)
    assert _of(window) == (2, 1, 1)
    window.look(149.9)
    assert _of(window) == (2, 1, 1)
    window.look(150.0)
    assert _of(window) == (0, 0, 0)


def test_the_first_part_begins_with_the_first_call() -> None:
    window = TimeWindow(10.0)
    window.add(1, 3.0)
    window.look(12.99)
    assert window.calls == 1
    window.look(13.0)
    assert _of(window) == (0, 0, 0)


def test_a_border_belongs_to_the_part_that_begins_there() -> None:
    for look in (True, False):
        window = TimeWindow(100.0)
        window.add(0, 0.0)
        if look:
            window.look(1.0)
        window.add(1, 1.0)
        window.look(100.5)
        assert _of(window) == (1, 1, 0)
        window.look(101.0)
        assert _of(window) == (0, 0, 0)


def test_a_silence_is_no_longer_for_the_part_that_came_before_it() -> None:
    """The first look afterwards is the one that forgets."""
    for silence, expected in ((99.99, (1, 0, 1)), (100.0, (0, 0, 0))):
        window = TimeWindow(100.0)
        window.add(1, 0.0)
        window.add(2, 1.0)
        window.look(1.0 + silence)
        assert _of(window) == expected


def test_looking_again_at_the_same_time_forgets_nothing() -> None:
    window = TimeWindow(100.0)
    assert window.seconds == 100.0
    window.add(1, 0.5)
    for _ in range(200):
        window.look(0.6)
    assert _of(window) == (1, 1, 0)


def test_a_border_that_rounding_puts_into_the_part_before_is_in_the_part_after() -> None:
    """7 + 0.436 is where the second part begins; (7.436 - 7) / 0.436 is less than 1 in floating point."""
    window = TimeWindow(43.6)
    window.add(1, 7.0)
    window.add(2, 7.436)
    window.look(50.6)
    assert _of(window) == (1, 0, 1)
