"""Specs as values: what they show, what they refuse, and what becomes of each option in a start."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from mabeam import ChildSpec, GenServer, child_spec, self_pid, start_info
from mabeam.kernel import current_process
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
    assert repr(spec) == "ChildSpec(name='w', restart='transient', shutdown=2.0, significant=True)"


def test_a_spec_cannot_be_changed_and_is_made_of_named_parts() -> None:
    """Options make another one."""
    spec: Any = Worker.child_spec()
    for field in dataclasses.fields(spec):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(spec, field.name, None)
    anything: Any = ChildSpec
    with pytest.raises(TypeError, match="positional"):
        anything(spec.behaviour, body=spec.body, default_id="x")
    given = {"behaviour": spec.behaviour, "body": spec.body, "default_id": "x"}
    for missing in given:
        with pytest.raises(TypeError, match=missing):
            anything(**{name: value for name, value in given.items() if name != missing})
    bare = anything(**given)
    assert (bare.id, bare.explicit_id, bare.name, bare.restart) == ("x", None, None, "permanent")
    assert (bare.shutdown, bare.significant, bare.problems, bare.check()) == (5.0, False, (), ())


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
