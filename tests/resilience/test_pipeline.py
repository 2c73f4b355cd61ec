"""The pipeline: the order is as written, from the outside in."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import mabeam
from mabeam import (
    Backoff,
    Bulkhead,
    Chaos,
    CircuitBreaker,
    Fallback,
    Hedge,
    Pipeline,
    Policy,
    RateLimiter,
    RejectedError,
    Retry,
    TimeLimit,
    UsageError,
)
from tests.resilience._tools import Hand

if TYPE_CHECKING:
    from collections.abc import Iterator


def _everything() -> list[Policy]:
    return [
        Fallback(value="fallback"),
        Retry(attempts=2, backoff=Backoff(first=1.0), jitter="none"),
        CircuitBreaker("service"),
        Bulkhead(max_concurrent=2),
        Hedge(delay=1.0),
        TimeLimit(5.0),
        Chaos(),
    ]


@pytest.mark.parametrize("policy", _everything(), ids=lambda policy: type(policy).__name__)
def test_every_policy_keeps_the_protocol(policy: Policy) -> None:
    assert isinstance(policy, Policy)
    assert isinstance(policy.name, str)
    assert policy.async_only == isinstance(policy, TimeLimit | Hedge)
    assert policy.describe().startswith(type(policy).__name__)
    assert "\n" not in policy.describe()
    assert not hasattr(policy, "__dict__")
    statistics: Any = getattr(policy, "statistics")()  # noqa: B009 - not in the protocol
    assert statistics.__dataclass_params__.frozen


async def test_the_order_is_as_written() -> None:
    """Retry around breaker counts each attempt; breaker around retry counts each call."""

    async def fail() -> None:
        raise OSError

    def retry() -> Retry:
        return Retry(attempts=3, backoff=Backoff(first=0.5))

    inside, outside = CircuitBreaker("x", consecutive_failures=9), CircuitBreaker("x", consecutive_failures=9)
    for form in ("call", "decorator"):
        for pipeline in (Pipeline(retry(), inside), Pipeline(outside, retry())):
            with pytest.raises(OSError):
                await (pipeline.call(fail) if form == "call" else pipeline(fail)())
    assert (inside.statistics().failed, outside.statistics().failed) == (6, 2)


async def test_all_of_them_around_one_function() -> None:
    calls: list[int] = []

    async def ask(number: int, *, word: str) -> str:
        """Ask."""
        calls.append(number)
        if len(calls) < 4:
            raise OSError
        return word

    pipeline = Pipeline(*_everything(), name="all")
    guarded = pipeline(ask)
    assert inspect.iscoroutinefunction(guarded)
    assert (guarded.__name__, guarded.__doc__) == ("ask", "Ask.")
    assert await guarded(1, word="hello") == "hello"  # two attempts of the retry, two of the hedge in each
    assert await pipeline.call(ask, 2, word="again") == "again"
    assert len(calls) == 5


async def test_a_pipeline_is_a_policy() -> None:
    inner = Pipeline(Fallback(value="inner", on=KeyError), name="inner")
    outer = Pipeline(Fallback(value="outer"), inner, name="outer")

    async def fail(error: Exception) -> str:
        raise error

    assert isinstance(outer, Policy)
    assert (await outer.call(fail, KeyError()), await outer.call(fail, OSError())) == ("inner", "outer")
    assert repr(outer) == "<Pipeline 'outer': Fallback > Pipeline>"
    assert outer.describe() == (
        "Pipeline('outer'), outermost first:\n"
        "    Fallback('fallback', value='outer')\n"
        "    Pipeline('inner'), outermost first:\n"
        "        Fallback('fallback', value='inner')"
    )


def test_plain_functions_pass_through_it_too() -> None:
    hand = Hand()
    answers: Iterator[OSError | int] = iter([OSError(), 5, OSError(), OSError()])

    def ask(scale: int = 1) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer * scale

    pipeline = Pipeline(
        Fallback(value=0),
        Retry(attempts=2, sleep=hand.sleep),
        CircuitBreaker("x", consecutive_failures=9),
        Bulkhead(max_concurrent=1),
        Chaos(),
    )
    assert pipeline(ask)(scale=2) == 10
    assert pipeline.call_sync(ask) == 0
    assert len(hand.slept) == 2
    assert not pipeline.async_only


async def test_one_that_needs_async_functions_refuses_others_before_anything_runs() -> None:
    breaker = CircuitBreaker("x")
    pipeline = Pipeline(breaker, Pipeline(TimeLimit(1.0)))
    assert pipeline.async_only
    ran: list[int] = []
    wrong: Any = ran.append
    for attempt in (pipeline, pipeline.call_sync):
        with pytest.raises(UsageError, match="cannot be interrupted"):
            attempt(wrong)
    with pytest.raises(UsageError, match="cannot be interrupted"):
        await pipeline.call(wrong, 1)
    assert ran == []
    assert breaker.statistics() == CircuitBreaker("x").statistics()


def test_what_cannot_be_composed_is_told() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Pipeline()
    retry, wrong = Retry(), [5, Retry]
    with pytest.raises(UsageError) as raised:
        Pipeline(retry, *wrong, retry)  # type: ignore[arg-type]  # what is refused
    assert len(raised.value.problems) == 3
    assert "got the class Retry; make one: Retry(...)" in raised.value.problems[1]
    assert "is there twice" in raised.value.problems[2]


async def test_cancelled_at_every_await_it_leaves_nothing_behind() -> None:
    """Cancel after each number of turns: all counts are back where they were, and no task is left."""
    for turns in range(1, 25):
        policies = _everything()[1:]
        pipeline = Pipeline(*policies)
        asked: list[int] = []

        async def ask(asked: list[int] = asked) -> str:
            asked.append(1)
            if len(asked) < 4:
                raise OSError
            await asyncio.Event().wait()
            return "never"

        task = asyncio.ensure_future(pipeline.call(ask))
        for _ in range(turns):
            await asyncio.wait([task], timeout=0.3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception()
        breaker, bulkhead = policies[1], policies[2]
        assert isinstance(breaker, CircuitBreaker)
        assert isinstance(bulkhead, Bulkhead)
        assert bulkhead.statistics().inside == 0
        assert breaker.statistics().lost == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_inside_a_runtime_its_bus_is_taken() -> None:
    """Where it is made; threads then use the same one."""
    assert CircuitBreaker("x")._bus is mabeam.telemetry.current_bus.get() is not None


async def test_a_limit_of_a_rate_is_a_policy_like_the_others() -> None:
    """The limiter itself, and that of one key."""
    limiter = RateLimiter(limit=1, period=60.0, on_limit="reject", name="calls")
    for limit, described in ((limiter, ""), (limiter.for_key("ann"), " for 'ann'")):
        pipeline = Pipeline(Fallback(value="later", on=RejectedError), limit)
        assert isinstance(limit, Policy)
        assert (
            f"RateLimiter('calls', 1 per 60 s, burst 1, on_limit='reject'){described}" in pipeline.describe()
        )

        @pipeline
        async def ask() -> str:
            return "now"

        assert [await ask(), await ask()] == ["now", "later"]
    for limit in (limiter.for_key("bob"), limiter.for_key("eve")):
        pipeline = Pipeline(Fallback(value="later", on=RejectedError), limit)
        assert [pipeline.call_sync(str, 7), pipeline.call_sync(str, 7)] == ["7", "later"]


def test_one_policy_twice_is_found_in_pipelines_inside() -> None:
    bulkhead = Bulkhead(max_concurrent=1)
    inner = Pipeline(Pipeline(Retry(), bulkhead))
    with pytest.raises(UsageError, match="is there twice") as raised:
        Pipeline(bulkhead, inner)
    assert len(raised.value.problems) == 1
    with pytest.raises(UsageError, match="is there twice"):
        Pipeline(inner, inner)
    with pytest.raises(UsageError, match="name expects"):
        Pipeline(inner, name=5)  # type: ignore[arg-type]  # what is refused
