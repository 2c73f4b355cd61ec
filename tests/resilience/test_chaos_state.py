"""What is injected, by draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import UsageError
from mabeam.resilience._chaos_state import ChaosRules, Injection


def _rules(**options: Any) -> ChaosRules:
    given_: dict[str, Any] = {
        "fault_rate": 0.0,
        "latency_rate": 0.0,
        "latency": (0.0, 0.0),
        "outcome_rate": 0.0,
    }
    return ChaosRules(**{**given_, **options})


DRAW = st.floats(0, 1, exclude_max=True)


RATE = st.sampled_from([0.0, 0.25, 1.0])


@given(RATE, RATE, RATE, DRAW, DRAW, DRAW, DRAW)
def test_each_rate_is_for_itself_and_a_fault_leaves_no_outcome(
    fault: float, latency: float, outcome: float, first: float, second: float, third: float, fourth: float
) -> None:
    rules = _rules(fault_rate=fault, latency_rate=latency, latency=(1.0, 3.0), outcome_rate=outcome)
    injected = rules.draw(first, second, third, fourth)
    assert injected.latency == (1.0 + 2.0 * second if first < latency else 0.0)
    assert injected.fault == (third < fault)
    assert injected.outcome == (fourth < outcome and not third < fault)


def test_draws_at_the_border() -> None:
    assert _rules().draw(0.0, 0.0, 0.0, 0.0) == Injection(0.0, fault=False, outcome=False)
    half = _rules(fault_rate=0.5, latency_rate=0.5, latency=(2.0, 2.0), outcome_rate=0.5)
    assert half.draw(0.5, 0.5, 0.5, 0.5) == Injection(0.0, fault=False, outcome=False)
    assert half.draw(0.4, 0.5, 0.5, 0.4) == Injection(2.0, fault=False, outcome=True)
    assert half.draw(0.4, 0.5, 0.4, 0.4) == Injection(2.0, fault=True, outcome=False)


def test_rules_are_values() -> None:
    assert _rules(fault_rate=0.5) == _rules(fault_rate=0.5)
    changed: Any = _rules()
    with pytest.raises(AttributeError):
        changed.fault_rate = 1
    assert not hasattr(changed, "__dict__")
    positional: Any = ChaosRules
    with pytest.raises(TypeError):
        positional(0, 0, (0, 0), 0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fault_rate": 2}, "fault_rate expects a share of all calls, from 0 to 1, got 2"),
        ({"latency_rate": -1}, "latency_rate expects"),
        ({"outcome_rate": "x"}, "outcome_rate expects"),
        ({"latency": (-1.0, 2.0)}, "latency expects seconds >= 0, got -1.0"),
        ({"latency": (2.0, 1.0)}, "latency expects seconds >= 2, got 1.0"),
        ({"latency": (2.0, math.inf)}, "latency expects seconds that pass, got inf"),
    ],
)
def test_what_cannot_be_right_is_one_problem(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        _rules(**options)
    (found,) = raised.value.problems
    assert found.startswith(problem)
    assert _rules(latency=(0, 0), fault_rate=1, outcome_rate=1, latency_rate=1).latency == (0, 0)


@pytest.mark.parametrize("low", [-1, -0.5, "soon"])
def test_a_wrong_lower_end_of_a_latency_is_one_problem(low: Any) -> None:
    """What it goes up to cannot be judged then."""
    with pytest.raises(UsageError) as caught:
        ChaosRules(fault_rate=0.0, latency_rate=0.0, latency=(low, -2.0), outcome_rate=0.0)
    assert len(caught.value.problems) == 1
    assert "chaos" in str(caught.value)
    assert "not chaos" not in str(caught.value)


def test_a_latency_may_begin_below_a_second_and_goes_up() -> None:
    """Its upper end is at least its lower one."""
    rules = {"fault_rate": 0.0, "latency_rate": 0.0, "outcome_rate": 0.0}
    assert ChaosRules(latency=(0.25, 0.25), **rules).latency == (0.25, 0.25)
    with pytest.raises(UsageError, match="latency"):
        ChaosRules(latency=(0.25, 0.2), **rules)
