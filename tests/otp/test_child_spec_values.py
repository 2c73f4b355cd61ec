"""Specs as values: what they show, what they refuse, and what becomes of each option in a start."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any, cast

import pytest

from mabeam import GenServer, UsageError, child_spec, self_pid, start_info
from mabeam.kernel import current_process
from mabeam.otp._child_spec import ChildOptions
from tests.otp._servers import for_ever


class Worker(GenServer):
    """Tells something at its start."""

    def __init__(self, number: int = 1) -> None:
        start_info(("number", number))


async def watch(url: str = "u") -> None:
    """A plain process."""


def test_a_spec_shows_what_was_said_and_not_how_it_is_done() -> None:
    """Arguments may be large, or secret."""
    spec = (
        Worker.child_spec(7).named("w").options(id="x", restart="transient", shutdown=2.0, significant=True)
    )
    assert repr(spec) == "<spec of Worker, id 'x', name 'w', transient, shutdown 2.0, significant>"
    assert repr(Worker.child_spec(7)) == "<spec of Worker, id 'Worker', name None, permanent, shutdown 5.0>"


def test_a_spec_cannot_be_changed() -> None:
    """It says what to do instead."""
    spec: Any = Worker.child_spec()
    for name in ("behaviour", "body", "name", "restart", "anything"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=rf"its {name} cannot be set. Make another"):
            setattr(spec, name, None)


def test_a_spec_can_be_copied_with_what_holds_it() -> None:
    """``dataclasses.asdict`` does that with a configuration, say."""
    spec = Worker.child_spec(7)
    assert copy.copy(spec) == copy.deepcopy([spec])[0] == spec


def test_a_spec_is_equal_to_one_that_says_the_same() -> None:
    """Whatever way it was said, and in a set, too."""
    spec = Worker.child_spec(7).named("w").options(restart="transient")
    same = Worker.child_spec(7).options(restart="transient").named("w")
    assert spec == same
    assert len({spec, same}) == 1
    others = (
        Worker.child_spec(8).named("w").options(restart="transient"),
        Worker.child_spec(7).named("v").options(restart="transient"),
        Worker.child_spec(7).named("w").options(restart="transient", shutdown=1.0),
        Worker.child_spec(number=7).named("w").options(restart="transient"),
        child_spec(watch),
        "w",
    )
    for other in others:
        assert spec != other


def test_options_have_the_defaults_that_are_documented() -> None:
    options: Any = ChildOptions(default_id="x")
    assert (options.default_id, options.id, options.restart, options.shutdown) == (
        "x",
        None,
        "permanent",
        5.0,
    )
    assert (options.significant, options.problems, options.is_right) == (False, (), True)
    for field in dataclasses.fields(options):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, field.name, None)
    with pytest.raises(TypeError, match="positional"):
        ChildOptions("x")  # type: ignore[call-arg]  # what is refused
    assert "is_right" not in repr(options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": 7},
        {"restart": "x"},
        {"shutdown": -1},
        {"significant": 1},
        {"significant": True},
        {"problems": ("x",)},
    ],
    ids=str,
)
def test_options_know_whether_they_are_right(wrong: Any) -> None:
    """So that it is found out once for all children that share them."""
    assert not ChildOptions(default_id="x", **wrong).is_right


async def test_arguments_with_keywords_reach_the_server_at_every_start() -> None:
    """Also as the only ones, and beside others."""
    for spec in (Worker.child_spec(number=3), Worker.child_spec(3)):
        for _ in range(2):
            assert (await spec.start_link()).start_info == ("number", 3)


def test_seconds_are_a_number_whatever_was_given() -> None:
    for given, expected in ((2, 2.0), (0.5, 0.5), (0, 0.0)):
        seconds = Worker.child_spec().options(shutdown=given).shutdown_seconds
        assert (seconds, type(seconds)) == (expected, float)
    assert child_spec(watch).shutdown_seconds == 5.0


def test_each_problem_begins_with_the_child_it_is_in() -> None:
    spec = Worker.child_spec().options(id="w", restart="x", shutdown=-1, significant=True)  # type: ignore[arg-type]  # wrong
    assert [problem.partition(":")[0] for problem in spec.check()] == ["child 'w'"] * 2


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_what_may_end_for_good_can_be_significant(restart: Any) -> None:
    assert Worker.child_spec().options(restart=restart, significant=True).check() == ()


@pytest.mark.parametrize("shutdown", [(1,), b"1", 1j, object()], ids=lambda each: type(each).__name__)
def test_a_shutdown_time_of_an_odd_type_is_a_problem_like_any_other(shutdown: Any) -> None:
    """Not an error in the check."""
    (problem,) = Worker.child_spec().options(shutdown=shutdown).check()
    assert "shutdown expects seconds" in problem


def test_the_base_of_servers_is_none_itself() -> None:
    with pytest.raises(
        UsageError, match=r"GenServer is the base of servers and none itself: class Counter\(GenServer\)"
    ):
        GenServer.child_spec()


def test_a_name_of_nothing_is_a_problem_that_keeps_the_others() -> None:
    """Of arguments that do not fit, say; the rest of the spec stays."""
    nobody: Any = None
    spec = Worker.child_spec(1, 2).options(restart="transient").named(nobody)  # type: ignore[call-arg]  # wrong
    first, second = spec.check()
    assert "positional" in first
    assert second.startswith("named() expects a non-empty string or a via name, got None; leave it away")
    assert (spec.restart, spec.name) == ("transient", None)


def test_a_problem_of_arguments_names_the_child_when_its_class_is_not_enough() -> None:
    """Several of one class differ by their ids."""
    spec = Worker.child_spec(1, 2)  # type: ignore[call-arg]  # wrong
    (plain,) = spec.check()
    assert plain.startswith("Worker")
    assert spec.named("w").check() == (f"child 'w': {plain}",)
    assert Worker.child_spec().named("w").check() == ()


@pytest.mark.parametrize("name", ["", 7, b"w", ["w"]], ids=repr)
def test_what_is_no_name_is_a_problem_whatever_else_is_right(name: Any) -> None:
    (problem,) = Worker.child_spec().named(name).check()
    assert "named() expects a non-empty string or a via name, got" in problem


def test_specs_that_fit_share_their_options_and_others_have_their_own() -> None:
    """So that options are checked once, and a problem of one child is no problem of its brothers."""
    one, other = Worker.child_spec(), Worker.child_spec(2)
    assert one._options is other._options
    wrong = Worker.child_spec(1, 2)  # type: ignore[call-arg]  # wrong
    assert len(wrong.check()) == 1
    assert Worker.child_spec().check() == ()


async def test_a_spec_that_is_awaited_says_how_to_start_it() -> None:
    """The first thing that many try."""
    spec: Any = Worker.child_spec()
    with pytest.raises(UsageError, match=r"starts nothing by itself.*await spec\.start_link\(\)"):
        await spec


def test_a_function_that_is_none_is_refused_by_the_name_of_the_call() -> None:
    with pytest.raises(UsageError, match=r"^child_spec expects a function"):
        child_spec(7)  # type: ignore[arg-type]  # what is refused


def test_a_server_class_makes_its_own_specs() -> None:
    """The class itself is no function to be supervised, and neither is what starts it."""
    for wrong in (Worker, Worker.start_link, Worker.child_spec):
        with pytest.raises(UsageError, match=r"got .*\n    right:  Worker\.child_spec\(\.\.\.\)"):
            child_spec(wrong)
    with pytest.raises(UsageError, match=r"right:  int\.child_spec"):
        child_spec(int)
    with pytest.raises(UsageError, match="child_spec expects a function"):
        child_spec(7)  # type: ignore[arg-type]  # what is refused


def test_methods_of_other_objects_are_functions_like_any_other() -> None:
    """Those of classes that are no servers, and those of objects that have a start_link."""

    class Plain:
        start_link = 7

        def run(self) -> None:
            """Do nothing."""

    assert child_spec(Plain().run).id == "run"
    assert child_spec(dict.fromkeys, "ab").id == "fromkeys"


def test_a_function_without_a_name_is_a_child_called_function() -> None:
    """A partial one, say."""
    assert child_spec(functools.partial(for_ever)).id == "function"


async def test_one_that_is_started_with_a_link_has_one() -> None:
    """And the other has none; the handle knows what the server told at its start."""
    linked = await Worker.child_spec(1).start_link()
    unlinked = await Worker.child_spec(2).start()
    assert (linked.start_info, unlinked.start_info) == (("number", 1), ("number", 2))
    links = [process.pid for process in current_process().links]
    assert linked.pid in links
    assert unlinked.pid not in links
    assert self_pid() not in links


async def test_a_child_is_linked_unless_it_is_said_that_it_is_not() -> None:
    """As every supervisor expects."""
    me = current_process()
    assert me in Worker.child_spec().begin(me).process.links
    assert me not in Worker.child_spec().begin(me, link=False).process.links


def test_specs_that_say_the_same_are_equal_and_can_be_kept_in_sets() -> None:
    """However an argument was given, and whether it has a hash or not."""
    assert Worker.child_spec(number=1) == Worker.child_spec(number=1) != Worker.child_spec(number=2)
    lists: Any = (
        [Worker.child_spec(number), Worker.child_spec(number)] if (number := cast("Any", [1])) else []
    )
    assert len(set(lists)) == 1
    assert len({Worker.child_spec(1), Worker.child_spec(1).named("other")}) == 2
