"""What the watchdog concludes from its looks: in seconds of a clock that the tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.kernel._watch_state import Doing, Looks

LIMIT, PAUSE = 0.125, 0.03125  # sums of such numbers are exact


class Loop:
    """A loop and the watchdog's looks at it."""

    def __init__(self, begin: float = 16.0) -> None:
        self.looks = Looks(LIMIT, PAUSE, begin)
        self.now = begin
        self.turns = 0

    def look(
        self, doing: Doing, *, after: float = PAUSE, turns: int = 1, answered: float | None = None
    ) -> tuple[str, ...]:
        """Look again ``after`` seconds, in which the loop has turned so often; it has answered so many seconds ago."""
        self.now += after
        self.turns += turns
        at = None if answered is None else self.now - answered
        return self.looks.look(self.now, doing, turns=self.turns, answered=at)


def test_a_loop_that_waits_is_left_alone() -> None:
    loop = Loop()
    assert [loop.look("waits", turns=0) for _ in range(100)] == [()] * 100


def test_a_loop_at_work_is_asked_at_each_look_and_its_answer_ends_that() -> None:
    loop = Loop()
    assert loop.look("works") == ("ask",)
    assert loop.look("works", answered=0.02) == ("ask",)
    assert loop.look("waits", answered=0.02) == ()
    assert loop.look("waits") == ()


def test_one_that_does_not_answer_within_the_limit_is_blocked_and_that_is_said_once() -> None:
    loop = Loop()
    loop.look("works")
    asked = loop.now
    assert [loop.look("works", turns=0) for _ in range(3)] == [()] * 3
    assert loop.look("works", turns=0, after=LIMIT - 3 * PAUSE) == ("report",)
    assert loop.looks.since == asked
    assert [loop.look("works", turns=0) for _ in range(3)] == [()] * 3
    assert loop.look("works", answered=0.01) == ("end", "ask")
    assert loop.looks.since == loop.now
    assert loop.look("waits", answered=0.01) == ()


def test_what_ends_waiting_is_over_and_nothing_more_is_asked() -> None:
    loop = Loop()
    loop.look("works")
    assert loop.look("works", after=LIMIT, turns=0) == ("report",)
    assert loop.look("waits", answered=0.01) == ("end",)


def test_one_that_answered_too_late_was_blocked_although_nothing_is_left_to_be_seen() -> None:
    """Nobody could look meanwhile: something held the interpreter's lock. Where the loop is now is another matter."""
    loop = Loop()
    loop.look("works")
    assert loop.look("works", after=0.5, turns=0, answered=0.375) == ("missed", "ask")
    assert loop.look("waits", after=0.5, turns=0, answered=0.375) == ("missed",)
    assert loop.look("works") == ("ask",)
    assert loop.look("works", answered=0.01) == ("ask",)


def test_one_that_answered_at_once_was_not_blocked_however_late_the_look() -> None:
    """The watchdog's thread did not get the lock, since the loop took it again and again."""
    loop = Loop()
    loop.look("works")
    assert loop.look("works", after=0.5, turns=0, answered=0.5 - 0.124) == ("ask",)
    assert loop.look("works", after=0.5, turns=0, answered=0.499) == ("ask",)


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize("doing", ["works", "dark"])
def test_a_look_that_comes_too_late_at_a_loop_that_has_hardly_turned_finds_it_blocked(
    turns: int, doing: Doing
) -> None:
    """It waited at the look before, so nothing was asked; then something held the lock."""
    loop = Loop()
    loop.look("waits")
    should_wake = loop.now + PAUSE
    assert loop.look(doing, after=PAUSE + LIMIT + 0.001, turns=turns) == ("report", "ask")
    assert loop.looks.since == should_wake
    assert loop.look(doing) == ()
    assert loop.look("works", answered=0.01) == ("end", "ask")


@pytest.mark.parametrize(("turns", "steps"), [(2, ("report", "ask")), (3, ("ask",))])
def test_the_first_look_may_come_too_late_as_well(turns: int, steps: tuple[str, ...]) -> None:
    assert Loop().look("works", after=0.5, turns=turns) == steps


def test_a_look_that_comes_too_late_says_nothing_of_a_loop_that_has_turned_or_waits() -> None:
    loop = Loop()
    loop.look("waits")
    assert loop.look("works", after=0.4, turns=3) == ("ask",)
    loop.look("waits", answered=0.01)
    assert loop.look("waits", after=0.4, turns=0) == ()
    assert loop.look("works", after=PAUSE + LIMIT, turns=0) == ("ask",)


def test_a_loop_in_the_dark_is_asked_a_second_after_its_last_answer() -> None:
    loop = Loop()
    assert [loop.look("dark", after=0.125, turns=0) for _ in range(7)] == [()] * 7
    assert loop.look("dark", after=0.125) == ("ask",)
    assert loop.look("dark", answered=0.0) == ()
    assert [loop.look("dark", after=0.125, turns=0) for _ in range(7)] == [()] * 7
    assert loop.look("works") == ("ask",)
    assert loop.look("dark", answered=0.0) == ()
    assert [loop.look("dark", after=0.125, turns=0) for _ in range(7)] == [()] * 7
    assert loop.look("dark", after=0.125) == ("ask",)
    assert loop.look("dark", after=LIMIT, turns=0) == ("report",)
    assert loop.look("dark", after=0.125, turns=0, answered=0.0) == ("end",)


@given(start=st.floats(0.0, 1.0), length=st.floats(0.0, 0.5), works_before=st.booleans())
def test_what_takes_a_quarter_more_than_the_limit_is_seen_and_what_takes_less_than_it_is_not(
    start: float, length: float, *, works_before: bool
) -> None:
    looks = Looks(LIMIT, PAUSE, 0.0)
    end, asked, reported = start + length, None, False
    for number in range(1, 80):
        now = number * PAUSE
        blocked = start <= now < end
        # It answers as soon as it is asked, or as soon as it is over.
        answered = None
        if asked is not None:
            answered = end if start <= asked < end else asked
            answered = answered if answered <= now else None
        doing: Doing = "works" if blocked or works_before else "waits"
        steps = looks.look(now, doing, turns=number, answered=answered)
        reported = reported or "report" in steps or "missed" in steps
        if "ask" in steps:
            asked = now
    if length > LIMIT + PAUSE:
        assert reported
    if length < LIMIT:
        assert not reported
