"""What a cache holds, beside a dict with times."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.resilience._cache_state import CacheState

KEYS = st.integers(0, 12)
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 10.0, math.inf])


class Reads(RuleBasedStateMachine):
    """Beside the state, everything that it should know; what is evicted is the policy's affair, and taken from it."""

    @initialize(limits=st.sampled_from([(None, None), (1, None), (4, None), (None, 6.0), (5, 4.0)]))
    def begin(self, limits: tuple[int | None, float | None]) -> None:
        self.max_entries, self.max_weight = limits
        self.state = CacheState(*limits)
        self.known: dict[int, tuple[int, float, float, float]] = {}  # value, expires, dies, weight
        self.now = 100.0
        self.count = 0
        self.counts = dict.fromkeys(
            [
                "hits",
                "stale",
                "expired",
                "not_found",
                "puts",
                "evicted",
                "removed_expired",
                "deleted",
                "refused",
            ],
            0,
        )

    @rule(seconds=st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS)
    def read(self, key: int) -> None:
        entry = self.state.find(key, self.now)
        known = self.known.get(key)
        if known is not None and self.now < known[1]:
            assert entry is not None
            assert (entry.key, entry.value) == (key, known[0])
            self.counts["hits"] += 1
            return
        assert entry is None
        why, other = self.state.missed(key, self.now)
        if known is None:
            assert (why, other) == ("not_found", None)
        elif self.now < known[2]:
            assert why == "stale"
            assert other is not None
            assert other.value == known[0]
            assert self.state.entries[key] is other
        else:
            assert why == "expired"
            assert other is not None
            assert other.value == known[0]
            del self.known[key]
            self.counts["removed_expired"] += 1
        self.counts[why] += 1

    @rule(
        key=KEYS, ttl=SECONDS, stale=st.sampled_from([0.0, 1.0]), weight=st.sampled_from([0.0, 1.0, 2.5, 9.0])
    )
    def put(self, key: int, ttl: float, stale: float, weight: float) -> None:
        self.count += 1
        live = {each for each, known in self.known.items() if self.now < known[2]}
        gone = self.state.put(
            key, self.count, weight=weight, expires=self.now + ttl, dies=self.now + ttl + stale, now=self.now
        )
        for entry in gone.expired:
            value, _, dies, _ = self.known.pop(entry.key)
            assert entry.value == value
            assert dies <= self.now
        self.counts["removed_expired"] += len(gone.expired)
        old = self.known.pop(key, None)
        assert (gone.replaced is None) == (old is None)
        if old is not None:
            assert gone.replaced is not None
            assert gone.replaced.value == old[0]
        fits = self.max_entries is None or len(self.known) < self.max_entries
        fits = fits and (
            self.max_weight is None
            or not self.known
            or sum(each[3] for each in self.known.values()) + weight <= self.max_weight
        )
        too_heavy = self.max_weight is not None and weight > self.max_weight
        refused = too_heavy or (ttl + stale == 0 and not fits)
        assert gone.refused == refused
        if refused or fits:
            assert not gone.evicted
        for entry in gone.evicted:
            assert entry.key in live, "an expired one was evicted although it should have gone for its time"
            assert not any(each[2] <= self.now for each in self.known.values()), "an expired one was left"
            assert self.known.pop(entry.key)[0] == entry.value
        self.counts["evicted"] += len(gone.evicted)
        if refused:
            self.counts["refused"] += 1
        else:
            self.known[key] = (self.count, self.now + ttl, self.now + ttl + stale, weight)
            self.counts["puts"] += 1

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        entry = self.state.delete(key)
        known = self.known.pop(key, None)
        assert (entry is None) == (known is None)
        if entry is not None and known is not None:
            assert entry.value == known[0]
            self.counts["deleted"] += 1
            assert not self.state.delete_entry(entry)

    @rule(key=KEYS)
    def delete_what_was_seen(self, key: int) -> None:
        entry = self.state.entries.get(key)
        if entry is not None:
            assert self.state.delete_entry(entry)
            del self.known[key]
            self.counts["deleted"] += 1

    @rule()
    def expire(self) -> None:
        due = {key for key, known in self.known.items() if known[2] <= self.now}
        assert {entry.key for entry in self.state.expire(self.now)} == due
        for key in due:
            del self.known[key]
        self.counts["removed_expired"] += len(due)

    @rule()
    def clear(self) -> None:
        assert set(self.state.clear()) == set(self.known)
        self.counts["deleted"] += len(self.known)
        self.known.clear()

    @invariant()
    def it_holds_what_it_should_and_no_more(self) -> None:
        if not hasattr(self, "state"):
            return
        held = {key: entry.value for key, entry in self.state.entries.items()}
        assert held == {key: known[0] for key, known in self.known.items()}
        policy = self.state.policy
        assert policy.count == len(held)
        assert policy.weight == pytest.approx(sum(known[3] for known in self.known.values()))
        assert self.max_entries is None or policy.count <= self.max_entries
        assert self.max_weight is None or policy.weight <= self.max_weight
        assert {name: getattr(self.state, name) for name in self.counts} == self.counts
        mortal = sum(1 for known in self.known.values() if known[2] < math.inf)
        assert len(self.state._heap) >= mortal


def _put(state: CacheState, key: Any, ttl: float = math.inf, *, now: float = 0.0, weight: float = 1.0) -> Any:
    return state.put(key, f"{key}", weight=weight, expires=now + ttl, dies=now + ttl, now=now)


