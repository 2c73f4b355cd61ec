"""Pictures see a change in whatever they can look into, and say which."""

from __future__ import annotations

import array
import io
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from mabeam import Killed, Shutdown
from mabeam.testing._pictures import Picture, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Order:
    """Something of a user's."""

    item: str
    tags: list[str] = field(default_factory=list)


class Slotted:
    """Something with slots."""

    __slots__ = ("__weakref__", "values")

    def __init__(self, *values: int) -> None:
        self.values = list(values)


class Color(Enum):
    """Members of an enumeration never change."""

    RED = "red"


class Nasty:
    """Cannot be shown."""

    def __init__(self) -> None:
        self.value = 1

    def __repr__(self) -> str:
        raise ValueError


def _with(value: Any, change: Callable[[Any], object]) -> str | None:
    picture = Picture(value)
    assert picture.difference() is None
    change(value)
    return picture.difference()


@pytest.mark.parametrize(
    ("value", "change", "difference"),
    [
        ([1, 2], lambda v: v.append(3), " has got [2] = 3"),
        ([1, 2], lambda v: v.pop(), " has lost [1]"),
        ([1, 2], lambda v: v.__setitem__(0, 5), "[0] was 1 and is 5"),
        ([1, 2], lambda v: v.reverse(), "[0] was 1 and is 2"),
        (([1], 2), lambda v: v[0].append(3), "[0] has got [1] = 3"),
        ({"a": [1]}, lambda v: v["a"].clear(), "['a'] has lost [0]"),
        ({"a": 1}, lambda v: v.update(b=2), " has got ['b'] = 2"),
        ({"a": 1}, lambda v: v.clear(), " has lost ['a']"),
        ({1, 2}, lambda v: v.add(3), " was {1, 2} and is {1, 2, 3}"),
        (bytearray(b"a"), lambda v: v.extend(b"b"), " was bytearray(b'a') and is bytearray(b'ab')"),
        (deque([1]), lambda v: v.appendleft(0), "[0] was 1 and is 0"),
        (Counter("aa"), lambda v: v.update("b"), " has got ['b'] = 1"),
        (OrderedDict(a=1), lambda v: v.update(a=2), "['a'] was 1 and is 2"),
        (defaultdict(list), lambda v: v["a"], " has got ['a'] = []"),
        (Order("tea"), lambda v: setattr(v, "item", "milk"), ".item was 'tea' and is 'milk'"),
        (Order("tea"), lambda v: v.tags.append("hot"), ".tags has got [0] = 'hot'"),
        (Order("tea"), lambda v: v.__dict__.update(price=1), " has got .price = 1"),
        (Slotted(1), lambda v: v.values.append(2), ".values has got [1] = 2"),
        (Slotted(1), lambda v: v.__delattr__("values"), " has lost .values"),
        (Nasty(), lambda v: setattr(v, "value", 2), ".value was 1 and is 2"),
        ([Nasty()], lambda v: v.clear(), " has lost [0]"),
        ([1], lambda v: v.__setitem__(0, [1]), "[0] was 1 and is [1]"),
        ([[1]], lambda v: v.__setitem__(0, (1,)), "[0] was [1] and is (1,)"),
    ],
)
def test_a_change_is_seen_and_named(value: Any, change: Callable[[Any], object], difference: str) -> None:
    """The first one, by the way to it."""
    assert _with(value, change) == difference


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None, 2.5, (3,)],
        [float("nan")],
        Order("tea", ["hot"]),
        [Color.RED, Killed(), Shutdown([1])],
        [len, test_a_change_is_seen_and_named, Order],
        {frozenset((1, 2)): {"a": {1}}},
    ],
)
def test_what_was_not_changed_is_equal(value: Any) -> None:
    """Also with what cannot be looked into."""
    assert _with(value, lambda _: None) is None
    assert Picture(value).skipped == 0


class Samples(array.array):  # type: ignore[type-arg]  # it has none when it runs
    """What it holds is not in attributes."""


class Buffer(io.BytesIO):
    """Nor here."""


@pytest.mark.parametrize("value", [Samples("i", [1]), Buffer(b"a"), [Samples("i")]])
def test_what_a_class_keeps_hidden_is_counted(value: Any) -> None:
    """It is a class of the program, but what it stands on is not open."""
    assert Picture(value).skipped == 1


async def test_what_other_libraries_share_is_not_looked_into() -> None:
    """A semaphore, a stream, a client: they are there to be changed by all who have them. What was not compared is counted."""
    semaphore = anyio.Semaphore(3)
    assert _with([semaphore], lambda v: v[0].acquire_nowait()) is None
    assert Picture(semaphore).skipped == 1


def test_an_equal_part_in_place_of_another_is_no_change() -> None:
    """It is what can be seen that counts."""
    value: list[Any] = [[1], "aaa"]
    assert _with(value, lambda v: v.__setitem__(0, [1])) is None


def test_what_refers_to_itself_is_looked_into_once() -> None:
    """A picture ends."""
    loop: list[Any] = [1]
    loop.append(loop)
    assert _with(loop, lambda v: v.__setitem__(0, 2)) == "[0] was 1 and is 2"


def test_what_cannot_be_looked_into_is_counted() -> None:
    """Locks, arrays, and what is too large."""
    assert Picture([threading.Lock(), array.array("b", b"abc")]).skipped == 2
    large = list(range(5_000))
    picture = Picture(large)
    assert picture.skipped == 1
    large.clear()
    assert picture.difference() is None


def test_plain_values_need_no_picture() -> None:
    """They are told at a glance."""
    assert all(is_plain(value) for value in (1, 1.5, "a", b"a", None, True, range(3), len, Order))
    collections: tuple[object, ...] = ([], (), {}, Order("tea"))
    assert not any(is_plain(value) for value in collections)


@dataclass(frozen=True)
class Bill:
    """Its sum is kept when it is first read."""

    lines: list[int]

    @cached_property
    def total(self) -> int:
        return sum(self.lines)


class LongBill(Bill):
    """Inherits what is kept."""


@pytest.mark.parametrize("kind", [Bill, LongBill])
def test_reading_a_cached_property_changes_nothing(kind: type[Bill]) -> None:
    """Nor does forgetting it; what it was made from is looked at as ever."""
    assert _with(kind([1, 2]), lambda bill: bill.total) is None
    read = kind([1, 2])
    assert read.total == 3
    assert _with(read, lambda bill: bill.__dict__.pop("total")) is None
    assert _with(kind([1, 2]), lambda bill: bill.lines.append(bill.total)) == ".lines has got [2] = 3"


def test_an_attribute_that_only_has_the_name_of_a_cached_property_is_looked_at() -> None:
    class Plain(LongBill):
        total = 0

    assert _with(Plain([1]), lambda bill: bill.__dict__.update(total=1)) == " has got .total = 1"
