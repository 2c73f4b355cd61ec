"""Which runs have been made: a seed is left out only if it would repeat one, and then always."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.testing._deciders import Recorded, Seeded
from mabeam.testing._schedule import Schedule
from mabeam.testing._tried import Tried

if TYPE_CHECKING:
    from mabeam.testing._deciders import Decider

    Program: TypeAlias = "tuple[Program, ...]"
    """What goes on after each choice: nothing, or programs to choose between."""

PROGRAMS = st.recursive(st.just(()), lambda each: st.lists(each, min_size=1, max_size=4).map(tuple))


def _run(program: Program, decider: Decider) -> list[tuple[int, int]]:
    choices: list[tuple[int, int]] = []
    while program:
        value = decider.choose(len(choices), len(program))
        choices.append((len(program), value))
        program = program[value]
    return choices


def _chosen(*values: int) -> Recorded:
    return Recorded(Schedule.of(enumerate(values), (), 0))


@given(PROGRAMS)
def test_a_seed_is_left_out_exactly_when_it_would_repeat_a_run(program: Program) -> None:
    tried, made = Tried(), set()
    for seed in range(100):
        choices = _run(program, Seeded(seed, None, 0))
        is_new = tuple(choices) not in made
        assert tried.leads_anywhere_new(Seeded(seed, None, 0)) is is_new
        if is_new:
            tried.add(choices)
            made.add(tuple(choices))


def test_where_nothing_is_free_there_is_one_run() -> None:
    tried = Tried()
    assert tried.leads_anywhere_new(_chosen())
    tried.add([])
    assert not tried.leads_anywhere_new(_chosen())
    assert not tried.leads_anywhere_new(_chosen(1))


@pytest.mark.parametrize(("length", "remembers"), [(64, True), (65, False)])
def test_long_runs_are_not_remembered(length: int, *, remembers: bool) -> None:
    """No two seeds make sixty choices alike."""
    tried = Tried()
    tried.add([(2, 1)] * length)
    assert tried.leads_anywhere_new(_chosen(*[1] * length)) is not remembers
    assert tried.leads_anywhere_new(_chosen(*[1] * (length - 1), 0))
