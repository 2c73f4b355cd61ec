"""The machine of the circuit breaker, law by law; ``test_circuit_machine`` compares it with a model."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import Backoff, CircuitRules
from mabeam.resilience._circuit_state import FAILED, IGNORED, LOST, REFUSED, SUCCEEDED, CircuitState


def _state(**rules: Any) -> CircuitState:
    return CircuitState(CircuitRules(**rules), 100.0)


def _do(state: CircuitState, *outcomes: int, now: float = 100.0, slow: bool = False) -> None:
    for outcome in outcomes:
        permit = state.admit(now)
        assert permit != REFUSED
        assert state.record(permit, outcome, slow, now)


def _phase(state: CircuitState) -> str:
    return state.phase


def _opened(**rules: Any) -> CircuitState:
    state = _state(consecutive_failures=1, **rules)
    _do(state, FAILED)
    assert _phase(state) == "open"
    return state


def test_it_opens_at_so_many_failures_in_a_row() -> None:
    state = _state(consecutive_failures=3)
    _do(state, FAILED, FAILED, SUCCEEDED, FAILED, FAILED)
    assert (_phase(state), state.in_row) == ("closed", 2)
    _do(state, IGNORED, LOST, FAILED)  # what says nothing does not end the row
    assert _phase(state) == "open"
    assert [(each.before, each.after, each.reason, each.generation) for each in state.transitions] == [
        ("closed", "open", "consecutive_failures", 1)
    ]
    assert (state.failed, state.succeeded, state.ignored, state.lost) == (5, 1, 1, 1)


def test_it_opens_by_rate_only_with_enough_calls() -> None:
    state = _state(failure_rate=0.5, minimum_calls=4, window_calls=4)
    _do(state, FAILED, FAILED, FAILED)
    assert _phase(state) == "closed"
    _do(state, SUCCEEDED)  # the fourth call makes the rate known; that it went well does not change it
    assert _phase(state) == "open"
    assert state.transitions[0].reason == "failure_rate"


def test_a_rate_of_three_in_thirty_is_a_tenth() -> None:
    """In floating point 0.1 * 30 is more than 3; the rate must be reached all the same."""
    state = _state(failure_rate=0.1, minimum_calls=30, window_calls=30)
    _do(state, *[FAILED] * 3, *[SUCCEEDED] * 26)
    assert _phase(state) == "closed"
    _do(state, SUCCEEDED)
    assert _phase(state) == "open"


def test_below_the_rate_it_stays_closed() -> None:
    state = _state(failure_rate=0.5, minimum_calls=1, window_calls=10)
    _do(state, SUCCEEDED, SUCCEEDED, FAILED, SUCCEEDED, FAILED)
    assert _phase(state) == "closed"
    _do(state, FAILED)
    assert _phase(state) == "open"


def test_slow_calls_open_it_whether_they_fail_or_not() -> None:
    state = _state(slow_call_rate=1.0, slow_call_seconds=1.0, minimum_calls=2, window_calls=2)
    _do(state, SUCCEEDED, slow=True)
    assert (_phase(state), state.slow) == ("closed", 1)
    _do(state, FAILED, slow=True)
    assert (_phase(state), state.slow, state.failed, state.succeeded) == ("open", 2, 1, 1)
    assert state.transitions[0].reason == "slow_call_rate"


def test_slow_calls_below_their_rate_leave_it_closed() -> None:
    """And one that is slow is no failure for that."""
    state = _state(
        slow_call_rate=0.5, slow_call_seconds=1.0, failure_rate=0.25, minimum_calls=4, window_calls=4
    )
    _do(state, SUCCEEDED, SUCCEEDED, SUCCEEDED)
    _do(state, SUCCEEDED, slow=True)
    assert _phase(state) == "closed"
    assert state.window is not None
    assert (state.window.calls, state.window.slow, state.window.failed) == (4, 1, 0)
    _do(state, SUCCEEDED, slow=True)
    assert (_phase(state), state.transitions[0].reason) == ("open", "slow_call_rate")


def test_failures_that_are_not_slow_do_not_count_as_slow() -> None:
    state = _state(slow_call_rate=0.5, slow_call_seconds=1.0, minimum_calls=1, window_calls=4)
    _do(state, FAILED, FAILED, FAILED)
    assert _phase(state) == "closed"
    assert (state.slow, state.window and state.window.slow, state.window and state.window.failed) == (0, 0, 3)


def test_the_slow_call_that_is_the_last_failure_in_a_row_is_counted() -> None:
    state = _state(consecutive_failures=1, slow_call_rate=1.0, slow_call_seconds=1.0)
    _do(state, FAILED, slow=True)
    assert (_phase(state), state.slow, state.failed) == ("open", 1, 1)


def test_a_time_window_forgets() -> None:
    state = _state(failure_rate=0.5, minimum_calls=2, window_seconds=10.0)
    _do(state, FAILED, now=100.0)
    _do(state, SUCCEEDED, SUCCEEDED, now=111.0)
    assert _phase(state) == "closed"
    _do(state, FAILED, now=111.0)
    assert _phase(state) == "closed"
    _do(state, FAILED, now=119.0)
    assert _phase(state) == "open"


def test_open_it_refuses_until_the_time_is_over() -> None:
    state = _opened(open_seconds=30.0)
    assert state.admit(129.9) == REFUSED
    assert state.retry_after(129.0) == 1.0
    assert state.retry_after(131.0) == 0.0
    assert state.rejected == 1
    assert _phase(state) == "open"
    assert state.admit(130.0) == 2
    assert (_phase(state), state.held, state.generation) == ("half_open", 1, 2)
    assert state.transitions[-1] == ("open", "half_open", "open_over", 2)


def test_half_open_it_admits_as_many_as_it_may_and_closes_when_all_are_back() -> None:
    state = _opened(probes=3)
    permits = [state.admit(130.0) for _ in range(4)]
    assert permits == [2, 2, 2, REFUSED]
    assert state.retry_after(130.0) is None
    for permit in permits[:2]:
        assert state.record(permit, SUCCEEDED, False, 131.0)
    assert (_phase(state), state.held, state.passed) == ("half_open", 1, 2)
    assert state.admit(131.0) == REFUSED  # three of three are out or back
    assert state.record(2, SUCCEEDED, False, 131.0)
    assert (_phase(state), state.closed, state.generation) == ("closed", 3, 3)
    assert state.transitions[-1].reason == "probes_passed"
    assert (state.succeeded, state.failed, state.rejected) == (3, 1, 2)


def test_a_failed_probe_opens_it_again_and_what_is_still_out_is_late() -> None:
    state = _opened(probes=2, open_seconds=30.0)
    state.admit(130.0)
    state.admit(130.0)
    assert state.record(2, FAILED, False, 135.0)
    assert (_phase(state), state.open_until, state.held) == ("open", 165.0, 0)
    assert state.transitions[-1].reason == "probe_failed"
    assert not state.record(2, SUCCEEDED, False, 136.0)
    assert (state.late, state.succeeded, state.failed) == (1, 0, 2)


def test_so_many_probes_may_fail() -> None:
    state = _opened(probes=3, probe_failures=1)
    for outcome in (FAILED, SUCCEEDED, SUCCEEDED):
        assert state.record(state.admit(130.0), outcome, False, 130.0)
    assert _phase(state) == "closed"
    state = _opened(probes=3, probe_failures=1)
    for outcome in (FAILED, SUCCEEDED, FAILED):
        assert state.record(state.admit(130.0), outcome, False, 130.0)
    assert _phase(state) == "open"


def test_a_slow_probe_is_a_failed_one() -> None:
    state = _opened(slow_call_rate=0.5, slow_call_seconds=1.0)
    assert state.record(state.admit(130.0), SUCCEEDED, True, 132.0)
    assert (_phase(state), state.succeeded, state.failed, state.slow) == ("open", 1, 1, 1)


@pytest.mark.parametrize("outcome", [IGNORED, LOST])
def test_a_probe_that_says_nothing_frees_its_place(outcome: int) -> None:
    state = _opened()
    for _ in range(100):
        assert state.record(state.admit(130.0), outcome, False, 130.0)
        assert (_phase(state), state.held) == ("half_open", 0)
    assert (state.ignored, state.lost) == ((100, 0) if outcome == IGNORED else (0, 100))
    assert state.retry_after(130.0) == 0.0


def test_a_trial_that_lasts_too_long_opens_it_at_that_moment() -> None:
    """Nobody has to look at that moment; whoever looks later sees what a timer would have done."""
    state = _opened(half_open_seconds=10.0, open_seconds=30.0)
    state.admit(130.0)
    assert (state.phase_at(139.9), state.phase_at(140.0)) == ("half_open", "open")
    assert state.retry_after(139.9) is None
    assert state.retry_after(141.0) == 29.0
    assert state.retry_after(300.0) == 0.0
    assert _phase(state) == "half_open"  # looking changed nothing
    assert state.admit(139.9) == REFUSED
    assert _phase(state) == "half_open"
    assert state.admit(141.0) == REFUSED
    assert (_phase(state), state.open_until) == ("open", 170.0)
    assert state.transitions[-1] == ("half_open", "open", "half_open_expired", 3)
    assert state.admit(170.0) == 4
    assert not state.record(2, SUCCEEDED, False, 170.0)
    assert state.late == 1
    assert _phase(state) == "half_open"


def test_the_outcome_of_a_probe_after_the_end_of_its_trial_is_late() -> None:
    state = _opened(half_open_seconds=10.0)
    permit = state.admit(130.0)
    assert state.record(permit, SUCCEEDED, False, 140.0) is False
    assert (_phase(state), state.late, state.open_until) == ("open", 1, 170.0)


def test_without_a_limit_it_may_be_half_open_for_ever() -> None:
    state = _opened(half_open_seconds=None)
    permit = state.admit(130.0)
    assert state.phase_at(1e9) == "half_open"
    assert state.retry_after(1e9) is None
    assert state.admit(1e9) == REFUSED
    assert state.record(permit, SUCCEEDED, False, 1e9)
    assert _phase(state) == "closed"


def test_open_time_grows_until_it_closes() -> None:
    state = _opened(open_seconds=Backoff(first=1.0, factor=2.0, limit=60.0), half_open_seconds=5.0)
    now, waits = 100.0, []
    for _ in range(4):
        waits.append(state.open_until - now)
        now = state.open_until
        assert state.record(state.admit(now), FAILED, False, now)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    now = state.open_until
    state.admit(now)
    assert state.retry_after(now + 5.0) == 32.0  # the next opening, already counted on
    assert state.record(2 * 5, SUCCEEDED, False, now)
    assert (_phase(state), state.openings) == ("closed", 0)
    _do(state, FAILED, now=now)
    assert state.open_until == now + 1.0


def test_outcomes_from_before_the_last_transition_are_late() -> None:
    state = _state(consecutive_failures=1)
    first, second = state.admit(100.0), state.admit(100.0)
    assert state.record(first, FAILED, False, 100.0)
    assert not state.succeed(second, False, 100.0)
    assert state.late == 1
    state.reset(101.0)
    assert not state.record(second, FAILED, False, 102.0)
    assert (_phase(state), state.late, state.in_row) == ("closed", 2, 0)


def test_a_failure_of_one_closing_is_none_of_the_next() -> None:
    state = _state(consecutive_failures=2, failure_rate=1.0, window_calls=5, minimum_calls=5)
    _do(state, FAILED)
    state.reset(100.0)
    assert (state.in_row, state.window and state.window.calls) == (0, 0)
    _do(state, FAILED)
    assert _phase(state) == "closed"


def test_isolated_it_admits_nothing_until_reset() -> None:
    state = _state()
    permit = state.admit(100.0)
    state.isolate(100.0)
    state.isolate(100.0)
    assert state.admit(1e9) == REFUSED
    assert (_phase(state), state.retry_after(1e9), state.generation) == ("isolated", None, 1)
    assert not state.record(permit, FAILED, False, 101.0)
    assert state.closed == REFUSED
    state.reset(102.0)
    assert (_phase(state), state.closed, state.rejected, state.late) == ("closed", 2, 1, 1)
    assert [each.reason for each in state.transitions] == ["isolated", "reset"]


def test_closed_it_admits_at_once() -> None:
    state = _state()
    assert (state.retry_after(100.0), state.phase_at(1e9), state.closed, state.admit(0.0)) == (
        0.0,
        "closed",
        0,
        0,
    )
    assert state.look(1e9) is False
    assert REFUSED == -1
    assert (state.held, state.since, state.open_until, state.generation) == (0, 100.0, 100.0, 0)


def test_probes_that_failed_and_those_that_are_out_take_places() -> None:
    state = _opened(probes=3, probe_failures=2)
    first, second = state.admit(130.0), state.admit(130.0)
    assert state.record(first, FAILED, False, 130.0)
    assert state.record(second, SUCCEEDED, False, 130.0)
    assert state.retry_after(130.0) == 0.0
    state.admit(130.0)
    assert (state.held, state.passed, state.missed) == (1, 1, 1)
    assert state.retry_after(130.0) is None
    assert state.admit(130.0) == REFUSED
    for out, back in (([FAILED], 1), ([SUCCEEDED], 1)):
        state = _opened(probes=2, probe_failures=1)
        assert state.record(state.admit(130.0), out[0], False, 130.0)
        for _ in range(back):
            state.admit(130.0)
        assert (state.retry_after(130.0), state.admit(130.0)) == (None, REFUSED)


def test_slow_successes_alone_open_it() -> None:
    state = _state(slow_call_rate=1.0, slow_call_seconds=1.0, minimum_calls=2, window_calls=2)
    _do(state, SUCCEEDED, SUCCEEDED, slow=True)
    assert (_phase(state), state.failed, state.slow) == ("open", 0, 2)
