"""Thousands of processes killed at random moments, and after each storm everything is as it must be."""

from __future__ import annotations

import asyncio

import pytest

from mabeam.testing import VirtualLoop
from tests.proof._storm import Storm

STRIKES = 60


async def test_whatever_is_killed_when_the_rest_is_as_it_must_be(seed: int) -> None:
    storm = Storm(seed, strikes=STRIKES)
    problems = await storm.run()
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems)
    assert storm.struck == STRIKES


@pytest.mark.parametrize("number", range(100))
async def test_threads_do_not_change_what_holds(number: int) -> None:
    """Blocking handlers run in real threads here; which of them answers first is the machine's affair."""
    storm = Storm(number, strikes=STRIKES, threads=True)
    problems = await storm.run()
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems)


@pytest.mark.parametrize("number", range(20))
def test_the_same_seed_is_the_same_storm(number: int) -> None:
    """Every end in its order, at its time, for its reason: so what a seed has found can be looked at."""
    journals = []
    for _ in range(2):
        storm = Storm(number, strikes=STRIKES)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(storm.run())
        journals.append(storm.journal)
    assert journals[0] == journals[1]
    assert len(journals[0]) >= STRIKES


@pytest.mark.parametrize("number", range(10))
async def test_a_long_storm_leaves_no_more_than_a_short_one(number: int) -> None:
    """Thousands of ends in one Runtime."""
    storm = Storm(number, strikes=2_000)
    problems = await storm.run()
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:50])
    assert len(storm.journal) >= 2_000
