"""Which runs of a program have been made already: many seeds lead to the same one where there is little to choose.

Pure: it remembers choices, and draws as a seed would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.testing._deciders import Decider

__all__ = ("Tried",)

_MOST_CHOICES: Final = 64
"""Longer runs are not remembered: no two seeds agree so often, and each would only take memory."""


@final
class Tried:
    """Runs that have been made, as a tree of their choices.

    Between two choices a program does the same each time. So it is known where the choices of a seed lead as long as they
    are those of an earlier run, and a seed that never leaves these would only repeat one.
    """

    def __init__(self) -> None:
        self._first: _Place | None = None

    def add(self, choices: Iterable[tuple[int, int]]) -> None:
        """A run was made with these choices: between how many, and what was chosen."""
        path = list(choices)
        if len(path) > _MOST_CHOICES:
            return
        if self._first is None:
            self._first = _Place(path[0][0] if path else 0)
        place = self._first
        for number, (_, value) in enumerate(path, 1):
            then = place.then.get(value)
            if then is None:
                then = place.then[value] = _Place(path[number][0] if number < len(path) else 0)
            place = then

    def leads_anywhere_new(self, decider: Decider) -> bool:
        """Whether these decisions are not those of an earlier run. They are used up by it: a run needs a decider of its own."""
        place, number = self._first, 0
        while place is not None and place.count:
            place = place.then.get(decider.choose(number, place.count))
            number += 1
        return place is None


class _Place:
    """Where runs choose, between ``count`` possibilities, or where they end, if that is 0."""

    __slots__ = ("count", "then")

    def __init__(self, count: int) -> None:
        self.count = count
        self.then: dict[int, _Place] = {}
