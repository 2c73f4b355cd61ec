"""Whether two failures look like one bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.testing._libraries import is_of_library

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ("are_alike",)


def are_alike(one: BaseException | None, other: BaseException | None) -> bool:
    """Whether there are two exceptions that look like one bug.

    They do if they are equal in class, also of what they came from in the end, and were raised at the same line of the program.
    Groups are if so are those in them, however many there are of a kind.
    """
    return one is not None and other is not None and _signature(one) == _signature(other)


def _signature(error: BaseException, above: tuple[BaseException, ...] = ()) -> tuple[object, ...]:
    """The class and the place of an exception, the class of what it came from in the end, and the same of those in a group."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and not _is_among(cause, chain):
        chain.append(cause)
    groups = [each for each in chain if isinstance(each, BaseExceptionGroup)]
    above = (*above, *chain)
    inside = {
        _signature(each, above) for group in groups for each in group.exceptions if not _is_among(each, above)
    }
    return (type(error), _place(error.__traceback__), type(chain[-1]), frozenset(inside))


def _is_among(error: BaseException, others: Sequence[BaseException]) -> bool:
    return any(error is each for each in others)


def _place(traceback: TracebackType | None) -> tuple[str, int] | None:
    """The innermost line that is the program's own: those of libraries say nothing, one bug may come to light in several."""
    place = None
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not is_of_library(file):
            place = (file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place
