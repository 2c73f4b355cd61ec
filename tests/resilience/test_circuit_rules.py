"""The settings of a circuit breaker: defaults that depend, and everything that is wrong told at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from mabeam import Backoff, CircuitRules, UsageError
from mabeam.resilience._window_state import CountWindow, TimeWindow


def test_five_failures_in_a_row_unless_said_otherwise() -> None:
    rules = CircuitRules()
    assert rules.consecutive_failures == 5
    assert rules.window() is None
    assert not rules.is_timed
    assert (rules.open_seconds, rules.probes, rules.probe_failures) == (30.0, 1, 0)
    assert (rules.half_open_seconds, rules.cancelled) == (60.0, "ignore")


@pytest.mark.parametrize("rates", [{"failure_rate": 0.5}, {"slow_call_rate": 0.5, "slow_call_seconds": 1.0}])
def test_a_rate_replaces_the_five_and_has_a_window(rates: dict[str, Any]) -> None:
    rules = CircuitRules(**rates)
    assert rules.consecutive_failures is None
    assert (rules.window_calls, rules.minimum_calls) == (100, 10)
    window = rules.window()
    assert isinstance(window, CountWindow)
    assert window.size == 100
    assert rules.is_timed == ("slow_call_seconds" in rates)


def test_defaults_that_depend_on_each_other() -> None:
    alone = CircuitRules(consecutive_failures=2)
    assert (alone.consecutive_failures, alone.minimum_calls, alone.window_calls) == (2, None, None)
    assert CircuitRules(slow_call_rate=1, slow_call_seconds=0.5, window_calls=7).window_calls == 7
    assert (
        CircuitRules(half_open_seconds=0.5, slow_call_rate=1, slow_call_seconds=0.5).half_open_seconds == 0.5
    )
    assert CircuitRules(failure_rate=0.5, window_calls=4).minimum_calls == 4
    assert CircuitRules(failure_rate=0.5, window_calls=40).minimum_calls == 10
    timed = CircuitRules(failure_rate=1, window_seconds=3.0)
    assert (timed.window_calls, timed.minimum_calls, timed.is_timed) == (None, 10, True)
    window = timed.window()
    assert isinstance(window, TimeWindow)
    assert window.seconds == 3.0
    assert CircuitRules(failure_rate=1, window_seconds=3.0, minimum_calls=1000).minimum_calls == 1000
    assert CircuitRules(failure_rate=1, window_calls=7, minimum_calls=7).minimum_calls == 7
    assert CircuitRules(failure_rate=1, window_calls=10_000_000).window_calls == 10_000_000
    both = CircuitRules(failure_rate=1, consecutive_failures=2)
    assert (both.consecutive_failures, both.failure_rate) == (2, 1)


def test_open_for_is_fixed_or_grows() -> None:
    assert [CircuitRules(open_seconds=7).open_for(n) for n in (1, 2, 9)] == [7, 7, 7]
    grows = CircuitRules(open_seconds=Backoff(first=1.0, factor=3.0, limit=5.0))
    assert [grows.open_for(n) for n in (1, 2, 3)] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"consecutive_failures": 0}, "consecutive_failures expects a whole number >= 1, got 0"),
        ({"consecutive_failures": 1.5}, "consecutive_failures expects"),
        ({"consecutive_failures": True}, "consecutive_failures expects"),
        ({"failure_rate": 0}, "failure_rate expects"),
        ({"failure_rate": 1.01}, "failure_rate expects"),
        (
            {"failure_rate": 50},
            "failure_rate expects a share of all calls, above 0 to 1, got 50; 0.5 is one half",
        ),
        ({"failure_rate": math.nan}, "failure_rate expects"),
        ({"failure_rate": "1"}, "failure_rate expects"),
        ({"failure_rate": True}, "failure_rate expects"),
        ({"slow_call_rate": 0, "slow_call_seconds": 1}, "slow_call_rate expects"),
        ({"slow_call_rate": 1, "slow_call_seconds": 0}, "slow_call_seconds expects seconds > 0"),
        ({"slow_call_rate": 1}, "slow_call_rate and slow_call_seconds expect"),
        ({"slow_call_seconds": 1}, "slow_call_rate and slow_call_seconds expect"),
        ({"failure_rate": 1, "window_calls": 0}, "window_calls expects"),
        ({"failure_rate": 1, "window_calls": 10_000_001}, "window_calls expects at most 10,000,000"),
        ({"failure_rate": 1, "window_seconds": math.inf}, "window_seconds expects"),
        ({"failure_rate": 1, "window_seconds": 0}, "window_seconds expects"),
        ({"failure_rate": 1, "minimum_calls": 0}, "minimum_calls expects"),
        ({"failure_rate": 1, "minimum_calls": 101}, "minimum_calls expects at most window_calls (100)"),
        ({"failure_rate": 1, "minimum_calls": 6, "window_calls": 5}, "minimum_calls expects at most"),
        (
            {"failure_rate": 1, "window_calls": 1, "window_seconds": 1},
            "window_calls and window_seconds exclude each other",
        ),
        ({"window_calls": 5}, "window_calls expect failure_rate or slow_call_rate"),
        ({"window_seconds": 5, "minimum_calls": 1}, "window_seconds and minimum_calls expect failure_rate"),
        ({"open_seconds": 0}, "open_seconds expects seconds > 0"),
        ({"open_seconds": math.inf}, "open_seconds expects"),
        ({"open_seconds": Backoff(first=-1)}, "open_seconds.first expects"),
        ({"probes": 0}, "probes expects"),
        ({"probe_failures": -1}, "probe_failures expects"),
        ({"probe_failures": 1}, "probe_failures expects less than probes (1), got 1"),
        ({"probes": 2, "probe_failures": "x"}, "probe_failures expects a whole number"),
        ({"failure_rate": 1, "window_calls": 0, "minimum_calls": 5}, "window_calls expects"),
        (
            {"failure_rate": 1, "window_calls": 1, "minimum_calls": 2},
            "minimum_calls expects at most window_calls (1)",
        ),
        ({"half_open_seconds": 0}, "half_open_seconds expects"),
        ({"cancelled": "success"}, "cancelled expects one of 'ignore', 'failure', got 'success'"),
    ],
)
def test_what_cannot_be_right_is_one_problem(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        CircuitRules(**options)
    (found,) = raised.value.problems
    assert found.startswith(problem)
    assert found in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    wrong: dict[str, Any] = {
        "failure_rate": 2,
        "open_seconds": -1,
        "probes": "2",
        "probe_failures": "x",
        "window_calls": "y",
        "minimum_calls": 4,
    }
    with pytest.raises(UsageError) as raised:
        CircuitRules(**wrong)
    assert [problem.split()[0] for problem in raised.value.problems] == [
        "failure_rate",
        "window_calls",
        "open_seconds",
        "probes",
        "probe_failures",
    ]


def test_rules_are_values() -> None:
    changed: Any = CircuitRules(probes=2, probe_failures=1, half_open_seconds=None)
    assert changed == CircuitRules(probes=2, probe_failures=1, half_open_seconds=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.probes = 3
    positional: Any = CircuitRules
    with pytest.raises(TypeError):
        positional(5)
    assert not hasattr(changed, "__dict__")
