"""Explaining a run that failed: it is run again, made small, confirmed, and told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.kernel import label_of
from mabeam.testing._deciders import Recorded
from mabeam.testing._findings import SimulationFailed, failure_of
from mabeam.testing._leaks import LeakError
from mabeam.testing._one_run import Limits, Program, Run, garbage_kept_small, quiet, run_once
from mabeam.testing._shrink import Shrinker
from mabeam.testing._story import count_of, first_line, how_they_differ, what_happened, what_it_needs
from mabeam.testing._trace import short_name

if TYPE_CHECKING:
    from mabeam.testing._deciders import Decider
    from mabeam.testing._schedule import Schedule

__all__ = ("explain",)


def explain(
    program: Program, seed: int, run: Run, limits: Limits, budget: int, runs: int
) -> SimulationFailed:
    """Shrink a failing run, confirm what is left, and say it in words."""
    passed = f" ({runs - 1:,} seeds passed before it)" if runs > 1 else ""
    head = f"seed {seed} fails{passed}: {first_line(run.error)}"
    name = short_name(label_of(program))
    with quiet(), garbage_kept_small() as collect:

        def attempt(schedule: Schedule) -> Run:
            collect()
            decider: Decider = Recorded(schedule)
            return run_once(program, decider, limits, injects=bool(schedule.faults))

        again = attempt(run.simulation.schedule())
        if again.simulation.trace.lines() != run.simulation.trace.lines():
            story = [head, *how_they_differ(run.simulation, again.simulation), *what_happened(run.simulation)]
            return failure_of(seed, run, "\n".join(story), is_deterministic=False)

        def attempt_and_compare(schedule: Schedule) -> Schedule | None:
            found = attempt(schedule)
            return found.simulation.schedule() if found.fails_like(run) else None

        if isinstance(run.error, LeakError):
            return _left_behind(head, run, again, seed, name)
        shrinker = Shrinker(attempt_and_compare, budget)
        smallest = shrinker.shrink(run.simulation.schedule())
    # Once more, to be sure; and with its crash reports in the log.
    with garbage_kept_small():
        confirmed = run_once(program, Recorded(smallest), limits, injects=bool(smallest.faults))
    if not confirmed.fails_like(run):
        confirmed, smallest = run, run.simulation.schedule()
    before = run.simulation.schedule()
    story = [
        head,
        f"Shrunk in {shrinker.runs} runs from {count_of(before)} to {count_of(smallest)}:",
        *what_it_needs(confirmed.simulation),
        *what_happened(confirmed.simulation),
        f"Again, the whole seed:  simulate({name}, seeds=[{seed}]), with the same faults",
        f"Again, just this:       replay({name}, {smallest.token()!r})",
    ]
    return failure_of(seed, confirmed, "\n".join(story), is_deterministic=True)


def _left_behind(head: str, run: Run, again: Run, seed: int, name: str) -> SimulationFailed:
    """It is not shrunk: each run leaves more behind."""
    assert isinstance(run.error, LeakError)
    is_always_so = isinstance(again.error, LeakError)
    story = [
        head,
        *(f"  {line}" for leak in run.error.leaks for line in leak.splitlines()),
        *(() if is_always_so else (_MADE_ONCE,)),
        *what_it_needs(run.simulation),
        *what_happened(run.simulation),
        f"Again:  simulate({name}, seeds=[{seed}]), with the same faults",
    ]
    return failure_of(seed, run, "\n".join(story), is_deterministic=is_always_so)


_MADE_ONCE = (
    "The same run, made again in this interpreter, left nothing behind: the program makes this once and keeps it (a pool, a "
    "client, a cache). Make it and use it once before simulate, or end it in the program that has made it."
)
