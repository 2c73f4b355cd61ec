"""Checks of what users set: each returns the sentences about what is wrong, so that all are told at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from mabeam.errors import UsageError
from mabeam.resilience._policy import is_async
from mabeam.telemetry import Bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = (
    "above",
    "at_least",
    "function_of",
    "is_number",
    "made_with",
    "one_of",
    "problems_of_random",
    "rate",
    "refuse_problems",
    "surroundings",
    "whole",
)

T = TypeVar("T")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it can be counted with: no truth value, not nan, and no whole number that is too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def whole(name: str, value: object, least: int, most: int | None = None) -> Iterator[str]:
    """A whole number that is at least, and at most, so much."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield f"{name} expects a whole number >= {least}, got {value!r}"
    elif most is not None and value > most:
        yield f"{name} expects at most {most:,}, got {value!r}"


def at_least(name: str, value: object, least: float, unit: str = "seconds") -> Iterator[str]:
    """A number that is at least so much."""
    if not (is_number(value) and value >= least):
        yield f"{name} expects {unit} >= {least:g}, got {value!r}"


def above(name: str, value: object, bound: float, unit: str = "seconds") -> Iterator[str]:
    """A finite number that is more than so much."""
    if not (is_number(value) and bound < value < math.inf):
        yield f"{name} expects {unit} > {bound:g}, got {value!r}"


def rate(name: str, value: object, *, zero: bool = False) -> Iterator[str]:
    """A share of all."""
    if not (is_number(value) and (0 < value <= 1 or (zero and value == 0))):
        yield f"{name} expects a share of all calls, {'from 0' if zero else 'above 0'} to 1, got {value!r}; 0.5 is one half"


def one_of(name: str, value: object, words: tuple[str, ...]) -> Iterator[str]:
    """One of a few words."""
    if value not in words:
        yield f"{name} expects one of {', '.join(map(repr, words))}, got {value!r}"


def function_of(name: str, value: object, *, optional: bool = True) -> Iterator[str]:
    """A plain function: it is asked in the midst of a call, where nothing can be awaited."""
    if value is None and optional:
        return
    if not callable(value):
        yield f"{name} expects a function, got {value!r}"
    elif is_async(value):
        yield f"{name} expects a plain function, for it is not awaited, got the async {value!r}"


def surroundings(name: object, bus: object, clock: object = None) -> Iterator[str]:
    """What all policies are told."""
    if not isinstance(name, str):
        yield f"name expects a str, got {name!r}" + (
            "; a decorator without its settings, perhaps: write @Policy(...)" if callable(name) else ""
        )
    yield from function_of("clock", clock)
    if bus is not None and not isinstance(bus, Bus):
        yield f"bus expects a Bus, got {bus!r}"


def problems_of_random(random: object) -> Iterator[str]:
    """What draws."""
    if random is not None and not callable(getattr(random, "random", None)):
        yield f"random expects a random.Random, got {random!r}"


def made_with(what: str, make: Callable[[], T], problems: Iterable[str]) -> T:
    """Make the rules that check themselves, and tell what is wrong with them together with what else is.

    Raises:
        UsageError: something is wrong; it names all of it.
    """
    found = tuple(problems)
    made: list[T] = []
    try:
        made.append(make())
    except UsageError as wrong:
        found += wrong.problems
    refuse_problems(what, found)
    return made[0]


def refuse_problems(what: str, problems: Iterable[str]) -> None:
    """Refuse settings that cannot be right.

    Raises:
        UsageError: there are problems; it names all of them.
    """
    found = tuple(problems)
    if found:
        raise UsageError(f"{what} cannot be made: " + "; ".join(found) + ".", problems=found)
