"""What a supervisor decides, by itself: its children as a table, and what follows from an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from mabeam import Crashed, Exited, ExitReason, GenServer, Killed, NoProcess, Normal, Shutdown
from mabeam.otp._supervisor_state import Child, Children, restarts_after

if TYPE_CHECKING:
    from mabeam import AutoShutdown, Restart, Strategy
    from mabeam.kernel import Process


class Worker(GenServer):
    """Never started here."""


def process() -> Process:
    """Stands for one: the table looks at nothing of it."""
    return cast("Process", object())


def child(id: str, *, running: bool = True, **options: Any) -> Child:
    """A child."""
    spec = Worker.child_spec().options(id=id, **options)
    return Child(spec, process() if running else None)


def children(
    *given: Child, strategy: Strategy = "one_for_one", auto_shutdown: AutoShutdown = "never"
) -> Children:
    """A table of them."""
    table = Children(strategy, auto_shutdown)
    for each in given:
        table.add(each)
    return table


@pytest.mark.parametrize(
    ("reason", "abnormal"),
    [
        (Normal(), False),
        (Shutdown(), False),
        (Shutdown("detail"), False),
        (Killed(), True),
        (NoProcess(), True),
        (Crashed(ValueError()), True),
        (Exited(1), True),
    ],
    ids=repr,
)
def test_who_is_restarted_is_the_table_of_otp(reason: ExitReason, *, abnormal: bool) -> None:
    """Permanent ones always, transient ones after an abnormal end, temporary ones never."""
    answers: dict[Restart, bool] = {"permanent": True, "transient": abnormal, "temporary": False}
    for restart, expected in answers.items():
        assert restarts_after(child("a", restart=restart).spec, reason) is expected


def test_a_new_child_is_at_the_beginning_of_its_history() -> None:
    fresh = Child(Worker.child_spec())
    assert (fresh.process, fresh.restarting, fresh.row, fresh.retry) == (None, False, (0, 0.0), None)


def test_a_child_is_there_while_it_runs_or_is_about_to() -> None:
    one = child("a", running=False)
    assert not one.is_there
    one.restarting = True
    assert one.is_there
    one.process, one.restarting = process(), False
    assert one.is_there


def test_children_are_found_by_id_and_by_process_in_the_order_of_their_start() -> None:
    """One that does not run is found by its id only."""
    one, two, three = child("one"), child("two", running=False), child("three")
    table = children(one, two, three)
    assert list(table.by_id.items()) == [("one", one), ("two", two), ("three", three)]
    assert table.by_process == {one.process: one, three.process: three}
    assert len(table) == 3


def test_one_that_runs_again_is_found_by_its_new_process_and_not_retried() -> None:
    one = child("one", running=False)
    table = children(one)
    one.restarting, one.retry = True, object()
    new = process()
    table.runs(one, new)
    assert (one.process, one.restarting, one.retry) == (new, False, None)
    assert table.by_process == {new: one}


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("running", [False, True])
def test_one_that_was_stopped_keeps_its_spec_unless_it_is_temporary(
    restart: Restart, *, running: bool
) -> None:
    """And is not retried any more."""
    one, other = child("one", restart=restart, running=running), child("other")
    table = children(one, other)
    one.restarting, one.retry = not running, object()
    table.stopped(one)
    assert (one.process, one.restarting, one.retry) == (None, False, None)
    assert table.by_process == {other.process: other}
    assert ("one" in table.by_id) is (restart != "temporary")
    table.stopped(one)  # its end may be heard of again
    assert len(table) == 1 + (restart != "temporary")


@pytest.mark.parametrize("running", [False, True])
def test_one_that_was_halted_keeps_its_spec_in_any_case(*, running: bool) -> None:
    one = child("one", restart="temporary", running=running)
    table = children(one)
    one.restarting, one.retry = not running, object()
    table.halted(one)
    assert (one.process, one.restarting, one.retry) == (None, False, None)
    assert (table.by_id, table.by_process) == ({"one": one}, {})


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("one_for_one", ["b"]), ("one_for_all", ["a", "b", "c"]), ("rest_for_one", ["b", "c"])],
)
def test_the_strategy_says_who_is_restarted_with_a_child(strategy: Strategy, expected: list[str]) -> None:
    """In the order of their start, whether they run or not."""
    given = [child("a"), child("b"), child("c", running=False)]
    table = children(*given, strategy=strategy)
    assert table.group_of(given[1]) == [table.by_id[each] for each in expected]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_is_a_list_of_its_own(strategy: Strategy) -> None:
    """Children are stopped, and temporary ones forgotten, while it is gone through."""
    one, two = child("a"), child("b", restart="temporary")
    table = children(one, two, strategy=strategy)
    group = table.group_of(one)
    table.stopped(two)
    assert group == [one, two]


@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
def test_the_end_of_an_insignificant_child_ends_no_supervisor(auto_shutdown: AutoShutdown) -> None:
    one = child("a", restart="transient")
    table = children(one, auto_shutdown=auto_shutdown)
    table.stopped(one)
    assert table.ends_supervisor(one) is False


def test_the_end_of_a_significant_child_ends_the_supervisor_as_it_was_told() -> None:
    """Never; with any of them; or with the last that is there, those being restarted included."""
    for auto_shutdown, expected in (
        ("never", [False, False, False]),
        ("any_significant", [True, True, True]),
        ("all_significant", [False, False, True]),
    ):
        given = [child(each, restart="transient", significant=True) for each in "abc"]
        others = [child("plain"), child("resting", running=False)]
        table = children(*given, *others, auto_shutdown=cast("AutoShutdown", auto_shutdown))
        table.halted(given[1])
        given[1].restarting = True
        answers = []
        for each in (given[0], given[2], given[1]):
            table.stopped(each)
            answers.append(table.ends_supervisor(each))
        assert answers == expected


def test_the_child_that_ends_does_not_keep_its_supervisor_up() -> None:
    """Even if it is asked before it is taken off the list; one that never ran does not, either."""
    one = child("a", restart="transient", significant=True)
    two = child("b", restart="transient", significant=True, running=False)
    assert children(one, two, auto_shutdown="all_significant").ends_supervisor(one) is True
