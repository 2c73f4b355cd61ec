"""Who decides in a simulated run: a seed, or the record of an earlier run.

Pure: what is decided is done elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

from mabeam._base import seeded_random
from mabeam.testing._schedule import Fault

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.testing._faults import Faults
    from mabeam.testing._schedule import FaultKind, Schedule

__all__ = ("Decider", "Recorded", "Seeded")

_BOLDNESS: Final = (0.05, 0.2, 0.5, 1.0)
"""How often a seed draws instead of following its habit."""
_SHORTEST: Final = 0.001
_DECADES: Final = 4.0
"""Delays are drawn evenly from so many powers of ten below the longest: short ones matter as much as long ones."""


class Decider(Protocol):
    """Makes the choices and injects the faults of one run."""

    @property
    def draws(self) -> int:
        """What the program's own draws from ``random`` follow from."""
        ...

    def choose(self, number: int, count: int) -> int:
        """Make the choice of that number, between ``count`` possibilities; 0 is the ordinary one."""
        ...

    def fault(
        self, kind: FaultKind, site: str, occurrence: int, process: Process | None, point: str = ""
    ) -> Fault | None:
        """Say whether there is a fault of that kind, here and now."""
        ...


@final
class Seeded:
    """Decides by chance, the same way for each equal seed.

    Each seed has a habit of its own, because bugs differ in what they need: some show when everything is out of order, some only
    when nothing is but one thing, and some when whoever came last goes first.

    Args:
        seed: what all decisions follow from.
        faults: which faults, and how often; none unless given.
        max_faults: most of them in this run.

    Attributes:
        possible: which of the faults that were asked for there was a place for, hit or not.
    """

    def __init__(self, seed: int, faults: Faults | None, max_faults: int) -> None:
        self.draws = seed
        # Two generators, so that the faults of a seed do not depend on how many choices there are between them.
        self._chance = seeded_random(f"choices {seed}")
        self._mishap = seeded_random(f"faults {seed}")
        self._boldness = self._chance.choice(_BOLDNESS)
        self._last_goes_first = self._chance.random() < 0.25
        self._faults = faults
        self._left = max_faults
        self.possible: set[str] = set()

    def choose(self, number: int, count: int) -> int:
        """Draw, or follow the habit."""
        if self._chance.random() < self._boldness:
            return self._chance.randrange(count)
        return count - 1 if self._last_goes_first else 0

    def fault(
        self, kind: FaultKind, site: str, occurrence: int, process: Process | None, point: str = ""
    ) -> Fault | None:
        """Draw, if such a fault is wanted and may hit the process."""
        faults = self._faults
        if faults is None:
            return None
        wish, rate = faults.wish_for(kind, point)
        if rate <= 0.0:
            return None
        if wish not in self.possible and (process is None or faults.may_hit(process)):
            self.possible.add(wish)
        if self._left <= 0 or self._mishap.random() >= rate:
            return None
        if process is not None and not faults.may_hit(process):
            return None
        self._left -= 1
        seconds = 0.0
        if kind in {"delay", "late"}:
            drawn: float = faults.max_delay * 10.0 ** -self._mishap.uniform(0.0, _DECADES)
            seconds = max(_SHORTEST, round(drawn, 3))
        return Fault(kind, site, occurrence, seconds)


@final
class Recorded:
    """Decides as a schedule says; whatever it does not mention is ordinary."""

    def __init__(self, schedule: Schedule) -> None:
        self.draws = schedule.draws
        self._choices = dict(schedule.choices)
        self._faults = {(fault.kind, fault.site, fault.occurrence): fault for fault in schedule.faults}

    def choose(self, number: int, count: int) -> int:
        """Look up. A shrunk schedule may lead elsewhere than the one it comes from, where there is less to choose from."""
        return min(self._choices.get(number, 0), count - 1)

    def fault(
        self, kind: FaultKind, site: str, occurrence: int, process: Process | None, point: str = ""
    ) -> Fault | None:
        """Look up."""
        return self._faults.get((kind, site, occurrence))
