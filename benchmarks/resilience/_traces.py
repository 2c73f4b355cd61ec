"""Sequences of keys that caches meet: skewed, scanned, looped, shifting, recent. Seeded, so each run asks for the same keys."""

from __future__ import annotations

import itertools
import random
from bisect import bisect
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("TRACES", "name_of", "zipf")

#: Keys of the skewed traces; a cache of 1,000 entries holds a tenth of them.
UNIVERSE: Final = 10_000


def zipf(length: int, *, universe: int = UNIVERSE, skew: float = 1.0, seed: int = 1) -> list[int]:
    """The key of rank r is asked for in proportion to 1 / r ** skew; ranks are dealt to keys at random."""
    chance = random.Random(seed)
    names = list(range(universe))
    chance.shuffle(names)
    sums = list(itertools.accumulate(1 / rank**skew for rank in range(1, universe + 1)))
    total = sums[-1]
    return [names[min(bisect(sums, chance.random() * total), universe - 1)] for _ in range(length)]


def _scans(length: int) -> list[int]:
    """A skewed trace; after each 10,000 requests somebody reads 2,000 keys once that nobody asks for again."""
    skewed = zipf(length)
    fresh = itertools.count(UNIVERSE)
    found: list[int] = []
    for start in range(0, length, 10_000):
        found += skewed[start : start + 10_000]
        found += itertools.islice(fresh, 2_000)
    return found[:length]


def _loop(length: int) -> list[int]:
    """The same 1,500 keys in the same order again and again: half as much again as a cache of 1,000 holds."""
    return [number % 1_500 for number in range(length)]


def _loop_and_zipf(length: int) -> list[int]:
    """One request in two is of the loop, the other is skewed."""
    skewed = zipf(length)
    return [UNIVERSE + (number // 2) % 3_000 if number % 2 else skewed[number] for number in range(length)]


def _shifting(length: int) -> list[int]:
    """Skewed, and every 20,000 requests other keys are the popular ones."""
    found: list[int] = []
    for number in range(0, length, 20_000):
        found += zipf(20_000, seed=number + 1)
    return found[:length]


def _recent(length: int) -> list[int]:
    """What was asked for lately is asked for again: the distance back is skewed, and one request in five is a new key."""
    chance = random.Random(5)
    distances = zipf(length, universe=4_000, skew=0.8, seed=6)
    found = list(range(4_000))
    for number, distance in enumerate(distances):
        found.append(UNIVERSE + number if chance.random() < 0.2 else found[-1 - distance])
    return found[4_000:][:length]


def _twice(length: int) -> list[int]:
    """Each key is asked for twice, 400 requests apart, and never again: the least favourable trace for small probation queues."""
    found: list[int] = []
    fresh = itertools.count()
    blocks = [list(itertools.islice(fresh, 400)) for _ in range(length // 800 + 1)]
    for block in blocks:
        found += block + block
    return found[:length]


TRACES: Final[dict[str, Callable[[int], list[int]]]] = {
    "Zipf 0.7": lambda length: zipf(length, skew=0.7),
    "Zipf 0.9": lambda length: zipf(length, skew=0.9),
    "Zipf 1.0": zipf,
    "Zipf 1.2": lambda length: zipf(length, skew=1.2),
    "Zipf with scans": _scans,
    "loop": _loop,
    "loop and Zipf": _loop_and_zipf,
    "shifting Zipf": _shifting,
    "recent": _recent,
    "each twice": _twice,
}


def name_of(title: str) -> str:
    """The key of a trace in the results."""
    return title.lower().replace(" ", "_").replace(".", "")
