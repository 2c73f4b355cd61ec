"""Who decides in a simulated run: the same for each equal seed, as often as was asked, and as was recorded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.testing import Faults
from mabeam.testing._deciders import Recorded, Seeded
from mabeam.testing._schedule import Fault, Schedule

if TYPE_CHECKING:
    from mabeam.testing._schedule import FaultKind

SEEDS = range(400)


def _choices(seed: int, count: int = 10, length: int = 200) -> list[int]:
    decider = Seeded(seed, None, 0)
    return [decider.choose(number, count) for number in range(length)]


def _faults(
    seed: int, kind: FaultKind, faults: Faults | None, most: int = 1_000, point: str = ""
) -> list[Any]:
    decider = Seeded(seed, faults, most)
    return [decider.fault(kind, "f", number, None, point) for number in range(1, 1_001)]


def test_equal_seeds_decide_alike_and_others_otherwise() -> None:
    assert _choices(1) == _choices(1)
    assert len({tuple(_choices(seed)) for seed in SEEDS}) > 300
    assert Seeded(5, None, 0).draws == 5


def test_every_possibility_is_chosen_and_nothing_else() -> None:
    assert {choice for seed in SEEDS for choice in _choices(seed)} == set(range(10))


def test_each_seed_has_a_habit() -> None:
    """Three of four let the ordinary happen, the others whoever came last; and all draw more or less often."""
    habits = Counter(Counter(_choices(seed, count=1_000)).most_common(1)[0][0] for seed in SEEDS)
    followed = [Counter(_choices(seed, count=1_000)).most_common(1)[0][1] for seed in SEEDS]
    assert 160 < habits[0] < 280
    assert 50 < habits[999] < 110
    for low, high in (
        (180, 200),
        (140, 179),
        (80, 120),
        (1, 5),
    ):  # of 200: it draws once in 20, in 5, in 2, always
        assert 60 < sum(low <= times <= high for times in followed) < 140
    assert not [times for times in followed if 5 < times < 80 or times == 200]


def test_choices_do_not_depend_on_faults() -> None:
    plain, faulty = Seeded(3, None, 0), Seeded(3, Faults(crash=0.5), 1_000)
    for number in range(100):
        faulty.fault("crash", "f", number, None)
        assert plain.choose(number, 10) == faulty.choose(number, 10)


def test_faults_do_not_depend_on_choices() -> None:
    plain, busy = Seeded(3, Faults(crash=0.5), 1_000), Seeded(3, Faults(crash=0.5), 1_000)
    for number in range(100):
        busy.choose(number, 10)
        assert plain.fault("crash", "f", number, None) == busy.fault("crash", "f", number, None)


def _rate(kind: FaultKind, rate: float) -> Any:
    return {kind: rate}


def test_a_fault_is_as_frequent_as_was_asked() -> None:
    kinds: tuple[FaultKind, ...] = ("crash", "kill", "delay", "late")
    for kind in kinds:
        some, all_ = Faults(**_rate(kind, 0.2)), Faults(**_rate(kind, 1.0))
        hits = [each for each in _faults(1, kind, some) if each is not None]
        assert 150 < len(hits) < 250
        assert all(isinstance(each, Fault) and (each.kind, each.site) == (kind, "f") for each in hits)
        assert not any(_faults(1, kind, Faults()))
        assert not any(_faults(1, kind, None))
        assert [each.occurrence for each in _faults(1, kind, all_)] == list(range(1, 1_001))


def test_faults_of_one_kind_do_not_depend_on_those_that_are_not_wanted() -> None:
    plain, asked = Seeded(3, Faults(crash=0.5), 1_000), Seeded(3, Faults(crash=0.5), 1_000)
    for number in range(100):
        asked.fault("kill", "f", number, None)
        assert plain.fault("crash", "f", number, None) == asked.fault("crash", "f", number, None)


def test_a_point_has_a_rate_of_its_own() -> None:
    faults = Faults(points={"store.*": 1.0}, crash=0.0)
    assert all(_faults(1, "point", faults, point="store.write"))
    assert not any(_faults(1, "point", faults, point="other"))
    assert Seeded(1, Faults(points={"?*": 1.0}), 1).fault("point", "f", 1, None) is None  # it has no name


@pytest.mark.parametrize("most", [0, 1, 7])
def test_there_are_no_more_faults_than_were_asked(most: int) -> None:
    hits = [each is not None for each in _faults(1, "crash", Faults(crash=1.0), most)]
    assert hits == [True] * most + [False] * (1_000 - most)


def test_who_must_not_be_hit_is_not_and_does_not_count() -> None:
    class Spared:
        def may_hit(self, process: Any) -> bool:
            return bool(process == "victim")

        def wish_for(self, kind: str, point: str) -> tuple[str, float]:
            return kind, 1.0

    decider = Seeded(1, Spared(), 1)  # type: ignore[arg-type]  # all that it asks of faults
    assert decider.fault("crash", "f", 1, "other") is None  # type: ignore[arg-type]  # only passed on
    assert decider.fault("crash", "f", 2, "victim") == Fault("crash", "f", 2)  # type: ignore[arg-type]  # only passed on
    assert decider.fault("crash", "f", 3, "victim") is None  # type: ignore[arg-type]  # only passed on


@pytest.mark.parametrize("kind", ["delay", "late"])
def test_delays_are_of_all_sizes_below_the_longest(kind: FaultKind) -> None:
    """As many of each power of ten, none of nothing."""
    wanted = Faults(delay=1.0, late=1.0, max_delay=10.0)
    seconds = [each.seconds for each in _faults(1, kind, wanted)]
    assert min(seconds) == 0.001
    assert all(each == round(each, 3) <= 10.0 for each in seconds)
    for low in (0.001, 0.01, 0.1, 1.0):
        assert 200 < sum(low <= each < 10 * low for each in seconds) < 300


def test_delays_are_four_powers_of_ten_and_never_nothing() -> None:
    long = [each.seconds for each in _faults(1, "delay", Faults(delay=1.0, max_delay=1e9))]
    assert 1e5 <= min(long) < 2e5
    assert {each.seconds for each in _faults(1, "delay", Faults(delay=1.0, max_delay=0.001))} == {0.001}


def test_what_is_no_delay_takes_no_time() -> None:
    for kind in ("crash", "kill"):
        assert {each.seconds for each in _faults(1, kind, Faults(crash=1.0, kill=1.0))} == {0.0}


def test_a_record_decides_as_it_says_and_else_as_ever() -> None:
    crash = Fault("crash", "f", 2)
    recorded = Recorded(Schedule(((1, 3), (4, 9)), (crash,), 5))
    assert recorded.draws == 5
    assert [recorded.choose(number, 8) for number in range(6)] == [0, 3, 0, 0, 7, 0]
    assert recorded.choose(1, 1) == 0
    assert recorded.fault("crash", "f", 2, None) is crash
    others: list[tuple[FaultKind, str, int]] = [("kill", "f", 2), ("crash", "g", 2), ("crash", "f", 1)]
    assert [recorded.fault(*each, None) for each in others] == [None] * 3


class Wishes:
    """Faults that may hit one process only; counts how often that is asked."""

    def __init__(self, victim: object) -> None:
        self.victim = victim
        self.asked = 0

    def wish_for(self, kind: FaultKind, _point: str) -> tuple[str, float]:
        return kind, 0.0 if kind == "late" else 1e-9

    def may_hit(self, process: object) -> bool:
        self.asked += 1
        return process is self.victim


def test_a_fault_is_possible_if_it_was_wanted_somewhere_where_it_may_hit() -> None:
    """Whether or not it hits; who may be hit is asked until that is known."""
    victim, other = object(), object()
    wishes: Any = Wishes(victim)
    decider = Seeded(1, wishes, 0)

    def fault(kind: FaultKind, process: Any) -> None:
        assert decider.fault(kind, "f", 1, process) is None

    fault("crash", other)
    fault("late", victim)  # not wanted
    assert decider.possible == set()
    fault("crash", victim)
    assert decider.possible == {"crash"}
    fault("point", None)
    assert decider.possible == {"crash", "point"}
    asked = wishes.asked
    fault("crash", other)
    assert (decider.possible, wishes.asked) == ({"crash", "point"}, asked)
