"""A check and its result as values: what is refused, what a result means."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any
from unittest.mock import ANY

import pytest

from mabeam import Health, HealthCheck
from mabeam.services._health_check import failure, is_async, verdict
from mabeam.services._health_values import PRECEDENCE, worst


async def check(*_: object) -> None:
    """Nothing."""


def plain() -> None:
    """Nothing."""


class Asynchronous:
    async def __call__(self) -> None:
        """Nothing."""


class Plain:
    def __call__(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (check, True),
        (partial(check, 1), True),
        (Asynchronous(), True),
        (plain, False),
        (Plain(), False),
        (lambda: None, False),
        (5, False),
    ],
)
def test_what_is_asynchronous(function: Any, *, expected: bool) -> None:
    assert is_async(function) is expected
    assert HealthCheck(function).blocks is (not expected)


def test_defaults() -> None:
    it = HealthCheck(check)
    assert (it.interval, it.deadline, it.depends_on, it.stale_after) == (60.0, 5.0, (), None)
    assert it.stale_seconds == 186.0
    assert HealthCheck(check, stale_after=65.0).stale_seconds == 65.0
    assert it.problems() == HealthCheck(check, stale_after=65.0).problems() == []


def test_a_check_is_a_value_that_does_not_change() -> None:
    it: Any = HealthCheck(check)
    assert it == HealthCheck(check, interval=60.0)
    with pytest.raises(FrozenInstanceError):
        it.interval = 5.0


@pytest.mark.parametrize("name", ["interval", "deadline", "stale_after"])
@pytest.mark.parametrize("value", [0, -1.0, True, "5", float("inf"), float("nan")])
def test_durations_are_finite_and_above_zero(name: str, value: Any) -> None:
    problems = HealthCheck(check, **{name: value}).problems()
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} expects seconds > 0, got ")


@pytest.mark.parametrize("name", ["interval", "deadline"])
def test_every_check_is_run_again_and_has_an_end(name: str) -> None:
    """Only when a result is stale can be left to the checker."""
    options: dict[str, Any] = {name: None}
    assert HealthCheck(check, **options).problems() == [f"{name} expects seconds > 0, got None"]


def test_durations_may_be_short() -> None:
    assert HealthCheck(check, interval=0.001, deadline=0.001, stale_after=0.002).problems() == []


def test_a_result_must_not_be_stale_before_the_next_one() -> None:
    (problem,) = HealthCheck(check, interval=10.0, deadline=2.0, stale_after=11.9).problems()
    assert "at least interval + deadline (12 s), got 11.9" in problem
    assert HealthCheck(check, interval=10.0, deadline=2.0, stale_after=12.0).problems() == []


@pytest.mark.parametrize("value", [["a"], ("a", ""), ("a", 5), "a", None])
def test_dependencies_are_a_tuple_of_ids(value: Any) -> None:
    (problem,) = HealthCheck(check, depends_on=value).problems()
    assert problem.startswith("depends_on expects a tuple of ids")


def test_a_dependency_is_named_once() -> None:
    (problem,) = HealthCheck(check, depends_on=("a", "b", "a")).problems()
    assert problem.startswith("depends_on names something twice")


def test_what_is_no_function_is_refused_and_a_coroutine_is_closed() -> None:
    (problem,) = HealthCheck(5).problems()  # type: ignore[arg-type]  # the mistake under test
    assert problem.startswith("function expects an async or plain function")
    (problem,) = HealthCheck(check()).problems()  # type: ignore[arg-type]  # the mistake under test
    assert "called already" in problem


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("never mind")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Health("healthy")),
        (True, Health("healthy")),
        (False, Health("unhealthy", "the check returned False")),
        *[(status, Health(status)) for status in PRECEDENCE],
        (Health("degraded", "slow"), Health("degraded", "slow")),
        (Health("degraded", "x" * 201), Health("degraded", "x" * 199 + "…")),
        (Health("degraded", "x" * 200), Health("degraded", "x" * 200)),
    ],
)
def test_what_a_value_means(value: Any, expected: Health) -> None:
    assert verdict(value) == expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (0, "0"),
        ("fine", "'fine'"),
        (Health("fine"), "Health(status='fine', detail='')"),  # type: ignore[arg-type]  # the mistake under test
        (Health("healthy", 5), "Health(status='healthy', detail=5)"),  # type: ignore[arg-type]  # as above
        (Unspeakable(), "<Unspeakable that cannot be shown: ValueError>"),
        ([], "[]"),
        (ANY, "<ANY>"),  # equal to everything, so to a status as well
        ("x" * 300, f"'{'x' * 198}…"),
    ],
)
def test_what_nobody_understands_is_unhealthy(value: Any, shown: str) -> None:
    assert verdict(value) == Health(
        "unhealthy",
        f"the check returned {shown}; expected None, a bool, one of unhealthy, unknown, degraded, healthy, "
        "or Health(status, detail)",
    )


def test_a_coroutine_is_closed_and_told() -> None:
    found = verdict(check())
    assert found == Health(
        "unhealthy", "the check is a plain function that returned a coroutine; write it as async def"
    )


def test_what_an_exception_means() -> None:
    assert failure(ValueError("no")) == Health("unhealthy", "ValueError: no")
    assert failure(ValueError()) == Health("unhealthy", "ValueError")
    assert failure(Unspeakable()) == Health(
        "unhealthy", "Unspeakable: <Unspeakable that cannot be shown: ValueError>"
    )


def test_the_worst_wins() -> None:
    assert PRECEDENCE == ("unhealthy", "unknown", "degraded", "healthy")
    for place, status in enumerate(PRECEDENCE):
        assert worst(PRECEDENCE[place:]) == status
        assert worst(reversed(PRECEDENCE[place:])) == status
    assert worst(()) == "unknown"
