"""The fallback: another answer, from a value or a function."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import Fallback, UsageError
from tests.resilience._tools import Heard


async def fail(error: Exception) -> str:
    raise error


def fail_sync(error: Exception) -> str:
    raise error


async def test_a_failure_is_answered_by_the_value() -> None:
    heard = Heard()
    fallback = Fallback(value=None, name="weather", bus=heard.bus)
    assert await fallback.call(fail, OSError()) is None
    assert await fallback(fail)(OSError()) is None
    assert fallback.call_sync(fail_sync, OSError()) is None
    assert fallback.call_sync(lambda: 5) == 5
    assert fallback.statistics().used == 3
    assert heard.events[0] == ("fallback.used", {"count": 1}, {"fallback": "weather", "reason": "OSError"})
    heard.check()


async def test_a_failure_is_answered_by_a_function_that_gets_it() -> None:
    error = OSError("down")

    async def later(failure: object) -> object:
        return ("async", failure)

    assert await Fallback(using=lambda failure: failure).call(fail, error) is error  # type: ignore[comparison-overlap]  # the answer is another
    assert await Fallback(using=later).call(fail, error) == ("async", error)  # type: ignore[comparison-overlap]  # the answer is another
    assert Fallback(using=str).call_sync(fail_sync, error) == "down"
    value = Fallback(using=lambda failure: -failure, on_result=lambda number: number < 0)

    async def give(number: int) -> int:
        return number

    assert (await value.call(give, -4), await value.call(give, 4)) == (4, 4)
    assert (value.call_sync(int, -4), value.call_sync(int, 4)) == (4, 4)


async def test_only_what_is_meant_is_answered() -> None:
    for on in (ConnectionError, (ConnectionError,), lambda error: isinstance(error, ConnectionError)):
        fallback = Fallback(value=1, on=on)
        assert fallback.call_sync(fail_sync, ConnectionResetError()) == 1  # type: ignore[comparison-overlap]  # the answer is another
        with pytest.raises(ValueError):
            fallback.call_sync(fail_sync, ValueError())
        with pytest.raises(ValueError):
            await fallback.call(fail, ValueError())
    with pytest.raises(UsageError, match="wrong"):
        await Fallback(value=1).call(fail, UsageError("wrong"))


async def test_cancellations_are_never_answered() -> None:
    async def hang() -> int:
        await asyncio.Event().wait()
        return 1

    task = asyncio.ensure_future(Fallback(value=5).call(hang))
    await asyncio.wait([task], timeout=0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_fallback_that_fails_says_for_what_it_was_asked() -> None:
    first = OSError("first")

    def broken(failure: object) -> object:
        raise KeyError("second")

    async def broken_later(failure: object) -> object:
        raise KeyError("second")

    for using in (broken, broken_later):
        with pytest.raises(KeyError, match="second") as raised:
            await Fallback(using=using).call(fail, first)
        assert raised.value.__cause__ is first
    with pytest.raises(KeyError) as raised:
        Fallback(using=broken).call_sync(fail_sync, first)
    assert raised.value.__cause__ is first
    with pytest.raises(KeyError) as alone:
        Fallback(using=broken, on_result=lambda value: True).call_sync(int, 5)
    assert alone.value.__cause__ is None


def test_a_plain_function_cannot_wait_for_an_async_answer() -> None:
    async def later(failure: object) -> object:
        return failure

    ran: list[int] = []
    with pytest.raises(UsageError, match="Give it a plain"):
        Fallback(using=later).call_sync(ran.append, 1)
    assert ran == []

    forgot: Any = lambda: later(1)  # noqa: E731
    with pytest.raises(UsageError, match="returned a coroutine"):
        Fallback(value=1).call_sync(forgot)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "exactly one of value and using"),
        ({"value": 1, "using": str}, "exactly one of value and using"),
        ({"using": 5}, "using expects a function"),
        ({"value": 1, "on": 5}, "on expects exception types"),
    ],
)
def test_what_cannot_be_right_is_told(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Fallback(**options)


def test_it_describes_itself() -> None:
    assert Fallback(value=5).describe() == "Fallback('fallback', value=5)"
    assert Fallback(using=fail_sync).describe() == "Fallback('fallback', using=fail_sync)"


def test_an_answer_that_is_a_coroutine_is_refused_in_plain_code() -> None:
    async def answer() -> int:
        return 5

    forgot: Any = lambda failure: answer()  # noqa: E731
    fallback = Fallback(using=forgot, on_result=lambda value: value == 3)
    for function in (lambda: 3, lambda: int("x")):
        with pytest.raises(UsageError, match="returned a coroutine"):
            fallback.call_sync(function)
