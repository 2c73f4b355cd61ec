"""Explaining a run that failed: it is made again, made small and confirmed, before anything is said of it.

The same for ``simulate`` and for the tests that the pytest plugin runs; what a run is, they know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

from mabeam.testing._alike import are_alike
from mabeam.testing._endless import EndlessError
from mabeam.testing._leaks import LeakError
from mabeam.testing._shrink import Shrinker

if TYPE_CHECKING:
    from mabeam.testing._schedule import Schedule
    from mabeam.testing._simulation import Simulation

__all__ = ("Attempted", "Explanation", "explain", "have_same_trace")


class Attempted(Protocol):
    """A run of a program or a test."""

    @property
    def simulation(self) -> Simulation:
        """Its choices, faults and trace."""
        ...

    @property
    def error(self) -> BaseException | None:
        """Why it failed; ``None`` when it did not."""
        ...


_STEPS_FOR_ENDLESS: Final = 5_000_000
"""Most steps that are spent on making a run small that does not end."""

R = TypeVar("R", bound=Attempted)
R_co = TypeVar("R_co", bound=Attempted, covariant=True)


class Attempt(Protocol[R_co]):
    """Runs the program once more."""

    def __call__(self, schedule: Schedule, *, shown: bool) -> R_co:
        """Run as a schedule says; ``shown`` when people will see what comes of it."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Generic[R]):
    """What is known of a failure.

    Attributes:
        found: the run that failed first.
        again: the same choices and faults once more.
        told: the run to tell of: the smallest that fails in the same way.
        is_deterministic: ``again`` was the same run as ``found``. If not, that is the one to tell of.
        is_shrunk: smaller ones were looked for.
        shrink_runs: how many runs that took.
    """

    found: R
    again: R
    told: R
    is_deterministic: bool
    is_shrunk: bool
    shrink_runs: int


def explain(found: R, attempt: Attempt[R], budget: int) -> Explanation[R]:
    """Make a failing run again, make it small in at most ``budget`` runs, and confirm what is left."""
    before = found.simulation.schedule()
    most = _most_runs(found, budget)
    again = attempt(before, shown=most is None)
    is_same = are_alike(again.error, found.error) and have_same_trace(found.simulation, again.simulation)
    if most is None or not is_same:
        return Explanation(
            found=found,
            again=again,
            told=again if is_same else found,
            is_deterministic=is_same,
            is_shrunk=False,
            shrink_runs=0,
        )

    def attempt_and_compare(schedule: Schedule) -> Schedule | None:
        run = attempt(schedule, shown=False)
        return run.simulation.schedule() if are_alike(run.error, found.error) else None

    shrinker = Shrinker(attempt_and_compare, most)
    smallest = shrinker.shrink(before)
    confirmed = attempt(smallest, shown=True)
    return Explanation(
        found=found,
        again=again,
        told=confirmed if are_alike(confirmed.error, found.error) else found,
        is_deterministic=True,
        is_shrunk=True,
        shrink_runs=shrinker.runs,
    )


def _most_runs(found: Attempted, budget: int) -> int | None:
    """How many runs may be spent on shrinking; ``None`` for not at all."""
    error = found.error
    if isinstance(error, LeakError):
        return None  # each further run leaves more behind
    if isinstance(error, EndlessError):
        # These are the longest runs that there are.
        return None if error.is_by_thread else min(budget, _STEPS_FOR_ENDLESS // found.simulation.steps)
    return budget


def have_same_trace(one: Simulation, other: Simulation) -> bool:
    """Whether the same has happened in two runs, as far as both were watched."""
    return not (one.watches and other.watches) or one.trace.lines() == other.trace.lines()
