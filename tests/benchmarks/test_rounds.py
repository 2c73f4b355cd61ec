"""What happens inside an OS process that measures."""

from __future__ import annotations

import gc

import pytest

from benchmarks._rounds import CountError, GcPauses, Rounds, check, quantile, resident_bytes


def test_the_first_round_does_not_count() -> None:
    rounds = Rounds(10, 3)
    for seconds in (1000.0, 1.0, 2.0, 3.0):
        rounds.add(seconds)
    assert rounds.operations == 40
    assert rounds.per_operation() == {"value": [0.1, 0.2, 0.3]}


def test_the_processor_has_its_part() -> None:
    rounds = Rounds(10, 2)
    for _ in rounds:
        with rounds.timing():
            pass
    assert set(rounds.per_operation()) == {"value", "cpu"}
    assert set(rounds.per_operation(elsewhere=True)) == {"value"}


def test_the_processor_s_part_is_the_mean_of_the_rounds_that_count() -> None:
    """A single round may be shorter than the step in which a system tells it."""
    rounds = Rounds(10, 2)
    for cpu in (1000.0, 0.0, 4.0):
        rounds.add(5.0, cpu)
    assert rounds.per_operation()["cpu"] == [0.2]


def test_a_round_that_was_not_timed_voids_the_measure() -> None:
    rounds = Rounds(10, 2)
    for number in rounds:
        if number != 1:
            with rounds.timing():
                pass
    with pytest.raises(CountError, match="rounds timed"):
        rounds.per_operation()


def test_a_miscount_voids_the_measure() -> None:
    check("answers", 3, 3)
    with pytest.raises(CountError, match="expected 4, got 3"):
        check("answers", 3, 4)


def test_a_measure_that_leaves_needs_an_os_process_of_its_own() -> None:
    with pytest.raises(CountError):
        Rounds(1, 1).leave({})


def test_a_note_is_made_once() -> None:
    rounds = Rounds(1, 1)
    rounds.note("differs")
    rounds.note("differs")
    assert rounds.notes == ["differs"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.99, 5), (1.0, 5)])
def test_quantiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert quantile([5, 4, 3, 2, 1], share) == expected


def test_collections_are_seen() -> None:
    pauses = GcPauses()
    try:
        gc.collect()
        assert pauses.count >= 1
        assert pauses.longest > 0
        pauses.reset()
        assert (pauses.count, pauses.longest) == (0, 0)
    finally:
        gc.callbacks.pop()


def test_memory_is_seen() -> None:
    assert resident_bytes() > 1_000_000
