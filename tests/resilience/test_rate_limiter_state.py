"""GCRA against its definition in exact fractions, and against what it promises: the count in any stretch of time."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.resilience._rate_limiter_state import GcraState, Lines


class Admissions(RuleBasedStateMachine):
    """Beside the state, the theoretical arrival time of each key and all admissions that there were."""

    @initialize(
        limit=st.sampled_from([1, 2, 3, 7, 100]),
        period=st.sampled_from([0.001, 1.0, 0.3, 60.0]),
        burst=st.sampled_from([1, 2, 5]),
        max_keys=st.sampled_from([1, 2, 1_000]),
    )
    def begin(self, limit: int, period: float, burst: int, max_keys: int) -> None:
        self.state = GcraState(limit=limit, period=period, burst=burst, max_keys=max_keys)
        self.slot = Fraction(round(period * 1e9), limit)  # nanoseconds
        self.burst, self.max_keys = burst, max_keys
        self.now = 1_000_000_000
        self.arrival: dict[int, Fraction] = {}
        self.history: dict[int, list[int]] = {}

    def ticks(self) -> int:
        return self.state.ticks(self.now / 1e9)

    @rule(share=st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0, 1.001, 2.5, 50.0]))
    def time_passes(self, share: float) -> None:
        self.now += int(share * float(self.slot))

    @rule(key=st.integers(0, 3), cost=st.integers(1, 5))
    def ask(self, key: int, cost: int) -> None:
        cost = min(cost, self.burst)
        busy = {each for each, arrival in self.arrival.items() if arrival > self.now}
        if key not in self.state.ends:
            assert key not in busy, "a busy key was forgotten"
            if len(busy) >= self.max_keys:
                wait = self.state.admit(key, self.ticks(), cost)
                assert wait == (min(self.arrival[each] for each in busy) - self.now) * self.state.unit
                assert key not in self.state.ends
                return
        wait = self.state.wait_for(key, self.ticks(), cost)
        arrival = max(self.arrival.get(key, Fraction(0)), Fraction(self.now)) + cost * self.slot
        expected = max(Fraction(0), arrival - self.burst * self.slot - self.now)
        assert wait == expected * self.state.unit
        assert self.state.admit(key, self.ticks(), cost) == wait
        if wait == 0:
            self.arrival[key] = arrival
            self.history.setdefault(key, []).extend([self.now] * cost)

    @rule(key=st.integers(0, 3), cost=st.integers(1, 5))
    def wait_and_ask(self, key: int, cost: int) -> None:
        """After exactly the seconds that were said it is admitted."""
        cost = min(cost, self.burst)
        wait = self.state.admit(key, self.ticks(), cost)
        if wait == 0:
            began = max(self.arrival.get(key, Fraction(0)), Fraction(self.now))
        else:
            seconds = self.state.seconds(wait)
            assert wait <= seconds * 1e9 * self.state.unit < wait + 3 * self.state.unit
            self.now += round(seconds * 1e9)
            if self.state.admit(key, self.ticks(), cost) != 0:
                assert key not in self.state.ends  # another key was in the way, and one more than that
                return
            began = max(self.arrival.get(key, Fraction(0)), Fraction(self.now))
        self.arrival[key] = began + cost * self.slot
        self.history.setdefault(key, []).extend([self.now] * cost)

    @rule(key=st.integers(0, 3))
    def look(self, key: int) -> None:
        arrival = max(self.arrival.get(key, Fraction(0)), Fraction(self.now))
        assert self.state.busy(key, self.ticks()) == (arrival - self.now) * self.state.unit
        free = (self.burst * self.slot - (arrival - self.now)) / self.slot
        assert self.state.remaining(key, self.ticks()) == free.__floor__()

    @rule(key=st.integers(0, 3))
    def forget(self, key: int) -> None:
        known = key in self.state.ends
        assert self.state.forget(key) == known
        assert known or self.arrival.get(key, 0) <= self.now
        self.arrival.pop(key, None)
        self.history.pop(key, None)

    @invariant()
    def keys_are_bounded(self) -> None:
        if hasattr(self, "state"):
            assert len(self.state.ends) <= self.max_keys
            assert len(self.state._heap) <= 2 * len(self.state.ends) + 65

    def teardown(self) -> None:
        """In any stretch from one admission to another there are at most a burst and what was earned meanwhile."""
        for times in getattr(self, "history", {}).values():
            for first in range(len(times)):
                for last in range(first, len(times)):
                    earned = (times[last] - times[first]) / self.slot
                    assert last - first + 1 <= self.burst + earned


@given(limit=st.integers(1, 5_000), period=st.floats(1e-3, 1e4), now=st.floats(0, 1e9))
def test_a_burst_is_exactly_the_limit(limit: int, period: float, now: float) -> None:
    """Not one less for a rounding, and never one more, wherever the clock stands."""
    state = GcraState(limit=limit, period=period, burst=limit, max_keys=1)
    at = state.ticks(now)
    assert sum(state.admit("k", at, 1) == 0 for _ in range(limit + 3)) == limit


def test_there_is_no_edge_at_which_a_burst_comes_twice() -> None:
    """A fixed window of 60 s would admit 100 at 59.9 and 100 more at 60.1."""
    state = GcraState(limit=100, period=60.0, burst=100, max_keys=10)
    assert sum(state.admit("k", state.ticks(59.9), 1) == 0 for _ in range(200)) == 100
    assert sum(state.admit("k", state.ticks(60.1), 1) == 0 for _ in range(200)) == 0
    assert sum(state.admit("k", state.ticks(60.5), 1) == 0 for _ in range(200)) == 1
    assert sum(state.admit("k", state.ticks(119.9), 1) == 0 for _ in range(200)) == 99


def test_what_is_rejected_takes_up_nothing() -> None:
    state = GcraState(limit=1, period=1.0, burst=1, max_keys=10)
    assert state.admit("k", state.ticks(5.0), 1) == 0
    for _ in range(1_000):
        assert state.admit("k", state.ticks(5.5), 1) == 500_000_000
    assert state.admit("k", state.ticks(6.0), 1) == 0


def test_seconds_are_enough_for_the_ticks() -> None:
    state = GcraState(limit=3, period=1.0, burst=1, max_keys=10)
    assert state.seconds(0) == 0.0
    assert state.seconds(-5) == 0.0
    assert state.seconds(1) == state.seconds(3) == 2e-9
    assert state.seconds(4) == 3e-9
    assert (state.slot, state.unit, state.tolerance) == (1_000_000_000, 3, 1_000_000_000)
    assert state.ticks(2.0) == 6_000_000_000


def test_ticks_are_as_large_as_can_be() -> None:
    """Small numbers are quick ones."""
    state = GcraState(limit=100, period=60.0, burst=5, max_keys=10)
    assert (state.slot, state.unit, state.tolerance) == (600_000_000, 1, 3_000_000_000)


def test_the_usual_case_in_one_step_is_the_same() -> None:
    """For each time and key what ``admit`` does for a cost of 1."""
    chance = random.Random(5)
    for limit in (1, 3, 7, 100):
        one, other = (GcraState(limit=limit, period=1.0, burst=2, max_keys=3) for _ in range(2))
        now = 0
        for _ in range(500):
            now += chance.choice([0, 0, 10**7, 10**8, 10**9, 10**9 // limit + 1])
            key = chance.randrange(5)
            assert one.admit_one(key, now) == (other.admit(key, now * other.unit, 1) == 0)
        assert one.ends == other.ends


def test_idle_keys_are_forgotten_two_for_each_new_one() -> None:
    """So the table shrinks although nobody sweeps it."""
    state = GcraState(limit=1, period=1.0, burst=1, max_keys=1_000)
    for number in range(100):
        state.admit(number, state.ticks(1.0), 1)
    assert len(state.ends) == 100
    for number in range(10):
        state.admit(f"new {number}", state.ticks(10.0), 1)
    assert len(state.ends) == 100 - 20 + 10


def test_when_all_keys_are_busy_a_new_one_has_to_wait_for_the_first_to_rest() -> None:
    state = GcraState(limit=1, period=1.0, burst=2, max_keys=2)
    state.admit("a", state.ticks(1.0), 2)
    state.admit("b", state.ticks(1.0), 1)
    assert state.admit("c", state.ticks(1.5), 1) == 500_000_000
    assert "c" not in state.ends
    assert state.admit("b", state.ticks(1.5), 1) == 0
    assert state.admit("c", state.ticks(2.5), 1) == 500_000_000
    assert state.admit("c", state.ticks(3.0), 1) == 0
    assert set(state.ends) == {"b", "c"} or set(state.ends) == {"c"}


def test_forgetting_and_coming_back_does_not_fill_the_memory() -> None:
    state = GcraState(limit=1, period=1e6, burst=1, max_keys=10)
    for _ in range(1_000):
        assert state.admit("k", state.ticks(1.0), 1) == 0
        assert state.forget("k")
        assert not state.forget("k")
    assert len(state._heap) <= 66


def test_what_is_left_of_keys_that_came_back_is_cleared_away_now_and_then() -> None:
    """When there are twice as many notes as keys, and some more; here one that is busy for longer keeps them from being met."""
    state = GcraState(limit=1, period=1e6, burst=1, max_keys=10)
    state.admit("first", state.ticks(1.0), 1)
    sizes = []
    for _ in range(150):
        assert state.admit("k", state.ticks(2.0), 1) == 0
        sizes.append(len(state._heap))
        state.forget("k")
    assert sizes[:68] == [*range(2, 70)]
    assert sizes[68:] == [*range(2, 70), *range(2, 16)]


def test_who_rests_first_is_known_after_that_as_well() -> None:
    """Though the one that came first is busy for longest."""
    state = GcraState(limit=1, period=1.0, burst=100, max_keys=3)
    begin = state.ticks(1.0)
    state.admit("longest", begin, 99)
    state.admit("shortest", begin, 1)
    size = 0
    while len(state._heap) > size:
        size = len(state._heap)
        state.admit("again", begin, 2)
        state.forget("again")
    state.admit("again", begin, 2)
    assert state.admit("new", state.ticks(2.5), 1) == 0
    assert set(state.ends) == {"longest", "again", "new"}


def test_a_tick_too_early_is_too_early() -> None:
    state = GcraState(limit=1, period=1.0, burst=1, max_keys=10)
    assert state.admit("k", 0, 1) == 0
    assert state.admit("k", 999_999_999, 1) == 1
    assert state.admit("k", 1_000_000_000, 1) == 0


class Standing(RuleBasedStateMachine):
    """Lines beside lists."""

    @initialize()
    def begin(self) -> None:
        self.lines: Lines[int] = Lines()
        self.model: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}
        self.count = 0

    @rule(key=st.sampled_from("ab"), cost=st.integers(1, 3))
    def join(self, key: str, cost: int) -> None:
        self.count += 1
        assert self.lines.join(key, self.count, cost) == (not self.model[key])
        self.model[key].append((self.count, cost))

    @rule(key=st.sampled_from("ab"), data=st.data())
    def leave(self, key: str, data: st.DataObject) -> None:
        line = self.model[key]
        if line:
            place = data.draw(st.integers(0, len(line) - 1))
            waiter, _ = line.pop(place)
            assert self.lines.leave(key, waiter) == (line[0][0] if line and place == 0 else None)
            assert self.lines.leave(key, waiter) is None

    @invariant()
    def costs_add_up(self) -> None:
        if hasattr(self, "lines"):
            for key, line in self.model.items():
                assert self.lines.cost(key) == sum(cost for _, cost in line)
                assert (key in self.lines.waiting) == bool(line)
            assert self.lines.count() == sum(map(len, self.model.values()))
            assert self.lines._costs.keys() == self.lines.waiting.keys()


@pytest.mark.parametrize("cost", [1, 3])
def test_a_look_changes_nothing(cost: int) -> None:
    state = GcraState(limit=1, period=1.0, burst=3, max_keys=1)
    assert state.wait_for("k", state.ticks(1.0), cost) == 0
    assert state.remaining("k", state.ticks(1.0)) == 3
    assert state.busy("k", state.ticks(1.0)) == 0
    assert not state.ends


# Last, for they take longest, and a mutant is dead as soon as one test fails.
TestAdmissions = Admissions.TestCase
TestAdmissions.settings = settings(stateful_step_count=40)
TestStanding = Standing.TestCase
