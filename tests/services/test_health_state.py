"""The state of health checks against a model that sums everything up anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam import Health, HealthChanged, HealthCheck, HealthStatus
from mabeam.services._health_state import Check, HealthState
from mabeam.services._health_values import PRECEDENCE, worst

IDS = st.sampled_from("abcde")
STATUSES: Any = st.sampled_from(PRECEDENCE)


async def check() -> None:
    """What the checks would run."""


def settings(*depends_on: str, interval: float = 1.0) -> HealthCheck:
    return HealthCheck(check, interval=interval, deadline=1.0, depends_on=depends_on, stale_after=10.0)


@dataclass
class Known:
    """What the model knows of a check."""

    settings: HealthCheck
    result: HealthStatus | None = None
    at: float = 0.0


class HealthMachine(RuleBasedStateMachine):
    """Add, remove, run and wait, in any order."""

    @initialize(limit=st.integers(1, 5))
    def begin(self, limit: int) -> None:
        self.limit = limit
        self.state = HealthState(limit)
        self.model: dict[str, Known] = {}
        self.running: list[Check] = []
        self.told: dict[str, HealthStatus] = {}
        self.now = 0.0

    def status(self, each: str) -> HealthStatus:
        known = self.model.get(each)
        if known is None:
            return "unknown"
        own: HealthStatus = "unknown" if known.result is None or self.now - known.at >= 10.0 else known.result
        below = [self.status(other) for other in known.settings.depends_on]
        if "unhealthy" in below:
            return "unhealthy"
        missing = [other for other in known.settings.depends_on if other not in self.model]
        return worst((own, "unknown")) if missing else own

    @rule(each=IDS, on=st.lists(IDS, unique=True, max_size=3), interval=st.sampled_from([1.0, 2.0]))
    def add(self, each: str, on: list[str], interval: float) -> None:
        wanted = settings(*on, interval=interval)
        if self.state.cycle(each, on) is not None:
            return
        change = self.state.add(each, wanted)
        if each not in self.model and len(self.model) >= self.limit:
            assert change is None
        elif each in self.model and self.model[each].settings == wanted:
            assert change == "unchanged"
        else:
            assert change == ("replaced" if each in self.model else "created")
            if each in self.model:
                self.model[each] = Known(wanted)
            else:
                self.model = {**self.model, each: Known(wanted)}

    @rule(each=IDS)
    def remove(self, each: str) -> None:
        removed = self.state.remove(each)
        assert (removed is not None) == (each in self.model)
        self.model.pop(each, None)

    @rule(each=IDS)
    def due(self, each: str) -> None:
        if each not in self.model:
            return
        before = self.state.checks[each].phase
        phase = self.state.due(each, self.now)
        assert phase == self.state.checks[each].phase
        if before in {"queued", "running"}:
            assert phase == before
            return
        known = [other for other in self.model[each].settings.depends_on if other in self.model]
        if any(self.status(other) == "unhealthy" for other in known):
            assert phase == "blocked"
        elif any(self.model[other].result is None for other in known):
            assert phase == "waiting"
        else:
            assert phase == "queued"

    @rule()
    def start(self) -> None:
        queued = [each for each in self.state.checks.values() if each.phase == "queued"]
        found = self.state.next()
        assert (found is None) == (not queued)
        if found is not None:
            assert found in queued
            assert found.phase == "running"
            self.running.append(found)

    @rule(status=STATUSES, last=st.booleans())
    def end(self, status: HealthStatus, last: bool) -> None:  # noqa: FBT001  (hypothesis gives it by name)
        if not self.running:
            return
        ended = self.running.pop(-1 if last else 0)
        is_current = self.state.checks.get(ended.id) is ended
        assert self.state.ended(ended, Health(status, "said so"), now=self.now, duration=0.5) == is_current
        if is_current:
            self.model[ended.id].result, self.model[ended.id].at = status, self.now
            held_up = self.state.held_up_by(ended.id)
            assert all(each.phase in {"waiting", "blocked"} for each in held_up)
            for each in held_up:
                self.state.due(each.id, self.now)

    @rule(seconds=st.sampled_from([1.0, 4.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for each in self.model:
            self.state.look_again(each)
        self.state.look_again("nobody")

    @rule()
    def start_again(self) -> None:
        self.state.start_again()
        self.running.clear()
        assert self.state.next() is None
        assert all(each.phase == "resting" for each in self.state.checks.values())

    @invariant()
    def reports_agree(self) -> None:
        report = self.state.report_all(self.now)
        assert list(report.checks) == list(self.model)
        for each, of_check in report.checks.items():
            assert of_check == self.state.report(each, self.now)
            assert of_check.status == self.status(each)
            known = self.model[each]
            assert of_check.age == (None if known.result is None else self.now - known.at)
            assert of_check.duration == (None if known.result is None else 0.5)
            assert of_check.is_stale == (known.result is not None and self.now - known.at >= 10.0)
            assert of_check.is_running == (self.state.checks[each].phase == "running")
            assert of_check.down == tuple(
                other for other in known.settings.depends_on if self.status(other) == "unhealthy"
            )
            assert of_check.missing == tuple(
                other for other in known.settings.depends_on if other not in self.model
            )
        assert report.status == worst(self.status(each) for each in self.model)

    @invariant()
    def changes_lead_to_what_is(self) -> None:
        for change in self.state.changes(self.now):
            assert self.told.pop(change.check, None) == change.before
            assert change.before != change.after
            if change.after is not None:
                self.told[change.check] = change.after
            assert change.overall == worst(self.status(each) for each in self.model)
        assert self.told == {each: self.status(each) for each in self.model}
        assert self.state.changes(self.now) == []


TestHealth = HealthMachine.TestCase


def _run(state: HealthState, each: str, status: HealthStatus, now: float) -> None:
    assert state.due(each, now) == "queued"
    ran = state.next()
    assert ran is not None
    assert state.ended(ran, Health(status), now=now, duration=0.0)


def test_what_is_queued_first_runs_first() -> None:
    state = HealthState(3)
    for each in "abc":
        state.add(each, settings())
    for each in "bca":
        assert state.due(each, 0.0) == "queued"
    assert [found.id for found in (state.next(), state.next(), state.next()) if found] == ["b", "c", "a"]


def test_while_there_is_no_thread_those_that_need_none_have_their_turn() -> None:
    state = HealthState(3)
    state.add("plain", HealthCheck(lambda: None))
    state.add("async", settings())
    state.add("later", HealthCheck(lambda: None))
    for each in ("plain", "async", "later"):
        state.due(each, 0.0)
    turns = [state.next(blocking=False), state.next(blocking=False), state.next(), state.next(), state.next()]
    assert [each and each.id for each in turns] == ["async", None, "plain", "later", None]


def test_details_say_why() -> None:
    state = HealthState(9)
    state.add("a", settings())
    assert state.report("a", 0.0).detail == "it has not run yet"
    _run(state, "a", "healthy", 0.0)
    assert state.report("a", 9.0).detail == ""
    assert state.report("a", 12.0).detail == "its last result, healthy, is 12 s old"
    state.add("b", settings("a", "z"))
    _run(state, "b", "healthy", 0.0)
    assert state.report("b", 0.0).detail == "it depends on z, which nobody has added"
    _run(state, "a", "unhealthy", 0.0)
    assert state.report("b", 0.0).detail == "not run: it depends on a, which is unhealthy"
    state.add("z", settings())
    _run(state, "z", "unhealthy", 0.0)
    assert state.report("b", 0.0).detail == "not run: it depends on a, z, which are unhealthy"


def test_removing_and_adding_before_anybody_looks_is_one_change_or_none() -> None:
    state = HealthState(9)
    state.add("a", settings())
    assert state.changes(0.0) == [HealthChanged(check="a", before=None, after="unknown", overall="unknown")]
    _run(state, "a", "healthy", 0.0)
    assert state.changes(0.0) == [
        HealthChanged(check="a", before="unknown", after="healthy", overall="healthy")
    ]
    state.remove("a")
    state.add("a", settings())
    assert state.changes(0.0) == [
        HealthChanged(check="a", before="healthy", after="unknown", overall="unknown")
    ]
    state.remove("a")
    state.add("a", settings())
    state.remove("a")
    assert state.changes(0.0) == [HealthChanged(check="a", before="unknown", after=None, overall="unknown")]
    state.add("a", settings())
    state.remove("a")
    assert state.changes(0.0) == []


def test_what_a_check_was_is_forgotten_with_it() -> None:
    """Though another with its id has come before anybody looked: the whole is not unhealthy for ever."""
    state = HealthState(9)
    state.add("a", settings())
    _run(state, "a", "unhealthy", 0.0)
    state.changes(0.0)
    state.remove("a")
    state.add("a", settings())
    _run(state, "a", "healthy", 0.0)
    assert state.changes(0.0) == [
        HealthChanged(check="a", before="unhealthy", after="healthy", overall="healthy")
    ]


def test_a_check_that_was_replaced_while_it_was_queued_is_not_run() -> None:
    state = HealthState(9)
    state.add("a", settings())
    state.due("a", 0.0)
    state.add("a", settings(interval=2.0))
    assert state.next() is None
    state.due("a", 0.0)
    state.remove("a")
    assert state.next() is None
