"""The state of health checks against a model that sums everything up anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mabeam import Health, HealthChanged, HealthCheck, HealthStatus
from mabeam.services._health_state import Check, HealthState
from mabeam.services._health_values import PRECEDENCE, worst

IDS = st.sampled_from("abcd")
WHICH = st.integers(0, 3)
"""One of those that are there: an id chosen by chance is seldom that of a check."""
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
    """Add, remove, run, wait and look, in any order."""

    @initialize(limit=st.sampled_from([2, 3, 9]))
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

    def below(self, each: str) -> set[str]:
        """All that a check depends on, directly or through others."""
        known = self.model.get(each)
        directly = () if known is None else known.settings.depends_on
        return set(directly).union(*(self.below(other) for other in directly))

    def one(self, which: int) -> str:
        """One of the checks; there must be some."""
        return list(self.model)[which % len(self.model)]

    @rule(each=IDS)
    def remove(self, each: str) -> None:
        removed = self.state.remove(each)
        assert (removed is not None) == (each in self.model)
        self.model.pop(each, None)

    @precondition(lambda self: self.model)
    @rule(which=WHICH)
    def due(self, which: int) -> None:
        each = self.one(which)
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

    @precondition(lambda self: self.model)
    @rule(which=WHICH, status=STATUSES)
    def whole_run(self, which: int, status: HealthStatus) -> None:
        self.due(which=which)
        self.start()
        self.end(status=status, last=True)

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
    def end(self, *, status: HealthStatus, last: bool) -> None:
        if not self.running:
            return
        ended = self.running.pop(-1 if last else 0)
        is_current = self.state.checks.get(ended.id) is ended
        assert self.state.ended(ended, Health(status, "said so"), now=self.now, duration=0.5) is is_current
        if is_current:
            self.model[ended.id].result, self.model[ended.id].at = status, self.now
            held_up = self.state.held_up_by(ended.id)
            assert {each.id for each in held_up} == {
                each
                for each, check in self.state.checks.items()
                if check.phase in {"waiting", "blocked"} and ended.id in self.below(each)
            }
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

    @rule()
    def look_at_changes(self) -> None:
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


def test_a_result_is_stale_at_its_time_and_not_before() -> None:
    state = HealthState(9)
    state.add("a", settings())
    _run(state, "a", "healthy", 100.0)
    for now, age, stale, status in ((100.25, 0.25, False, "healthy"), (110.0, 10.0, True, "unknown")):
        report = state.report("a", now)
        assert (report.age, report.is_stale, report.status) == (age, stale, status)
    assert state.report("a", 99.0).age == 0.0, "of a clock that another thread has read a little earlier"
    assert state.changes(109.0)[0].after == "healthy"
    assert state.changes(110.0) == []
    state.look_again("a")
    state.look_again("nobody")
    assert [change.after for change in state.changes(110.0)] == ["unknown"]


def test_a_check_that_has_never_run_rests_and_has_no_age() -> None:
    state = HealthState(9)
    state.add("a", settings())
    assert state.checks["a"].phase == "resting"
    report = state.report("a", 100.0)
    assert (report.age, report.duration, report.is_stale, report.is_running) == (None, None, False, False)


def test_a_run_goes_from_queued_to_running_to_resting() -> None:
    """Being due in between changes nothing."""
    state = HealthState(9)
    state.add("a", settings())
    assert [state.due("a", 0.0), state.due("a", 0.0)] == ["queued", "queued"]
    ran = state.next()
    assert ran is not None
    assert (ran.phase, state.due("a", 0.0), state.next()) == ("running", "running", None)
    assert state.ended(ran, Health("healthy"), now=1.0, duration=0.25) is True
    assert (ran.phase, state.report("a", 1.0).duration) == ("resting", 0.25)


def test_what_it_depends_on_comes_first_and_holds_it_up() -> None:
    """Through others as well; only those that are held up are told so."""
    state = HealthState(9)
    state.add("a", settings())
    state.add("b", settings("a"))
    state.add("c", settings("b"))
    state.add("d", settings("a"))
    assert [state.due(each, 0.0) for each in "bc"] == ["waiting", "waiting"]
    _run(state, "a", "unhealthy", 0.0)
    assert [check.id for check in state.held_up_by("a")] == ["b", "c"]
    assert [state.due(each, 0.0) for each in "bc"] == ["blocked", "blocked"]
    assert [check.id for check in state.held_up_by("a")] == ["b", "c"]
    _run(state, "a", "healthy", 0.0)
    _run(state, "b", "healthy", 0.0)
    assert [check.id for check in state.held_up_by("a")] == ["c"]
    assert [state.report(each, 0.0).status for each in "abcd"] == ["healthy", "healthy", "unknown", "unknown"]


def test_the_result_of_a_check_that_was_replaced_or_removed_means_nothing() -> None:
    state = HealthState(9)
    state.add("a", settings())
    state.due("a", 0.0)
    ran = state.next()
    assert ran is not None
    state.add("a", settings(interval=2.0))
    assert state.ended(ran, Health("unhealthy"), now=0.0, duration=0.0) is False
    assert state.report("a", 0.0).age is None
    assert state.remove("a") is not ran
    assert state.remove("a") is None
    assert state.ended(ran, Health("unhealthy"), now=0.0, duration=0.0) is False


def test_a_check_that_was_removed_depends_on_nothing() -> None:
    state = HealthState(9)
    state.add("a", settings("b"))
    state.remove("a")
    assert state.cycle("b", ("a",)) is None
    state.changes(0.0)
    state.add("b", settings())
    assert [change.check for change in state.changes(0.0)] == ["b"]


def test_a_detail_is_the_last_result_where_the_status_is() -> None:
    """Though something is missing as well."""
    state = HealthState(9)
    state.add("b", settings("z"))
    state.due("b", 0.0)
    ran = state.next()
    assert ran is not None
    state.ended(ran, Health("unhealthy", "no answer"), now=0.0, duration=0.0)
    report = state.report("b", 0.0)
    assert (report.status, report.detail, report.missing, report.down) == (
        "unhealthy",
        "no answer",
        ("z",),
        (),
    )
