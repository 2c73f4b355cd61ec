"""Which exceptions and values a policy acts on: what users give as ``on`` and ``on_result``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from mabeam.errors import DeadlineExceeded, UsageError
from mabeam.resilience._checks import function_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("On", "OnResult", "on_of", "problems_of_on")

On: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Exception types, or a function that is asked."""
OnResult: TypeAlias = Callable[[Any], bool]
"""Asked whether a returned value is to be treated as a failure."""


def problems_of_on(name: str, on: object, on_result: object) -> Iterator[str]:
    """What is wrong with them."""
    kinds = on if isinstance(on, tuple) else (on,)
    are_types = bool(kinds) and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)
    if isinstance(on, type | tuple) and not are_types:
        yield (
            f"{name} expects exception types (below Exception: cancellations are never caught) or a function, got {on!r}"
        )
    elif on is not None and not callable(on) and not are_types:
        yield f"{name} expects exception types or a function of an exception, got {on!r}"
    elif not are_types:
        yield from function_of(name, on)
    if on_result is not None and not callable(on_result):
        yield f"on_result expects a function of the returned value, got {on_result!r}"
    else:
        yield from function_of("on_result", on_result)


def on_of(on: On | None) -> Callable[[Exception], bool]:
    """The question whether an exception is one of those. Unless given: any but those that nothing can heal.

    Those are a ``UsageError``, and a ``DeadlineExceeded``: nobody waits for what would come of another attempt.
    """
    if on is None:
        return _can_be_healed
    if isinstance(on, type | tuple):
        return _IsOneOf(on)
    return on


def _can_be_healed(error: Exception) -> bool:
    return not isinstance(error, UsageError | DeadlineExceeded)


class _IsOneOf:
    """Whether an exception is of one of these types."""

    __slots__ = ("_kinds",)

    def __init__(self, kinds: type[Exception] | tuple[type[Exception], ...]) -> None:
        self._kinds = kinds

    def __call__(self, error: Exception) -> bool:
        return isinstance(error, self._kinds)
