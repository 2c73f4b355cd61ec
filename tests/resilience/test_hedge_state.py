"""The count of attempts of a hedge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mabeam.resilience._hedge_state import HedgeState


@given(st.integers(1, 5), st.lists(st.sampled_from(["start", "fail"]), max_size=20))
def test_the_state_counts_attempts(attempts: int, steps: list[str]) -> None:
    state = HedgeState(attempts)
    started = running = 0
    for step in steps:
        assert state.may_start == (started < attempts)
        assert state.is_lost == (running == 0 and started == attempts)
        if step == "start" and started < attempts:
            started += 1
            running += 1
            assert state.start() == started
        elif step == "fail" and running:
            running -= 1
            assert state.failed() == (started < attempts)
        assert (state.started, state.running) == (started, running)
