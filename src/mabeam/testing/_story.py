"""A simulated run in words: what was unusual about it, what happened, and where two runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mabeam.testing._describe import said_by
from mabeam.testing._explain import have_same_trace
from mabeam.testing._leaks import LeakError

if TYPE_CHECKING:
    from mabeam.testing._explain import Attempted
    from mabeam.testing._schedule import Schedule
    from mabeam.testing._simulation import Simulation

__all__ = ("count_of", "first_line", "how_they_differ", "in_full", "what_happened", "what_it_needs")

_SHOWN_EVENTS: Final = 25
_SHOWN_CHOICES: Final = 12
_SHOWN_LINES: Final = 40
_ANOTHER_RUN: Final = (
    "The same seed gave another run the second time, so it was not shrunk. The program depends on something that no "
    "seed decides: the real time, sockets, os.urandom, the order of a set, something left over from the run before."
)
_MADE_ONCE: Final = (
    "The same run, made again in this interpreter, left nothing behind: the program makes this once and keeps it (a pool, a "
    "client, a cache). Make it and use it once before simulate, or end it in the program that has made it."
)


def what_it_needs(simulation: Simulation) -> list[str]:
    """The faults and the unusual choices of a run."""
    choices, schedule = simulation.trace.unusual(), simulation.schedule()
    lines = [f"  fault   {fault}" for fault in schedule.faults]
    if schedule.draws:
        lines.append(f"  draws   what random.seed({schedule.draws}) gives")
    lines += [f"  choice  {choice}" for choice in choices[:_SHOWN_CHOICES]]
    if len(choices) > _SHOWN_CHOICES:
        lines.append(f"  and {len(choices) - _SHOWN_CHOICES} more choices")
    return lines or ["  nothing unusual: it fails in the ordinary order, without faults"]


def what_happened(simulation: Simulation) -> list[str]:
    """The latest events up to the end of the program; what its Runtime did to stop the rest tells nothing."""
    lines = simulation.trace.lines_to_end()
    shown = lines[-_SHOWN_EVENTS:]
    title = (
        "What happened:" if len(shown) == len(lines) else f"The last {len(shown)} of {len(lines):,} events:"
    )
    return [title, *shown]


def how_they_differ(found: Attempted, again: Attempted) -> list[str]:
    """Where two runs differ that should be equal: the first event, or else how they ended."""
    first, second = found.simulation.trace.lines(), again.simulation.trace.lines()
    if have_same_trace(found.simulation, again.simulation):
        if isinstance(found.error, LeakError) and again.error is None:
            return [_MADE_ONCE]
        where = "All that was seen of them was the same, and they ended differently:"
        here, there = first_line(found.error), first_line(again.error)
    else:
        index = next(
            (
                number
                for number, (left, right) in enumerate(zip(first, second, strict=False))
                if left != right
            ),
            min(len(first), len(second)),
        )
        where = f"They differ at event {index}:"
        here, there = (
            lines[index].strip() if index < len(lines) else "(nothing more)" for lines in (first, second)
        )
    return [_ANOTHER_RUN, where, f"  first:   {here}", f"  second:  {there}"]


def in_full(error: BaseException | None) -> list[str]:
    """All that an exception says after its first line; of a group, what is in it."""
    lines = said_by(str, error).splitlines()[1:] if error is not None else []
    if isinstance(error, BaseExceptionGroup):
        for inside in error.exceptions:
            lines += [f"- {first_line(inside)}", *in_full(inside)]
    more = [f"and {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return [f"  {line}" for line in (*lines[:_SHOWN_LINES], *more)]


def count_of(schedule: Schedule) -> str:
    """How much a schedule holds."""
    choices, faults = len(schedule.choices), len(schedule.faults)
    return f"{choices} choice{'s' * (choices != 1)} and {faults} fault{'s' * (faults != 1)}"


def first_line(error: BaseException | None) -> str:
    """An exception in a line."""
    if error is None:
        return "(nothing wrong)"
    text = f"{type(error).__name__}: {said_by(str, error)}".rstrip(": ")
    return text.splitlines()[0] if text else ""
