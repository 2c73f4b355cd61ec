"""The restart window against the rule as OTP's documentation says it, for any history of restarts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mabeam.otp._restart_state import Backoff, RestartWindow


class Window(RuleBasedStateMachine):
    """Beside the window, all restarts there ever were."""

    @initialize(max_restarts=st.integers(0, 5), max_seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def begin(self, max_restarts: int, max_seconds: float) -> None:
        self.window = RestartWindow(max_restarts, max_seconds)
        self.now = 0.0
        self.history: list[float] = []
        self.ended = False

    @rule(seconds=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5, 5.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.ended)
    @rule()
    def restart(self) -> None:
        """More than ``max_restarts`` within the last ``max_seconds``, its ends included, are too many."""
        self.history.append(self.now)
        within = [time for time in self.history if time >= self.now - self.window.max_seconds]
        allowed = self.window.add(self.now)
        assert allowed == (len(within) <= self.window.max_restarts)
        assert self.window.count == min(len(within), self.window.max_restarts + 1)
        self.ended = not allowed  # a supervisor has no next restart then


TestWindow = Window.TestCase
TestWindow.settings = settings(stateful_step_count=30)


def test_no_restart_is_allowed_when_none_are() -> None:
    """The first is too many."""
    assert not RestartWindow(0, 5.0).add(0.0)


@pytest.mark.parametrize(("gap", "allowed"), [(5.0, False), (5.000001, True)])
def test_a_restart_counts_for_exactly_the_period(gap: float, *, allowed: bool) -> None:
    """Its last moment included."""
    window = RestartWindow(1, 5.0)
    assert window.add(0.0)
    assert window.add(gap) is allowed


@given(
    first=st.floats(0, 10),
    factor=st.floats(1, 10),
    limit=st.floats(0, 100),
    attempt=st.integers(1, 10**9),
)
def test_a_backoff_grows_to_its_limit_and_never_overflows(
    first: float, factor: float, limit: float, attempt: int
) -> None:
    """However long the series is."""
    backoff = Backoff(first=first, factor=factor, limit=limit)
    assert 0 <= backoff.delay(attempt) <= backoff.delay(attempt + 1) <= limit
    assert backoff.check() == ()
    assert len(Backoff(first=-1, factor=0.5, limit=float("nan")).check()) == 3
