"""The queues of S3-FIFO, beside a model that says the same with lists."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mabeam.resilience._eviction_state import MOST_FREQUENT, MOST_ROUNDS, Entry, Queue, S3Fifo

if TYPE_CHECKING:
    from collections.abc import Iterator


def _entry(key: object, weight: float = 1.0, frequency: int = 0) -> Entry:
    entry = Entry(key, f"value of {key}", weight=weight, expires=1.0, dies=2.0, number=7)
    entry.frequency = frequency
    return entry


def _keys(queue: Queue) -> Iterator[object]:
    """From the oldest on, and the way back must be the same."""
    forward, backward = [], []
    at = queue._end.newer
    while at is not None and at is not queue._end:
        forward.append(at.key)
        assert at.queue is queue
        at = at.newer
    at = queue._end.older
    while at is not None and at is not queue._end:
        backward.append(at.key)
        at = at.older
    assert forward == backward[::-1]
    assert len(forward) == queue.count
    return iter(forward)


class Model:
    """The rules, with lists."""

    def __init__(self, max_entries: int | None, max_weight: float | None) -> None:
        self.max_entries, self.max_weight = max_entries, max_weight
        self.small: list[Entry] = []
        self.main: list[Entry] = []
        self.ghosts: list[object] = []

    def weight(self, queue: list[Entry]) -> float:
        return sum(each.weight for each in queue)

    def small_is_due(self) -> bool:
        by_count = self.max_entries is not None and len(self.small) >= max(1, int(self.max_entries * 0.1))
        return by_count or (self.max_weight is not None and self.weight(self.small) >= self.max_weight * 0.1)

    def main_is_due(self) -> bool:
        by_count = self.max_entries is not None and len(self.main) > self.max_entries - max(
            1, int(self.max_entries * 0.1)
        )
        return by_count or (
            self.max_weight is not None and self.weight(self.main) > self.max_weight - self.max_weight * 0.1
        )

    def evict(self) -> Entry | None:
        while self.small and (self.small_is_due() or not self.main):
            entry = self.small.pop(0)
            if entry.frequency <= 1:
                if entry.key in self.ghosts:
                    self.ghosts.remove(entry.key)
                self.ghosts.append(entry.key)
                if self.max_entries is None:
                    most = len(self.small) + len(self.main)
                else:
                    most = self.max_entries - max(1, int(self.max_entries * 0.1))
                self.ghosts = self.ghosts[-max(1, most) :]
                return entry
            entry.frequency = 0
            self.main.append(entry)
            if self.main_is_due():
                break
        rounds = 0
        while self.main:
            entry = self.main.pop(0)
            if entry.frequency == 0 or rounds == MOST_ROUNDS:
                return entry
            rounds += 1
            entry.frequency -= 1
            self.main.append(entry)
        return None


class Queues(RuleBasedStateMachine):
    """The policy and the model do the same. They share no entries, since both count down what was asked for."""

    @initialize(
        limits=st.sampled_from([(1, None), (2, None), (10, None), (25, None), (None, 20.0), (12, 8.0)]),
    )
    def begin(self, limits: tuple[int | None, float | None]) -> None:
        self.begin_now(limits)

    def begin_now(self, limits: tuple[int | None, float | None]) -> None:
        self.policy = S3Fifo(*limits)
        self.model = Model(*limits)
        self.entries: dict[int, Entry] = {}
        self.twins: dict[int, Entry] = {}

    @rule(key=st.integers(0, 40), weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def come(self, key: int, weight: float) -> None:
        if key not in self.entries:
            self.come_now(key, weight)

    def come_now(self, key: int, weight: float) -> None:
        full = len(self.entries) >= self.policy.max_entries or (
            bool(self.entries)
            and sum(each.weight for each in self.entries.values()) + weight > self.policy.max_weight
        )
        assert self.policy.is_full_for(weight) == full
        if full:
            self.evict_now()
            return
        entry, twin = _entry(key, weight), _entry(key, weight)
        self.policy.add(entry)
        if key in self.model.ghosts:
            self.model.ghosts.remove(key)
            self.model.main.append(twin)
        else:
            self.model.small.append(twin)
        self.entries[key], self.twins[key] = entry, twin

    @rule()
    def leave_by_policy(self) -> None:
        self.evict_now()

    def evict_now(self) -> None:
        gone, expected = self.policy.evict(), self.model.evict()
        assert (gone is None) == (expected is None) == (not self.entries)
        if gone is not None and expected is not None:
            assert gone.key == expected.key
            assert gone is self.entries.pop(gone.key)
            assert gone.queue is None
            assert (gone.newer, gone.older) == (None, None)
            del self.twins[gone.key]

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), times=st.integers(1, 4))
    def asked_for(self, data: st.DataObject, times: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.entries)))
        for entry in (self.entries[key], self.twins[key]):
            entry.frequency = min(MOST_FREQUENT, entry.frequency + times)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def removed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.entries)))
        self.policy.remove(self.entries.pop(key))
        twin = self.twins.pop(key)
        (self.model.small if twin in self.model.small else self.model.main).remove(twin)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), weight=st.sampled_from([0.5, 2.0]))
    def replaced(self, data: st.DataObject, weight: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.entries)))
        old, twin = self.entries[key], self.twins[key]
        queue = old.queue
        assert queue is not None
        self.policy.remove(old)
        entry, other = _entry(key, weight), _entry(key, weight, twin.frequency)
        self.policy.add_again(entry, old, queue)
        place = self.model.small if twin in self.model.small else self.model.main
        place.remove(twin)
        place.append(other)
        self.entries[key], self.twins[key] = entry, other

    @rule()
    def cleared(self) -> None:
        self.policy.clear()
        self.begin_now((self.model.max_entries, self.model.max_weight))

    @invariant()
    def all_is_where_it_should_be(self) -> None:
        if hasattr(self, "policy"):
            self.compare_now()

    def compare_now(self) -> None:
        assert list(_keys(self.policy.small)) == [each.key for each in self.model.small]
        assert list(_keys(self.policy.main)) == [each.key for each in self.model.main]
        assert list(self.policy.ghosts) == [hash(key) for key in self.model.ghosts]
        assert self.policy.count == len(self.entries)
        assert self.policy.weight == pytest.approx(sum(each.weight for each in self.entries.values()))
        if not self.entries:
            assert self.policy.weight == 0
        for key, entry in self.entries.items():
            assert entry.frequency == self.twins[key].frequency


@pytest.mark.parametrize(
    "limits", [(1, None), (3, None), (15, None), (25, None), (None, 20.0), (12, 8.0), (12, 30.0)]
)
def test_it_evicts_as_the_model_does_for_a_long_time(limits: tuple[int | None, float | None]) -> None:
    """Longer than hypothesis tries: until all queues are full and everything has come back several times."""
    chance = random.Random(str(limits))
    machine = Queues()
    machine.begin_now(limits)
    for number in range(4_000):
        key = min(chance.randrange(45), chance.randrange(45))
        if key in machine.entries:
            for entry in (machine.entries[key], machine.twins[key]):
                entry.frequency = min(MOST_FREQUENT, entry.frequency + 1)
        elif number % 97 == 96 and machine.entries:
            gone = chance.choice(sorted(machine.entries))
            machine.policy.remove(machine.entries.pop(gone))
            twin = machine.twins.pop(gone)
            (machine.model.small if twin in machine.model.small else machine.model.main).remove(twin)
        else:
            machine.come_now(key, chance.choice([0.0, 0.5, 1.0, 3.0]))
        machine.compare_now()


def test_clearing_forgets_ghosts_too() -> None:
    policy = S3Fifo(10, None)
    for key in range(20):
        while policy.is_full_for(1):
            policy.evict()
        policy.add(_entry(key))
    assert policy.ghosts
    policy.clear()
    assert not policy.ghosts
    assert policy.count == 0
    policy.add(_entry(0))
    assert policy.small.count == 1


def test_a_main_queue_that_has_too_many_gives_before_the_small_one() -> None:
    """Also when the small one is due for its weight."""
    policy = S3Fifo(20, 10.0)
    for number in range(18):
        policy.main.push(_entry(number, 0.1))
    policy.small.push(_entry("asked for", 1.0, frequency=2))
    policy.small.push(_entry("new", 1.0))
    gone = policy.evict()
    assert gone is not None
    assert gone.key == 0
    assert list(_keys(policy.main)) == [*range(1, 18), "asked for"]
    assert list(_keys(policy.small)) == ["new"]


def test_a_hash_that_two_keys_share_is_remembered_from_the_latest_on() -> None:
    policy = S3Fifo(100, None)
    assert hash(-1) == hash(-2)
    for key in (-1, 7, -2):
        policy.add(_entry(key))
    for _ in range(3):
        policy.evict()
    assert list(policy.ghosts) == [7, hash(-2)]


def test_an_empty_queue_weighs_nothing() -> None:
    """Whatever rounding has left of sums of floats."""
    queue = Queue()
    entries = [_entry(number, weight) for number, weight in enumerate([0.1, 0.2, 0.3])]
    for entry in entries:
        queue.push(entry)
    for entry in entries:
        queue.remove(entry)
    assert queue.weight == 0.0


def test_an_entry_that_is_unlinked_refers_to_nobody() -> None:
    policy = S3Fifo(10, None)
    entries = [_entry(number) for number in range(3)]
    for entry in entries:
        policy.add(entry)
        assert entry.queue is policy.small
    for entry in entries:
        entry.unlink()
        assert (entry.newer, entry.older, entry.queue) == (None, None, None)


def test_an_entry_is_what_it_was_made_of() -> None:
    entry = _entry("tea", 2.5)
    assert (entry.key, entry.value, entry.weight) == ("tea", "value of tea", 2.5)
    assert (entry.expires, entry.dies, entry.number, entry.frequency) == (1.0, 2.0, 7, 0)
    assert entry.queue is None
    assert entry.refreshing is False


def test_nobody_waits_for_a_walk_over_a_cache_in_which_all_is_popular() -> None:
    """After so many second chances the next one goes."""
    policy = S3Fifo(2_000, None)
    for key in range(1_000):
        entry = _entry(key, frequency=3)
        policy.main.push(entry)
        assert not policy.is_full_for(1)
    gone = policy.evict()
    assert gone is not None
    assert gone.key == MOST_ROUNDS == 256
    assert gone.queue is None
    assert [entry.frequency for entry in (policy.main.oldest(), policy.main._end.older) if entry] == [3, 2]


def test_an_empty_cache_takes_whatever_is_not_too_heavy_for_it() -> None:
    """So that making room always ends."""
    policy = S3Fifo(None, 1.0)
    assert not policy.is_full_for(5.0)
    policy.add(_entry("a", 0.5))
    assert not policy.is_full_for(0.5)
    assert policy.is_full_for(0.6)


@given(st.lists(st.integers(0, 500), max_size=200))
def test_a_scan_drives_out_nothing_that_is_asked_for(scan: list[int]) -> None:
    """What is read once stays in the small queue."""
    policy = S3Fifo(20, None)
    loved = [_entry(f"loved {number}") for number in range(10)]
    for entry in loved:
        policy.main.push(entry)
    for number, key in enumerate(scan):
        while policy.is_full_for(1):
            for entry in loved:
                entry.frequency = 3
            gone = policy.evict()
            assert gone not in loved
        policy.small.push(_entry((number, key)))
    assert all(entry.queue is policy.main for entry in loved)


# Last, for they take longest, and a mutant is dead as soon as one test fails.
TestQueues = Queues.TestCase
TestQueues.settings = settings(stateful_step_count=60)
