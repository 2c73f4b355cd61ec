"""Specs of children: made without a process, checked without a process."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mabeam import ChildSpec, DynamicSupervisor, GenServer, Supervisor, UsageError, child_spec, receive
from mabeam.testing import wait_until_idle
from tests.otp._servers import for_ever


class Worker(GenServer):
    """A worker with one argument."""

    def __init__(self, number: int, *, flag: bool = False) -> None:
        self.number = number


async def poll(url: str, every: float = 1.0) -> None:
    """A plain process."""
    await receive()


def test_defaults_are_permanent_and_5_seconds_for_a_worker() -> None:
    """And no limit for a supervisor."""
    worker = Worker.child_spec(1)
    assert (worker.id, worker.restart, worker.shutdown, worker.significant, worker.is_supervisor) == (
        ("Worker", "permanent", 5.0, False, False)
    )
    top = Supervisor.child_spec([], strategy="one_for_one")
    assert (top.id, top.shutdown, top.is_supervisor) == ("Supervisor", "infinity", True)
    assert top.shutdown_seconds == math.inf
    assert DynamicSupervisor.child_spec().shutdown == "infinity"
    assert child_spec(poll, "u").id == "poll"


def test_the_id_follows_the_name_unless_it_is_given() -> None:
    """In whichever order they are said."""
    assert Worker.child_spec(1).named("w").id == "w"
    assert Worker.child_spec(1).options(id="x").named("w").id == "x"
    assert Worker.child_spec(1).named("w").options(id="x").id == "x"


def test_options_that_are_left_out_stay_as_they_are() -> None:
    """Each call returns another spec."""
    first = Worker.child_spec(1)
    second = first.options(restart="transient", shutdown=2.0)
    third = second.options(significant=True)
    assert (first.restart, third.restart, third.shutdown, third.significant) == (
        "permanent",
        "transient",
        2.0,
        True,
    )
    assert third.options(shutdown="brutal_kill").shutdown_seconds is None
    assert third.options(significant=False).significant is False


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (Worker.child_spec(1).options(restart="always"), "restart expects"),  # type: ignore[arg-type]
        (Worker.child_spec(1).options(shutdown=-1), "shutdown expects"),
        (Worker.child_spec(1).options(shutdown="soon"), "shutdown expects"),  # type: ignore[arg-type]
        (Worker.child_spec(1).options(shutdown=True), "shutdown expects"),
        (Worker.child_spec(1).options(shutdown=math.nan), "shutdown expects"),
        (Worker.child_spec(1).options(shutdown=10**400), "shutdown expects"),
        (Worker.child_spec(1).options(id=""), "non-empty string, got ''"),
        (Worker.child_spec(1).options(id=7), "string, got 7"),  # type: ignore[arg-type]
        (Worker.child_spec(1).named("").options(id="x"), "named"),
        (Worker.child_spec(1).named(7), "named"),  # type: ignore[arg-type]
        (Worker.child_spec(1).options(significant=True), "permanent"),
        (Worker.child_spec(1).options(significant=1), "True or False"),  # type: ignore[arg-type]
        (Worker.child_spec(), "number"),  # type: ignore[call-arg]
        (Worker.child_spec(1, 2), "positional"),  # type: ignore[call-arg, arg-type]
        (Worker.child_spec(1, colour="red"), "colour"),  # type: ignore[call-arg]
        (child_spec(poll), "url"),  # type: ignore[call-arg]
    ],
)
def test_each_mistake_is_named(spec: ChildSpec[Any], problem: str) -> None:
    """With the child it is in, and what was expected."""
    (found,) = spec.check()
    assert problem in found


@pytest.mark.parametrize("shutdown", [0, 0.5, 10, "brutal_kill", "infinity", math.inf])
def test_every_shutdown_time_that_makes_sense_is_accepted(shutdown: Any) -> None:
    """0 is a time as well: it is killed as soon as it does not end at once."""
    assert Worker.child_spec(1).options(shutdown=shutdown).check() == ()


def test_child_spec_refuses_what_is_no_function() -> None:
    """A coroutine is closed, so that nothing is said of one that was never awaited."""
    coroutine = poll("u")
    with pytest.raises(UsageError, match=r"child_spec\(poll, \.\.\.\)"):
        child_spec(coroutine)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)
    with pytest.raises(UsageError, match=r"Worker\.child_spec"):
        child_spec(Worker, 1)
    with pytest.raises(UsageError, match="a function and its arguments"):
        child_spec("poll")  # type: ignore[arg-type]


async def test_a_wrong_spec_is_refused_where_it_is_used() -> None:
    """All its problems at once, and nothing has started."""
    spec = Worker.child_spec().options(restart="x", shutdown=-2)  # type: ignore[call-arg, arg-type]
    with pytest.raises(UsageError) as caught:
        await spec.start()
    assert len(caught.value.problems) == 3


async def test_a_plain_process_can_be_a_child() -> None:
    """It is up when its function runs."""
    top = await Supervisor.start_link([child_spec(for_ever).named("plain")], strategy="one_for_one")
    (info,) = await top.call(Supervisor.which_children)
    assert (info.id, info.state, info.is_supervisor) == ("plain", "running", False)


async def test_each_start_is_given_the_very_arguments_of_the_spec() -> None:
    """They are not copied: what a server changes in them is changed for the next."""
    items: list[int] = []

    class Basket(GenServer):
        def __init__(self, *given: list[int]) -> None:
            given[0].append(len(given[0]))

    spec = Basket.child_spec(items)
    await spec.start()
    await spec.named("again").start()
    assert items == [0, 1]


async def test_each_restart_of_a_plain_child_calls_its_function_anew() -> None:
    """With the same arguments."""
    calls: list[int] = []

    async def count(limit: int) -> None:
        calls.append(limit)
        if len(calls) < limit:
            raise ValueError

    await Supervisor.start_link(
        [child_spec(count, 3).options(restart="transient")], strategy="one_for_one", max_restarts=5
    )
    await wait_until_idle()
    assert calls == [3, 3, 3]