def test_the_heap_does_not_grow_with_what_has_gone() -> None:
    """A key that is put again and again leaves a time each; more than twice as many as entries are swept out."""
    state = CacheState(None, None)
    sizes = []
    for number in range(10_000):
        _put(state, number % 10, ttl=1e6)
        sizes.append(len(state._heap))
    assert max(sizes) == 2 * 10 + 64 + 1, "nor is it made anew before it is worth that"
    assert len(state.expire(2e6)) == 10
    assert not state._heap


def test_a_heap_that_is_made_anew_has_those_who_will_die_the_first_in_front() -> None:
    state = CacheState(None, None)
    _put(state, "for ever")
    for number in range(2 * 11 + 64 + 2):
        _put(state, number % 10, ttl=1_000.0 - number)
    assert len(state._heap) == 10
    assert [entry.dies for entry in state.expire(917.0)] == [913.0, 914.0, 915.0, 916.0, 917.0]
    assert len(state._heap) == 5


def test_a_cache_that_was_cleared_remembers_no_times() -> None:
    state = CacheState(None, None)
    for number in range(10):
        _put(state, number, ttl=1.0)
    assert set(state.clear()) == set(range(10))
    assert (state._heap, state.entries, state.deleted) == ([], {}, 10)


def test_everything_is_counted_once() -> None:
    state = CacheState(None, None)
    state.put("a", 1, weight=1, expires=1.0, dies=2.0, now=0.0)
    _put(state, "b")
    for now in (0.5, 1.0, 2.0, 3.0):
        if state.find("a", now) is None:
            state.missed("a", now)
    assert (state.hits, state.stale, state.expired, state.not_found) == (1, 1, 1, 1)
    assert (state.puts, state.removed_expired, state.deleted, state.refused, state.evicted) == (2, 1, 0, 0, 0)
    assert state.delete("b") is not None
    assert state.delete("b") is None
    assert state.deleted == 1


def test_only_the_entry_itself_is_deleted_not_what_took_its_place() -> None:
    state = CacheState(None, None)
    _put(state, "a")
    old = state.entries["a"]
    _put(state, "a")
    assert state.delete_entry(old) is False
    assert state.delete_entry(state.entries["a"]) is True
    assert (state.entries, state.deleted) == ({}, 1)


def test_a_put_takes_what_is_due_at_this_very_moment() -> None:
    """Though there is room enough."""
    state = CacheState(None, None)
    _put(state, "early", ttl=0.5)
    _put(state, "late", ttl=3.0)
    assert [entry.key for entry in _put(state, "new", now=0.5).expired] == ["early"]


@pytest.mark.parametrize(("weight", "due"), [(8.0, 8), (9.0, 9), (10.0, 10)])
def test_those_who_are_due_make_room_before_anybody_else(weight: float, due: int) -> None:
    """As many as are needed, though a put takes but a few else."""
    state = CacheState(None, 10.0)
    for number in range(10):
        _put(state, number, ttl=1.0)
    gone = _put(state, "new", now=1.0, weight=weight)
    assert (len(gone.expired), gone.evicted, gone.refused) == (due, [], False)
    assert state.policy.weight == 10 - due + weight


def test_what_does_not_expire_is_in_no_heap() -> None:
    state = CacheState(None, None)
    for number in range(100):
        _put(state, number)
    assert not state._heap


def test_a_put_takes_a_few_of_those_that_are_due() -> None:
    """Not all of 10,000 at once: nobody pays for everybody's expiry."""
    state = CacheState(None, None)
    for number in range(100):
        _put(state, number, ttl=1.0)
    gone = _put(state, "new", now=5.0)
    assert len(gone.expired) == 8
    assert len(state.entries) == 93


def test_the_earliest_go_first() -> None:
    state = CacheState(2, None)
    _put(state, "late", ttl=3.0)
    _put(state, "early", ttl=1.0)
    gone = _put(state, "new", now=1.0)
    assert [entry.key for entry in gone.expired] == ["early"]
    assert set(state.entries) == {"late", "new"}


def test_a_key_that_comes_back_was_remembered() -> None:
    """What was evicted and is put again has shown that it is wanted: a scan cannot drive it out now."""
    state = CacheState(10, None)
    for number in range(11):
        _put(state, number)
    assert 0 not in state.entries
    _put(state, 0)
    assert state.entries[0].queue is state.policy.main


def test_frequency_is_counted_to_three() -> None:
    """By hits and by stale reads alike."""
    state = CacheState(10, None)
    state.put("a", 1, weight=1, expires=1.0, dies=2.0, now=0.0)
    for expected in (1, 2, 3, 3):
        entry = state.find("a", 0.5)
        assert entry is not None
        assert entry.frequency == expected
    state.put("b", 1, weight=1, expires=1.0, dies=2.0, now=0.0)
    for expected in (1, 2, 3, 3):
        why, entry = state.missed("b", 1.5)
        assert (why, entry is not None and entry.frequency) == ("stale", expected)


def test_a_replaced_entry_keeps_its_place_and_its_popularity() -> None:
    state = CacheState(10, None)
    _put(state, "a")
    state.find("a", 0.0)
    state.find("a", 0.0)
    _put(state, "a")
    assert state.entries["a"].frequency == 2
    assert state.entries["a"].queue is state.policy.small


def test_numbers_tell_entries_of_one_key_apart() -> None:
    state = CacheState(10, None)
    _put(state, "a", ttl=1.0)
    first = state.entries["a"].number
    _put(state, "a", ttl=5.0)
    assert state.entries["a"].number == first + 1
    assert state.expire(2.0) == []
    assert [entry.number for entry in state.expire(5.0)] == [first + 1]


# Last, for they take longest, and a mutant is dead as soon as one test fails.
TestReads = Reads.TestCase
TestReads.settings = settings(stateful_step_count=50)
