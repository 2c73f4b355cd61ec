"""The time limit: cancels what takes too long, and takes no other end for its own."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from mabeam import TimeLimit, TimeLimitExceeded, UsageError
from tests.resilience._tools import Heard


async def _wait(seconds: float) -> str:
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)
    return "done"


async def test_what_takes_too_long_is_cancelled_in_its_own_task() -> None:
    heard = Heard()
    limit = TimeLimit(5.0, name="answers", bus=heard.bus)
    loop, cleaned = asyncio.get_running_loop(), list[object]()
    began, mine = loop.time(), asyncio.current_task()

    async def slow() -> None:
        try:
            await _wait(60)
        except asyncio.CancelledError:
            cleaned.append(asyncio.current_task())
            raise

    with pytest.raises(TimeLimitExceeded) as raised:
        await limit.call(slow)
    assert (raised.value.limit, raised.value.timeout) == ("answers", 5.0)
    assert isinstance(raised.value, TimeoutError)
    assert (loop.time() - began, cleaned) == (5.0, [mine])
    assert limit.statistics().exceeded == 1
    assert heard.events == [("time_limit.exceeded", {"timeout": 5.0}, {"limit": "answers"})]
    heard.check()
    assert await _wait(1) == "done"  # no cancellation is left over


async def test_what_is_quick_enough_is_not_touched() -> None:
    limit = TimeLimit(5.0)
    assert await limit.call(_wait, 4.9) == "done"
    assert await limit(_wait)(seconds=0) == "done"
    assert limit.statistics().exceeded == 0


async def test_a_cancellation_from_outside_is_passed_on() -> None:
    task = asyncio.ensure_future(TimeLimit(5.0).call(_wait, 60))
    await asyncio.wait([task], timeout=1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_timeout_of_the_functions_own_is_its_own() -> None:
    async def own() -> None:
        raise TimeoutError("mine")

    async def inner() -> None:
        await TimeLimit(1.0, name="inner").call(_wait, 60)

    async def asyncios() -> None:
        async with asyncio.timeout(1):
            await _wait(60)

    async def on_cancel() -> None:
        try:
            await _wait(60)
        except asyncio.CancelledError:
            raise TimeoutError("mine, at the end") from None

    limit = TimeLimit(5.0)
    with pytest.raises(TimeoutError, match="mine"):
        await limit.call(own)
    with pytest.raises(TimeLimitExceeded) as raised:
        await limit.call(inner)
    assert raised.value.limit == "inner"
    with pytest.raises(TimeoutError) as plain:
        await limit.call(asyncios)
    assert not isinstance(plain.value, TimeLimitExceeded)
    with pytest.raises(TimeoutError, match="at the end"):
        await limit.call(on_cancel)
    assert limit.statistics().exceeded == 0


async def test_a_function_that_ends_after_all_has_its_value_passed_on() -> None:
    async def stubborn() -> str:
        try:
            await _wait(60)
        except asyncio.CancelledError:
            return "anyway"
        return "done"

    assert await TimeLimit(5.0).call(stubborn) == "anyway"
    assert await _wait(1) == "done"


async def test_plain_functions_are_refused_when_it_is_applied() -> None:
    limit = TimeLimit(5.0)

    def plain() -> None:
        raise AssertionError

    for apply in (limit, limit.call_sync):
        with pytest.raises(UsageError, match="cannot be interrupted"):
            apply(plain)
    wrong: Any = plain
    with pytest.raises(UsageError, match="cannot be interrupted"):
        await limit.call(wrong)
    assert limit.async_only


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, "5", None])
def test_seconds_are_above_zero(seconds: Any) -> None:
    with pytest.raises(UsageError, match="seconds expects"):
        TimeLimit(seconds)
    assert TimeLimit(2).describe() == "TimeLimit('time limit', 2 s)"
    assert repr(TimeLimit(2)) == "<TimeLimit('time limit', 2 s)>"
