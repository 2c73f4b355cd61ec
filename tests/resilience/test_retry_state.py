"""Whether there is another attempt and when, against the rules in words."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import Backoff, UsageError
from mabeam.resilience._retry_state import RetryRules, RetryState

NOW = 0.0


def _rules(**options: Any) -> RetryRules:
    given_: dict[str, Any] = {
        "attempts": 3,
        "total_seconds": None,
        "backoff": Backoff(first=1.0, factor=2.0, limit=5.0),
        "jitter": "none",
        "retry_after_limit": 60.0,
    }
    return RetryRules(**{**given_, **options})


@given(
    st.one_of(st.none(), st.integers(1, 4)),
    st.sampled_from([None, 0.0, 3.0, 20.0]),
    st.sampled_from(["none", "full", "equal"]),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from([None, 0.0, 2.5, 9.0, 9.5]))),
)
def test_the_state_against_the_rules_in_words(
    attempts: int | None, total: float | None, jitter: Any, failures: list[tuple[float, float, float | None]]
) -> None:
    if attempts is None and total is None:
        return
    state = RetryState(
        _rules(attempts=attempts, total_seconds=total, jitter=jitter, retry_after_limit=9.0), NOW
    )
    now, made = NOW, 1
    for took, draw, asked in failures:
        now += took
        whole = min(5.0, 2.0 ** (made - 1))
        wanted = {"none": whole, "full": whole * draw, "equal": whole / 2 + whole / 2 * draw}[jitter]
        why = None
        if attempts is not None and made == attempts:
            why = "attempts"
        elif asked is not None and asked > 9.0:
            why = "retry_after"
        elif total is not None and now + max(wanted, asked or 0.0) > total + 1e-9:
            why = "total_seconds"
        delay = state.failed(now, draw, asked)
        if state.gave_up == "total_seconds" and why is None:
            return  # just at the limit, where the model rounds
        assert state.gave_up == why
        if why is not None:
            assert delay is None
            assert state.attempts == made
            return
        assert delay is not None
        assert delay == pytest.approx(max(wanted, asked or 0.0))
        made += 1
        assert state.attempts == made
        now += delay


def test_the_state_at_its_borders() -> None:
    state = RetryState(_rules(total_seconds=3.0), 10.0)
    assert state.failed(12.0, 0.0) == 1.0  # just in time
    assert state.failed(12.0, 0.0) is None
    assert (state.gave_up, state.attempts) == ("total_seconds", 2)
    state = RetryState(_rules(retry_after_limit=4.0), 0.0)
    assert state.gave_up is None
    assert state.failed(0.0, 0.0, 4.0) == 4.0
    assert state.failed(0.0, 0.0, 4.1) is None
    assert state.gave_up == "retry_after"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"attempts": 0},
            "attempts expects a whole number >= 1, got 0; the first run is an attempt, so 1 is no retry",
        ),
        ({"attempts": 2.5}, "attempts expects"),
        ({"attempts": None}, "would go on for ever"),
        ({"total_seconds": -1}, "total_seconds expects seconds >= 0"),
        ({"backoff": 3}, "backoff expects a Backoff, got 3"),
        ({"backoff": Backoff(first=-1)}, "Backoff.first expects"),
        ({"jitter": "some"}, "jitter expects one of 'full', 'equal', 'none'"),
        ({"retry_after_limit": -1}, "retry_after_limit expects"),
        ({"retry_after_limit": math.nan}, "retry_after_limit expects"),
    ],
)
def test_what_cannot_be_right_is_one_problem(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        _rules(**options)
    (found,) = raised.value.problems
    assert problem in found
    assert found.startswith((problem.split(maxsplit=1)[0], "attempts and"))


def test_rules_are_values_and_zero_is_a_number_of_seconds() -> None:
    assert _rules(total_seconds=0, retry_after_limit=0) == _rules(total_seconds=0, retry_after_limit=0)
    assert not hasattr(_rules(), "__dict__")
    changed: Any = _rules()
    with pytest.raises(AttributeError):
        changed.attempts = 5
    positional: Any = RetryRules
    with pytest.raises(TypeError, match="positional"):
        positional(1, 1, 1, 1, 1)
