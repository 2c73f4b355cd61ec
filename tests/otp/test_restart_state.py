"""The restart window and the backoff, compared with plain models of their rules."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import Backoff
from mabeam.otp._restart_state import NO_RESTARTS, RestartWindow, Retry

GAPS = st.lists(st.floats(0, 3) | st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=40)


@given(GAPS, st.integers(0, 5), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_restart_is_allowed_while_there_are_at_most_so_many_in_the_period(
    gaps: list[float], max_restarts: int, max_seconds: float
) -> None:
    """OTP's rule: the one that is added counts, and one exactly as old as the period does, too."""
    window = RestartWindow(max_restarts, max_seconds)
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        recent = [time for time in times if time >= now - max_seconds]
        allowed = window.add(now)
        assert allowed == (len(recent) <= max_restarts)
        if allowed:
            assert window.count == len(recent)


@pytest.mark.parametrize("max_restarts", [sys.maxsize - 1, sys.maxsize, 2**64])
def test_any_number_of_restarts_may_be_allowed(max_restarts: int) -> None:
    """As one does who wants no limit."""
    window = RestartWindow(max_restarts, 5.0)
    assert all(window.add(0.0) for _ in range(10))
    assert window.count == 10


def test_no_restarts_allows_none() -> None:
    """The first is one too many."""
    assert not RestartWindow(0, 5.0).add(0.0)


def test_the_window_does_not_grow_with_its_history() -> None:
    """It keeps what it needs to decide."""
    window = RestartWindow(3, 1e9)
    for now in range(1000):
        window.add(float(now))
    assert window.count == 4


@given(st.floats(0, 10), st.floats(1, 5), st.floats(0, 100), st.integers(1, 500))
def test_delays_grow_up_to_the_limit(first: float, factor: float, limit: float, attempt: int) -> None:
    """Never beyond, and never shrinking."""
    backoff = Backoff(first=first, factor=factor, limit=limit)
    assert backoff.check() == ()
    assert backoff.delay(1) == min(first, limit)
    assert 0 <= backoff.delay(attempt) <= backoff.delay(attempt + 1) <= limit


def test_delays_are_those_of_the_formula() -> None:
    """First, times the factor for each attempt, cut at the limit."""
    backoff = Backoff(first=0.5, factor=3.0, limit=10.0)
    assert [backoff.delay(attempt) for attempt in range(1, 6)] == [0.5, 1.5, 4.5, 10.0, 10.0]


@pytest.mark.parametrize(
    "options",
    [
        {"first": -1},
        {"factor": 0.5},
        {"limit": -0.1},
        {"first": math.nan},
        {"factor": math.nan},
        {"limit": math.nan},
    ],
)
def test_a_backoff_that_makes_no_sense_is_named(options: dict[str, Any]) -> None:
    """With the field and what was expected."""
    (problem,) = Backoff(**options).check()
    assert problem.startswith(f"Backoff.{next(iter(options))} expects")


@pytest.mark.parametrize("options", [{"first": "1"}, {"factor": None}])
def test_a_backoff_of_the_wrong_type_is_a_problem_like_any_other(options: dict[str, Any]) -> None:
    """Not an error in the check."""
    assert len(Backoff(**options).check()) == 1


@pytest.mark.parametrize("max_seconds", [0.0, 5.0, math.inf])
def test_the_first_restart_is_the_first_of_its_row(max_seconds: float) -> None:
    """Also at the moment in which time begins."""
    assert NO_RESTARTS.next(0.0, max_seconds, Backoff(first=1.0, factor=2.0)) == (1.0, (1, 1.0))


@pytest.mark.parametrize("counted", [False, True])
def test_a_retry_says_of_whom_and_whether_it_was_counted(*, counted: bool) -> None:
    retry = Retry("child", counted=counted)
    assert (retry.child, retry.counted) == ("child", counted)


def test_a_row_of_restarts_ends_with_more_than_the_period_of_peace() -> None:
    """Counted from when the last one was due, its last moment included."""
    backoff = Backoff(first=1.0, factor=2.0, limit=100.0)
    delay, row = NO_RESTARTS.next(50.0, 5.0, backoff)
    assert (delay, row) == (1.0, (1, 51.0))
    delay, row = row.next(56.0, 5.0, backoff)
    assert (delay, row) == (2.0, (2, 58.0))
    delay, row = row.next(63.5, 5.0, backoff)
    assert (delay, row) == (1.0, (1, 64.5))
