"""``@cached``: functions whose results are kept."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.resilience import Cache, CallKey, cached, call_key
from mabeam.testing import wait_until_idle
from tests.resilience._clocks import HandClock


def _cache(**options: Any) -> tuple[Cache[Any, Any], HandClock]:
    clock = HandClock()
    return Cache(**{"max_entries": 10, "clock": clock, **options}), clock


async def test_an_async_function_runs_once_for_all_who_call_it_alike() -> None:
    cache, _ = _cache()
    calls: list[str] = []
    go = asyncio.Event()

    @cached(cache)
    async def price(item: str) -> int:
        calls.append(item)
        await go.wait()
        return len(item)

    tasks = [asyncio.create_task(price("tea")) for _ in range(10)]
    other = asyncio.create_task(price("salt"))
    await wait_until_idle()
    assert calls == ["tea", "salt"]
    go.set()
    assert await asyncio.gather(*tasks, other) == [3] * 10 + [4]
    assert price.__name__ == "price"


def test_a_plain_function_stays_plain() -> None:
    cache, clock = _cache(ttl=5.0)
    calls: list[tuple[object, ...]] = []

    @cached(cache, ttl=1.0)
    def area(width: int, height: int = 2, *rest: int, unit: str = "m", **more: int) -> int:
        calls.append((width, height, rest, unit, more))
        return width * height

    assert area(3, 4) == area(3, height=4) == area(height=4, width=3) == 12
    assert len(calls) == 1
    assert area(3, 4, unit="m", a=1, b=2) == area(3, 4, b=2, a=1, unit="m") == 12
    assert len(calls) == 2
    clock.advance(1.0)
    area(3, 4)
    assert len(calls) == 3


def test_functions_share_a_cache_without_meeting() -> None:
    cache, _ = _cache()

    @cached(cache)
    def one(number: int) -> str:
        return "one"

    @cached(cache)
    def two(number: int) -> str:
        return "two"

    assert (one(1), two(1)) == ("one", "two")


def test_none_is_kept_and_errors_are_not() -> None:
    cache, _ = _cache()
    results: list[Any] = [None, ValueError("no"), 3]

    @cached(cache)
    def answer(number: int) -> Any:
        result = results[number]
        results[number] = 0
        if isinstance(result, Exception):
            raise result
        return result

    assert answer(0) is answer(0) is None
    with pytest.raises(ValueError, match="no"):
        answer(1)
    assert answer(1) == 0


def test_a_key_of_ones_own() -> None:
    cache, _ = _cache()

    @cached(cache, key=lambda url, **_: url.lower())
    def fetch(url: str, *, retries: int = 0) -> str:
        return url

    assert fetch("A", retries=3) == "A"
    assert fetch("a") == "A"
    assert cache.get("a") == "A"


def test_one_call_is_forgotten_by_its_key() -> None:
    cache, _ = _cache()
    calls: list[str] = []

    @cached(cache)
    def price(item: str) -> int:
        calls.append(item)
        return len(calls)

    assert price("tea") == 1
    assert cache.delete(call_key(price, item="tea"))
    assert price("tea") == 2
    itself = inspect.unwrap(price)
    assert call_key(price, "tea") == CallKey(f"{__name__}.{price.__qualname__}", ("tea",), (), itself)
    assert call_key(_double, number=2) == CallKey(f"{__name__}._double", (2,), ())


def _double(number: int) -> int:
    return 2 * number


def test_of_a_method_self_is_part_of_the_key() -> None:
    cache, _ = _cache()

    class Shop:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @cached(cache)
        def price(self, item: str) -> int:
            return self.factor * len(item)

    assert (Shop(1).price("tea"), Shop(2).price("tea")) == (3, 6)


def test_partial_functions_and_objects_that_can_be_called() -> None:
    cache, _ = _cache()

    class Adder:
        def __call__(self, one: int, two: int) -> int:
            return one + two

    assert cached(cache)(Adder())(1, 2) == 3
    assert cached(cache)(functools.partial(pow, 2))(3) == 8
    assert cache.statistics().entries == 2


@pytest.mark.parametrize("wrong", [None, 5, Cache, len])
def test_it_says_that_it_wants_a_cache(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"right:  @cached\(Cache"):
        cached(wrong)


def test_it_refuses_what_cannot_be_kept() -> None:
    cache, _ = _cache()

    def numbers() -> Any:
        yield 1

    async def async_numbers() -> Any:
        yield 1

    for wrong in (numbers, async_numbers, 5):
        with pytest.raises(UsageError, match="return a tuple instead"):
            cached(cache)(wrong)  # type: ignore[type-var]  # that is the point
    with pytest.raises(UsageError, match="ttl"):
        cached(cache, ttl=-1)


def test_no_two_functions_share_a_result() -> None:
    """Whatever they are called: it would be the answer of another."""
    cache, _ = _cache(max_entries=100)

    class Shop:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def price(self) -> int:
            return self.factor

        __call__ = price

    def make(number: int) -> Any:
        def answer() -> int:
            return number

        return answer

    one, two = Shop(1), Shop(2)
    assert (cached(cache)(one.price)(), cached(cache)(two.price)()) == (1, 2)
    assert (cached(cache)(one)(), cached(cache)(two)()) == (1, 2)
    assert (cached(cache)(make(1))(), cached(cache)(make(2))()) == (1, 2)
    assert (cached(cache)(lambda: 1)(), cached(cache)(lambda: 2)()) == (1, 2)
    assert (cached(cache)("a".upper)(), cached(cache)("b".upper)()) == ("A", "B")
    power, twice = functools.partial(pow, 2), functools.partial(_double)
    assert (cached(cache)(power)(3), cached(cache)(twice)(3)) == (8, 6)
    assert cached(cache)(functools.partial(_add, two=1))(2) == 3
    assert cached(cache)(functools.partial(_add, two=5))(2) == 7
    assert cached(cache)(functools.partial(_add, two=5))(2, two=6) == 8
    # The same one does, in whatever form.
    loads = cache.statistics().loads
    assert cached(cache)(one.price)() == cached(cache)(functools.partial(Shop.price, one))() == 1
    assert cache.statistics().loads == loads


def _add(one: int, *, two: int) -> int:
    return one + two


def test_the_call_of_a_method_is_forgotten_by_its_key() -> None:
    cache, _ = _cache()

    class Shop:
        calls = 0

        @cached(cache)
        def price(self, item: str) -> int:
            self.calls += 1
            return self.calls

    shop = Shop()
    assert (shop.price("tea"), shop.price("tea")) == (1, 1)
    assert cache.delete(call_key(shop.price, item="tea"))
    assert not cache.delete(call_key(Shop().price, "tea"))
    assert shop.price("tea") == 2


async def test_objects_whose_call_is_async() -> None:
    cache, _ = _cache()

    class Adder:
        async def __call__(self, one: int, two: int) -> int:
            return one + two

    class Numbers:
        async def __call__(self) -> Any:
            yield 1

    adder = Adder()
    assert await cached(cache)(adder)(1, 2) == 3
    assert await cached(cache)(functools.partial(adder, 1))(2) == 3
    for wrong in (Numbers(), functools.partial(Numbers()), staticmethod(_double)):
        with pytest.raises(UsageError, match="return a tuple instead"):
            cached(cache)(wrong)
