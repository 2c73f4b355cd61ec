"""Checks of what users set: each returns the sentences about what is wrong, so that all are told at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mabeam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("above", "at_least", "one_of", "rate", "refuse_problems", "whole")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def whole(name: str, value: object, least: int) -> Iterator[str]:
    """A whole number that is at least so much."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield f"{name} expects a whole number >= {least}, got {value!r}"


def at_least(name: str, value: object, least: float, unit: str = "seconds") -> Iterator[str]:
    """A number that is at least so much."""
    if not (_is_number(value) and value >= least):  # type: ignore[operator]  # it is a number
        yield f"{name} expects {unit} >= {least:g}, got {value!r}"


def above(name: str, value: object, bound: float, unit: str = "seconds") -> Iterator[str]:
    """A finite number that is more than so much."""
    if not (_is_number(value) and bound < value < math.inf):  # type: ignore[operator]  # it is a number
        yield f"{name} expects {unit} > {bound:g}, got {value!r}"


def rate(name: str, value: object, *, zero: bool = False) -> Iterator[str]:
    """A share of all."""
    if not (_is_number(value) and (0 < value <= 1 or (zero and value == 0))):  # type: ignore[operator]  # it is a number
        yield f"{name} expects a share of all calls, {'from 0' if zero else 'above 0'} to 1, got {value!r}; 0.5 is one half"


def one_of(name: str, value: object, words: tuple[str, ...]) -> Iterator[str]:
    """One of a few words."""
    if value not in words:
        yield f"{name} expects one of {', '.join(map(repr, words))}, got {value!r}"


def refuse_problems(what: str, problems: Iterable[str]) -> None:
    """Refuse settings that cannot be right.

    Raises:
        UsageError: there are problems; it names all of them.
    """
    found = tuple(problems)
    if found:
        raise UsageError(f"{what} cannot be made: " + "; ".join(found) + ".", problems=found)
