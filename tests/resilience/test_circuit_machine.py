"""The circuit breaker against a model that keeps everything in lists and looks at nothing but them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam import Backoff, CircuitRules
from mabeam.resilience._circuit_state import FAILED, IGNORED, LOST, REFUSED, SUCCEEDED, CircuitState

RULES: list[dict[str, Any]] = [
    {"consecutive_failures": 2, "open_seconds": 10.0, "half_open_seconds": 7.0},
    {"consecutive_failures": 1, "probes": 3, "probe_failures": 1, "half_open_seconds": None},
    {"failure_rate": 0.5, "window_calls": 4, "minimum_calls": 3, "open_seconds": Backoff(first=4.0)},
    {
        "failure_rate": 0.7,
        "consecutive_failures": 4,
        "window_seconds": 100.0,
        "minimum_calls": 2,
        "probes": 2,
    },
    {"slow_call_rate": 0.5, "slow_call_seconds": 1.0, "window_calls": 3, "minimum_calls": 2, "probes": 2},
]


@dataclass
class Model:
    """What is known about the calls since the last transition, and when that was."""

    rules: CircuitRules
    phase: str = "closed"
    since: float = 0.0
    epoch: int = 0
    opened: int = 0
    calls: list[tuple[float, bool, bool]] = field(default_factory=list)
    row: list[bool] = field(default_factory=list)
    out: int = 0
    decided: list[bool] = field(default_factory=list)

    def go(self, phase: str, at: float) -> None:
        self.phase, self.since, self.epoch = phase, at, self.epoch + 1
        self.calls, self.row, self.out, self.decided = [], [], 0, []
        self.opened = 0 if phase == "closed" else self.opened + (phase == "open")

    def pass_time(self, now: float) -> None:
        limit = self.rules.half_open_seconds
        if self.phase == "half_open" and limit is not None and now - self.since >= limit:
            self.go("open", self.since + limit)

    def ask(self, now: float) -> bool:
        self.pass_time(now)
        if self.phase == "open" and now - self.since >= self.rules.open_for(self.opened):
            self.go("half_open", now)
        if self.phase == "half_open":
            free = self.out + len(self.decided) < self.rules.probes
            self.out += free
            return free
        return self.phase == "closed"

    def told(self, epoch: int, outcome: int, now: float, *, slow: bool) -> bool:
        self.pass_time(now)
        if epoch != self.epoch:
            return False
        if self.phase == "half_open":
            self.out -= 1
            if outcome in {SUCCEEDED, FAILED}:
                self.decided.append(outcome == FAILED or slow)
                if sum(self.decided) > self.rules.probe_failures:
                    self.go("open", now)
                elif len(self.decided) == self.rules.probes:
                    self.go("closed", now)
        elif outcome in {SUCCEEDED, FAILED}:
            self.calls.append((now, outcome == FAILED, slow))
            self.row.append(outcome == FAILED)
            self.judge(now)
        return True

    def judge(self, now: float) -> None:
        rules = self.rules
        many = rules.consecutive_failures
        if many is not None and len(self.row) >= many and all(self.row[-many:]):
            self.go("open", now)
            return
        if rules.minimum_calls is None:
            return
        if rules.window_seconds is None:
            window = self.calls[-(rules.window_calls or 0) :]
        else:
            window = [call for call in self.calls if now - call[0] < rules.window_seconds]
        if len(window) >= rules.minimum_calls and (
            (
                rules.failure_rate is not None
                and sum(call[1] for call in window) / len(window) >= rules.failure_rate
            )
            or (
                rules.slow_call_rate is not None
                and sum(call[2] for call in window) / len(window) >= rules.slow_call_rate
            )
        ):
            self.go("open", now)


class Machine(RuleBasedStateMachine):
    """Calls that begin and end in any order, at whole seconds, so that the parts of a time window begin with them."""

    @initialize(rules=st.sampled_from(RULES))
    def make(self, rules: dict[str, Any]) -> None:
        self.now = 0.0
        self.circuit = CircuitRules(**rules)
        self.state = CircuitState(self.circuit, self.now)
        self.model = Model(self.circuit)
        self.under_way: list[tuple[int, int]] = []
        self.counted = [0, 0, 0, 0]
        self.late = self.rejected = 0

    @rule(seconds=st.sampled_from([1, 2, 3, 7, 10, 30, 60, 99]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        permit, admitted = self.state.admit(self.now), self.model.ask(self.now)
        assert (permit != REFUSED) == admitted
        self.rejected += not admitted
        if admitted:
            self.under_way.append((permit, self.model.epoch))

    @rule(
        which=st.integers(0, 5),
        outcome=st.sampled_from([SUCCEEDED, FAILED, FAILED, IGNORED, LOST]),
        slow=st.booleans(),
    )
    def end(self, *, which: int, outcome: int, slow: bool) -> None:
        if not self.under_way:
            return
        permit, epoch = self.under_way.pop(which % len(self.under_way))
        slow = slow and self.circuit.slow_call_seconds is not None and outcome in {SUCCEEDED, FAILED}
        counted = self.state.record(permit, outcome, slow, self.now)
        assert counted == self.model.told(epoch, outcome, self.now, slow=slow)
        self.late += not counted
        self.counted[outcome] += counted

    @rule(outcome=st.sampled_from([SUCCEEDED, FAILED]))
    def whole_call(self, outcome: int) -> None:
        before = len(self.under_way)
        self.begin()
        if len(self.under_way) > before:
            self.end(which=before, outcome=outcome, slow=False)

    @rule(by_hand=st.sampled_from(["reset", "isolate", "nothing", "nothing"]))
    def intervene(self, by_hand: str) -> None:
        if by_hand == "reset":
            self.model.pass_time(self.now)
            self.state.look(self.now)
            self.state.reset(self.now)
            self.model.go("closed", self.now)
        elif by_hand == "isolate" and self.model.phase != "isolated":
            self.model.pass_time(self.now)
            self.state.look(self.now)
            self.state.isolate(self.now)
            self.model.go("isolated", self.now)

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "state"):
            return
        state, model = self.state, self.model
        model.pass_time(self.now)
        assert state.phase_at(self.now) == model.phase
        assert state.closed == (state.generation if model.phase == "closed" else REFUSED)
        assert [state.succeeded, state.failed, state.ignored, state.lost] == self.counted
        assert (state.late, state.rejected) == (self.late, self.rejected)
        if model.phase == "half_open":
            assert state.held == model.out
            assert state.held + state.passed + state.missed <= self.circuit.probes
        if model.phase == "open":
            wait = model.since + self.circuit.open_for(model.opened) - self.now
            assert state.retry_after(self.now) == max(0.0, wait)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
