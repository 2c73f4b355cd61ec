"""Shrinking and schedules, by themselves: no program is run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.testing._alike import are_alike
from mabeam.testing._schedule import Fault, Schedule
from mabeam.testing._shrink import Shrinker

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = tuple(Fault("crash", f"Server takes {letter}", 1) for letter in "abcdef")

faults = st.builds(
    Fault,
    st.sampled_from(["crash", "kill", "delay", "late", "point"]),
    st.text(max_size=20),
    st.integers(1, 1_000),
    st.floats(0, 1e6),
)
choices = st.dictionaries(st.integers(0, 10_000), st.integers(1, 50)).map(
    lambda found: tuple(sorted(found.items()))
)
schedules = st.builds(Schedule, choices, st.lists(faults).map(tuple), st.integers())


def _shrunk(
    schedule: Schedule, fails: Callable[[Schedule], bool], *, budget: int = 1_000
) -> tuple[Schedule, Shrinker]:
    def attempt(tried: Schedule) -> Schedule | None:
        return tried if fails(tried) else None

    shrinker = Shrinker(attempt, budget)
    return shrinker.shrink(schedule), shrinker


@given(schedules)
def test_a_token_stands_for_its_schedule(schedule: Schedule) -> None:
    """And is one word."""
    token = schedule.token()
    assert Schedule.from_token(token) == schedule
    assert len(token.split()) == 1


@given(
    needed_choices=st.sets(st.integers(0, 30), max_size=4),
    needed_faults=st.sets(st.integers(0, len(FAULTS) - 1), max_size=3),
)
def test_what_is_needed_is_left_and_nothing_else(needed_choices: set[int], needed_faults: set[int]) -> None:
    """When a failure needs certain choices and faults, all of them."""
    whole = Schedule(tuple((number, 1) for number in range(31)), FAULTS, draws=5)
    must = {FAULTS[index] for index in needed_faults}

    def fails(schedule: Schedule) -> bool:
        return needed_choices <= dict(schedule.choices).keys() and must <= set(schedule.faults)

    smallest, _ = _shrunk(whole, fails)
    assert dict(smallest.choices).keys() == needed_choices
    assert set(smallest.faults) == must


def test_draws_are_made_ordinary_unless_they_matter() -> None:
    """A failure that needs what was drawn keeps it."""
    whole = Schedule(((1, 1), (2, 1)), FAULTS, draws=5)
    assert _shrunk(whole, lambda schedule: True)[0] == Schedule()
    assert _shrunk(whole, lambda schedule: schedule.draws == 5)[0] == Schedule(draws=5)


def test_one_of_two_ways_to_fail_is_enough() -> None:
    """Not what is needed by itself, but what cannot be left out together."""
    whole = Schedule(tuple((number, 1) for number in range(10)), FAULTS)

    def fails(schedule: Schedule) -> bool:
        numbers = dict(schedule.choices)
        return (3 in numbers and 7 in numbers) or FAULTS[2] in schedule.faults

    smallest, _ = _shrunk(whole, fails)
    assert len(smallest.choices) + len(smallest.faults) in {1, 2}
    assert fails(smallest)


@pytest.mark.parametrize("budget", [0, 1, 7, 40])
def test_the_number_of_runs_is_limited(budget: int) -> None:
    """What is returned fails all the same."""
    whole = Schedule(tuple((number, 1) for number in range(100)), FAULTS)

    def fails(schedule: Schedule) -> bool:
        numbers = dict(schedule.choices)
        return 10 in numbers and 90 in numbers

    smallest, shrinker = _shrunk(whole, fails, budget=budget)
    assert shrinker.runs <= budget
    assert fails(smallest)


def test_what_was_really_chosen_counts() -> None:
    """A run that ends early makes fewer choices than it was given: the rest is gone."""

    def attempt(tried: Schedule) -> Schedule | None:
        numbers = dict(tried.choices)
        return (
            Schedule(tuple((n, v) for n, v in tried.choices if n <= 5), tried.faults)
            if 5 in numbers
            else None
        )

    shrinker = Shrinker(attempt, 100)
    assert shrinker.shrink(Schedule(tuple((n, 1) for n in range(50)))).choices == ((5, 1),)


def test_nothing_is_tried_when_there_is_nothing() -> None:
    """A failure in the ordinary order is as small as can be."""
    smallest, shrinker = _shrunk(Schedule(), lambda _: True)
    assert smallest == Schedule()
    assert shrinker.runs == 0


def _from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def _group(*inside: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("several", inside)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (_group(ValueError(1)), _group(ValueError(2)), True),
        (_group(ValueError(1)), _group(ValueError(1), ValueError(2)), True),  # as many as are left
        (_group(KeyError(), ValueError()), _group(ValueError(), KeyError()), True),
        (_group(ValueError()), _group(AssertionError()), False),
        (_group(ValueError()), _group(ValueError(), KeyError()), False),
        (_group(_group(ValueError())), _group(_group(KeyError())), False),
        (_group(_group(ValueError())), _group(ValueError()), False),
        (_from(OSError(), _group(ValueError())), _from(OSError(), _group(KeyError())), False),
        (_from(_group(ValueError()), OSError()), _from(_group(KeyError()), OSError()), False),
        (_from(OSError(), ValueError()), _from(OSError(), KeyError()), False),
        (_from(OSError(), _from(KeyError(), ValueError())), _from(OSError(), ValueError()), True),
        (ValueError(), None, False),
        (None, None, False),
    ],
)
def test_failures_are_told_apart_by_their_classes(
    one: BaseException | None, other: BaseException | None, *, is_same: bool
) -> None:
    """Also of what they came from, and of those in groups: shrinking must not end at another bug."""
    assert are_alike(one, other) is is_same
    assert are_alike(other, one) is is_same


def test_exceptions_in_a_circle_can_be_compared() -> None:
    """Each is looked at once."""
    inside = ValueError()
    group = _group(inside)
    inside.__cause__ = group
    group.__cause__ = inside
    assert are_alike(group, group)
    assert not are_alike(group, inside)


@pytest.mark.parametrize(
    ("count", "needed", "runs"),
    [
        (1, set(), 1),
        (1, {0}, 1),
        (2, {1}, 3),
        (7, set(range(7)), 14),
        (9, {0, 4, 5, 8}, 29),
        (64, set(), 1),
        (64, {0}, 14),
        (64, {63}, 8),
        (64, {5, 40}, 38),
        (100, {0, 50, 99}, 59),
    ],
)
def test_it_takes_as_few_runs_as_halving_does(count: int, needed: set[int], runs: int) -> None:
    """Each is a run of the whole program, so these numbers must not grow."""
    choices = Schedule(tuple((number, 1) for number in range(count)))
    smallest, shrinker = _shrunk(choices, lambda tried: needed <= dict(tried.choices).keys())
    assert dict(smallest.choices).keys() == needed
    assert shrinker.runs == runs
    faults = Schedule(faults=tuple(Fault("crash", "f", number) for number in range(count)))
    smallest, shrinker = _shrunk(faults, lambda tried: needed <= {each.occurrence for each in tried.faults})
    assert {each.occurrence for each in smallest.faults} == needed
    assert shrinker.runs == runs


def test_what_can_be_left_out_only_later_is() -> None:
    """The fault is needed as long as that choice is made."""
    whole = Schedule(((1, 1), (2, 1)), FAULTS)
    smallest, _ = _shrunk(
        whole, lambda tried: FAULTS[0] in tried.faults or 1 not in dict(tried.choices), budget=100
    )
    assert smallest == Schedule()
