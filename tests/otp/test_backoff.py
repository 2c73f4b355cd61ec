"""The wait before a restart: its defaults, its formula, its mistakes."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import pytest

from mabeam import Backoff


def test_the_defaults_are_a_tenth_of_a_second_doubled_up_to_ten() -> None:
    backoff = Backoff()
    assert (backoff.first, backoff.factor, backoff.limit) == (0.1, 2.0, 10.0)
    assert [backoff.delay(attempt) for attempt in (1, 2, 3, 7, 8, 100)] == [0.1, 0.2, 0.4, 6.4, 10.0, 10.0]
    assert backoff.check() == ()


def test_it_is_a_value() -> None:
    """Named fields only, and none of them changes."""
    changed: Any = Backoff()
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.first = 5.0
    with pytest.raises(TypeError, match="positional"):
        Backoff(0.1)  # type: ignore[call-arg]  # what is refused
    assert Backoff(first=1.0) == Backoff(first=1.0)


def test_it_grows_until_it_has_reached_its_limit() -> None:
    """However slowly, and however long the series is: a float cannot hold one without end."""
    backoff = Backoff(first=1.0, factor=1.01, limit=100.0)
    assert backoff.delay(65) == 1.01**64
    assert backoff.delay(463) == 1.01**462 < 100.0
    assert backoff.delay(464) == backoff.delay(10**9) == 100.0
    assert Backoff(first=0.5, factor=10, limit=math.inf).delay(10**6) == math.inf
    assert Backoff(first=0.5, factor=1e300, limit=10.0).delay(5) == 10.0
    assert Backoff(first=0.0, factor=1e300, limit=10.0).delay(5) == 0.0


@pytest.mark.parametrize(
    ("options", "field"),
    [({"first": True}, "first"), ({"factor": True}, "factor"), ({"limit": True}, "limit")],
)
def test_true_is_no_number(options: dict[str, Any], field: str) -> None:
    """To Python it is 1."""
    (problem,) = Backoff(**options).check()
    assert problem.startswith(f"Backoff.{field} expects")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"first": -0.5}, "Backoff.first expects seconds >= 0, got -0.5"),
        ({"factor": 0.5}, "Backoff.factor expects a number >= 1, got 0.5"),
        ({"limit": -0.5}, "Backoff.limit expects seconds >= 0, got -0.5"),
        ({"limit": "5"}, "Backoff.limit expects seconds >= 0, got '5'"),
        ({"first": None}, "Backoff.first expects seconds >= 0, got None"),
        ({"first": math.inf}, "Backoff.first expects seconds >= 0, got inf"),
        ({"factor": math.inf}, "Backoff.factor expects a number >= 1, got inf"),
        ({"factor": math.nan}, "Backoff.factor expects a number >= 1, got nan"),
        ({"first": 10**309}, f"Backoff.first expects seconds >= 0, got {10**309}"),
        ({"limit": 10**309}, f"Backoff.limit expects seconds >= 0, got {10**309}"),
    ],
)
def test_what_is_too_small_or_no_number_is_one_problem(options: dict[str, Any], problem: str) -> None:
    assert Backoff(**options).check() == (problem,)


@pytest.mark.parametrize(
    "options",
    [
        {"first": 0},
        {"limit": 0},
        {"factor": 1},
        {"first": 1, "limit": 2},
        {"first": sys.float_info.max},
        {"limit": math.inf},
        {"limit": sys.float_info.max},
    ],
)
def test_the_smallest_numbers_and_whole_ones_are_right(options: dict[str, Any]) -> None:
    assert Backoff(**options).check() == ()
