"""Making a failing schedule small: a bug is understood by what it needs, not by what happened to be there.

Pure: whoever uses it runs the program.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mabeam.testing._schedule import Schedule

__all__ = ("Shrinker",)

T = TypeVar("T")


@final
class Shrinker:
    """Looks for a small schedule that fails in the same way: fewer faults, then fewer unusual choices.

    Guarantees:
        What :meth:`shrink` returns has been seen to fail. At most ``budget`` runs are made.

    Args:
        attempt: runs a schedule; returns what was really chosen and injected if it fails in the same way, else ``None``.
        budget: most runs.

    Attributes:
        runs: runs made.
    """

    def __init__(self, attempt: Callable[[Schedule], Schedule | None], budget: int) -> None:
        self._attempt = attempt
        self._budget = budget
        self.runs = 0

    def shrink(self, schedule: Schedule) -> Schedule:
        """Make a failing schedule smaller, until nothing can be left out any more or the budget is spent."""
        best = self._ordinary_draws(schedule)
        while True:
            before = best
            best = self._fewer_faults(best)
            best = self._fewer_choices(best)
            if best == before:  # nothing that is left can be left out, or nothing may be tried any more
                return best

    def _ordinary_draws(self, schedule: Schedule) -> Schedule:
        """Draws that do not depend on the seed, if they do not matter."""
        found = self._try(replace(schedule, draws=0)) if schedule.draws else None
        return schedule if found is None else found

    def _fewer_faults(self, schedule: Schedule) -> Schedule:
        best = schedule

        def fails(faults: Sequence[object]) -> bool:
            nonlocal best
            kept = tuple(fault for fault in schedule.faults if any(fault is each for each in faults))
            found = self._try(replace(best, faults=kept))
            best = best if found is None else found
            return found is not None

        _minimise(schedule.faults, fails)
        return best

    def _fewer_choices(self, schedule: Schedule) -> Schedule:
        best = schedule

        def fails(choices: Sequence[tuple[int, int]]) -> bool:
            nonlocal best
            found = self._try(replace(best, choices=tuple(choices)))
            best = best if found is None else found
            return found is not None

        _minimise(schedule.choices, fails)
        return best

    def _try(self, schedule: Schedule) -> Schedule | None:
        if self.runs >= self._budget:
            return None
        self.runs += 1
        return self._attempt(schedule)


def _minimise(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> None:
    """Delta debugging: leave out ever smaller parts, as long as the rest still fails; ``fails`` keeps the smallest that did."""
    kept = list(items)
    if not kept or fails([]):
        return
    parts = 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
