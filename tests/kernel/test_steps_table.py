"""Who has a step and who waits, decided with no kernel and no real loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.kernel._steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Loop:
    """A loop that has turns, and a clock that each step moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ready: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.ready.append(callback)

    def create_future(self) -> Place:
        return Place(self)

    def turn(self) -> None:
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


class Place:
    """What somebody waits for."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.then: Callable[[], object] = lambda: None
        self._is_over = False

    def done(self) -> bool:
        return self._is_over

    def cancel(self) -> None:
        self._is_over = True

    def set_result(self, _: None) -> None:
        self._is_over = True
        self._loop.call_soon(self.then)


def asked(steps: Steps, *, was_called: bool) -> Any:
    """What the driver of a coroutine does before each step."""
    if was_called:
        return steps.called()
    steps.left -= 1
    return steps.wait() if steps.left < 0 else None


@given(
    costs=st.lists(st.sampled_from([0.00001, 0.0001, 0.0005, 0.003]), min_size=1, max_size=300),
    cancelled=st.sets(st.integers(0, 299), max_size=20),
)
def test_all_have_their_step_in_the_order_in_which_they_came(costs: list[float], cancelled: set[int]) -> None:
    loop = Loop()
    steps = Steps(loop, lambda: loop.now, lambda: None)  # type: ignore[arg-type]  # all that it needs of a loop
    took: list[int] = []
    late: list[bool] = []

    def step(number: int, *, was_called: bool = False) -> None:
        turn: Any = asked(steps, was_called=was_called)
        if turn is None:
            took.append(number)
            late.append(steps._until is not None and loop.now > steps._until)
            loop.now += costs[number]
            return
        turn.then = lambda: step(number, was_called=True)
        if number in cancelled:
            turn.cancel()

    for number in range(len(costs)):
        loop.call_soon(lambda number=number: step(number))  # type: ignore[misc]  # a default binds it
    for _ in range(3 * len(costs) + 10):
        late.clear()
        loop.turn()
        assert sum(late) <= 4  # nobody looks at the time for them
    assert not steps.is_crowded
    assert not loop.ready
    assert took == sorted(took)
    assert {*range(len(costs))} - {*took} <= cancelled


def _turns(costs: Sequence[float]) -> tuple[list[int], list[int]]:
    """How many take their step in each turn of the loop, and how often the time is looked at, for so many that are ready."""
    loop, took, looks = Loop(), list[int](), list[int]()

    def stopwatch() -> float:
        looks[-1] += 1
        return loop.now

    steps = Steps(loop, stopwatch, lambda: None)  # type: ignore[arg-type]  # all that it needs of a loop

    def step(number: int, *, was_called: bool = False) -> None:
        turn: Any = asked(steps, was_called=was_called)
        if turn is None:
            took[-1] += 1
            loop.now += costs[number]
        else:
            turn.then = lambda: step(number, was_called=True)

    for number in range(len(costs)):
        loop.call_soon(lambda number=number: step(number))  # type: ignore[misc]  # a default binds it
    while loop.ready:
        took.append(0)
        looks.append(0)
        loop.turn()
    return took, looks


SOME = 0.00011
"""Nine such steps are less than the time for steps, ten are more."""


@pytest.mark.parametrize(
    ("costs", "took", "looks"),
    [
        # The first sixteen are not looked at, then every fifth; the second turn is only to see that there was one.
        ([0.0] * 16, [16], [0]),
        ([0.0] * 40, [40, 0], [5, 0]),
        # Slow ones: as soon as somebody waits, all that were ready before do, and each that is called looks first.
        ([0.003] * 40, [21, 0, *[1] * 19], [2, 0, 16, 16, 16, *range(16, 0, -1)]),
        # As many are called at once as there was time for, and sixteen at least, who are let through while there is time.
        ([SOME] * 100, [26, 0, *[10] * 7, 4], [3, 0, *[16] * 6, 14, 4]),
        # Quick ones: twice as many each time, until there is no time left for all; then every fourth looks.
        (
            [SOME] * 50 + [0.00001] * 1_000,
            [26, 0, 10, 10, 16, 32, 64, *[104] * 8, 60],
            [3, 0, 16, 16, 16, 32, 64, 50, *[26, 130] * 3, 26, 15],
        ),
        # Quick ones without end, then slow ones: never more than so many at once, and each looks again.
        (
            [0.0000001] * 24_000 + [0.001] * 60,
            [10_021, 0, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096, 1_708, 4, *[2] * 27, 1],
            [
                2_002,
                0,
                16,
                32,
                64,
                32,
                64,
                128,
                256,
                512,
                1_024,
                1_024,
                486,
                56,
                *[16] * 20,
                *range(15, 0, -2),
            ],
        ),
    ],
)
def test_so_many_have_their_step_in_each_turn(costs: list[float], took: list[int], looks: list[int]) -> None:
    assert _turns(costs) == (took, looks)


def test_who_waits_is_called_and_the_end_of_each_turn_is_told() -> None:
    loop, turned = Loop(), list[float]()
    steps = Steps(loop, lambda: loop.now, lambda: turned.append(loop.now))  # type: ignore[arg-type]  # all that it needs of a loop
    steps.left = -1
    assert steps.wait() is None
    assert not steps.is_crowded
    loop.now = 1.0
    first = steps.wait()
    assert steps.is_crowded
    again, other = steps.called(), steps.wait()
    waiting: list[Any] = [first, again, other]
    assert not any(turn.done() for turn in waiting)
    assert turned == []
    loop.turn()
    assert turned == [1.0]
    assert all(turn.done() for turn in waiting)
    assert not steps.is_crowded
    loop.turn()
    assert turned == [1.0, 1.0]


def test_who_comes_while_others_wait_waits_behind_them_and_a_turn_after_a_crowd_begins_as_the_first_did() -> (
    None
):
    loop, looks = Loop(), list[float]()

    def stopwatch() -> float:
        looks.append(loop.now)
        return loop.now

    steps = Steps(loop, stopwatch, lambda: None)  # type: ignore[arg-type]  # all that it needs of a loop
    steps.left = 0
    assert asked(steps, was_called=False) is None
    loop.now = 1.0
    steps.left = 0
    crowd = [asked(steps, was_called=False) for _ in range(17)]
    loop.turn()
    assert [turn.done() for turn in crowd] == [True] * 16 + [False]
    assert not asked(steps, was_called=False).done()

    loop.turn()
    looks.clear()
    assert [asked(steps, was_called=False) for _ in range(16)] == [None] * 16
    assert looks == []
    assert asked(steps, was_called=False) is None
    assert looks == [1.0]


def test_who_was_called_too_late_in_a_turn_is_a_crowd_of_one() -> None:
    loop = Loop()
    steps = Steps(loop, lambda: loop.now, lambda: None)  # type: ignore[arg-type]  # all that it needs of a loop
    assert steps.wait() is None
    loop.now = 1.0
    assert steps.wait() is not None
    loop.turn()
    assert not steps.is_crowded
    assert steps.called() is None
    loop.now = 2.0
    assert steps.called() is not None
    assert steps.is_crowded
