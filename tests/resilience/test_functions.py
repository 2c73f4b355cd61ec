"""What policies are put around: every kind of function, and what is none."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from mabeam import (
    Bulkhead,
    Chaos,
    CircuitBreaker,
    Fallback,
    Hedge,
    Pipeline,
    RateLimiter,
    Retry,
    TimeLimit,
    UsageError,
)


class Adder:
    """Can be called."""

    async def __call__(self, one: int, two: int) -> int:
        return one + two


class Numbers:
    """Gives a generator when it is called."""

    def __call__(self) -> Any:
        yield 1


class AsyncNumbers:
    """Gives an async generator when it is called."""

    async def __call__(self) -> Any:
        yield 1


async def _five() -> int:
    return 5


def _policies() -> list[Any]:
    return [
        CircuitBreaker("x"),
        Retry(),
        Bulkhead(max_concurrent=5),
        RateLimiter(limit=100),
        Fallback(value=0),
        Chaos(),
        TimeLimit(5.0),
        Hedge(delay=5.0),
        Pipeline(CircuitBreaker("x"), TimeLimit(5.0)),
    ]


@pytest.mark.parametrize("policy", _policies(), ids=lambda policy: type(policy).__name__)
async def test_objects_whose_call_is_async_and_partials_of_them_are_async(policy: Any) -> None:
    assert await policy(Adder())(1, 2) == 3
    assert await policy(functools.partial(Adder(), 1))(2) == 3
    assert await policy(functools.partial(functools.partial(Adder(), 1), two=2))() == 3


@pytest.mark.parametrize("policy", _policies(), ids=lambda policy: type(policy).__name__)
def test_generators_are_refused_in_whatever_form(policy: Any) -> None:
    for wrong in (Numbers(), AsyncNumbers(), functools.partial(Numbers()), functools.partial(AsyncNumbers())):
        with pytest.raises(UsageError, match="a generator has not begun then"):
            policy(wrong)


@pytest.mark.parametrize("policy", _policies(), ids=lambda policy: type(policy).__name__)
def test_a_policy_above_staticmethod_is_told_where_it_belongs(policy: Any) -> None:
    """It would make a method of the function, and its first argument the object."""
    with pytest.raises(UsageError, match="Write the policy below @staticmethod"):
        policy(staticmethod(_five))
    with pytest.raises(UsageError, match="Write the policy below @classmethod"):
        policy(classmethod(_five))  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("half_open", [False, True])
async def test_a_coroutine_instead_of_its_function_is_no_failure_of_the_service(*, half_open: bool) -> None:
    """The breaker opened for a mistake of the program, once for all callers."""
    now = [0.0]
    breaker = CircuitBreaker("x", consecutive_failures=1, clock=lambda: now[0])
    if half_open:
        breaker.acquire().failure()
        now[0] += 30.0
    wrong: Any
    for wrong in (_five(), 5):
        with pytest.raises(UsageError, match="expects a function"):
            await breaker.call(wrong)
        with pytest.raises(UsageError, match="expects a function"):
            breaker.call_sync(wrong)
    assert (breaker.statistics().failed, breaker.statistics().ignored) == (int(half_open), 4)
    assert breaker.statistics().probes_out == 0


async def test_a_coroutine_instead_of_its_function_is_neither_answered_nor_tried_again() -> None:
    retry, fallback = Retry(), Fallback(value=0)
    wrong: Any
    for wrong in (_five(), 5):
        for policy in (retry, fallback):
            with pytest.raises(UsageError, match="expects a function"):
                await policy.call(wrong)
            with pytest.raises(UsageError, match="expects a function"):
                policy.call_sync(wrong)
    assert (retry.statistics().retries, fallback.statistics().used) == (0, 0)
