"""What a review is asked for, as values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import pytest

from mabeam.review import make_report
from mabeam.review._order import CRASHES_PER_FILE, CRASHES_TO_GIVE_UP, Order, Outcome, Work

if TYPE_CHECKING:
    from mabeam.review._listing import ListedFile

ORDER = Order(paths=("a",), codes=frozenset({"MB101"}), workers=2)
OUTCOME = Outcome(report=make_report([], [], files=0), injected=1, crashes=2)
WORK = Work(cast("ListedFile", None), 1, crash=False)


def test_nobody_is_crashed_on_purpose_unless_it_is_ordered() -> None:
    assert ORDER.chaos == 0.0


def test_the_budget_has_room_for_one_injected_crash_besides_those_that_give_a_file_up() -> None:
    """Three real crashes, as the documentation says; with fewer restarts chaos could end a review."""
    assert (CRASHES_TO_GIVE_UP, CRASHES_PER_FILE) == (3, 4)


@pytest.mark.parametrize("value", [ORDER, OUTCOME, WORK], ids=lambda value: type(value).__name__)
def test_an_order_cannot_be_changed_by_those_who_work_on_it(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_orders_and_outcomes_are_written_with_names() -> None:
    """Numbers side by side would be mixed up."""
    with pytest.raises(TypeError, match="positional"):
        Order(("a",), frozenset(), 2)  # type: ignore[call-arg]  # what is refused
    with pytest.raises(TypeError, match="positional"):
        Outcome(OUTCOME.report, 1, 2)  # type: ignore[call-arg]  # what is refused
