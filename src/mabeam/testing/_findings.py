"""What comes of a simulation: how much was explored, or the failure that was found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from mabeam.errors import MabeamError

if TYPE_CHECKING:
    from mabeam.testing._faults import Faults
    from mabeam.testing._one_run import Run
    from mabeam.testing._schedule import Fault

__all__ = ("Explored", "SimulationFailed", "SimulationResult", "failure_of")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What a simulation has explored.

    Attributes:
        seeds: runs made, one for each seed.
        traces: how many of them were different from all others. Few of many: there is little that can happen in another
            order, or no more seeds are needed.
        choices: free choices made in all of them.
        faults: faults injected.
        impossible: rates of ``Faults`` that nothing could be hit by in any run, as they are written: ``late`` in a program
            without timers, ``points['stroe.*']`` with a wrong letter.
        virtual_seconds: how much virtual time has passed.
        tolerated: runs that were ended by an exception that may end them.
        uncompared: parts of messages that could not be looked into, to see whether they were changed.
        digest: a word for everything that has happened: equal for equal seeds, in every OS process, as long as neither the
            program nor mabeam has changed.
    """

    seeds: int
    traces: int
    choices: int
    faults: int
    impossible: tuple[str, ...]
    virtual_seconds: float
    tolerated: int
    uncompared: int
    digest: str

    def __str__(self) -> str:
        """In a line."""
        nowhere = f", no place for {', '.join(self.impossible)}" if self.impossible else ""
        return f"{self.seeds:,} seeds, {self.traces:,} different runs, {self.choices:,} choices, {self.faults:,} faults{nowhere}"


@final
class SimulationFailed(MabeamError, AssertionError):
    """A simulated program failed. The exception it failed with is the ``__cause__``.

    Attributes:
        seed: the seed that found it; ``None`` when a schedule was replayed.
        error: what the program failed with.
        choices: free choices that are needed for it to fail, in words.
        faults: faults that are needed for it to fail.
        trace: everything that happened in the shrunk run, one line for each event.
        token: what to give to ``replay``.
        is_deterministic: the same choices and faults led to the same run again. If not, the program depends on something
            besides: real time, sockets, the order of a set of strings.
    """

    def __init__(
        self,
        seed: int | None,
        error: BaseException,
        story: str,
        *,
        choices: tuple[str, ...],
        faults: tuple[Fault, ...],
        trace: tuple[str, ...],
        token: str,
        is_deterministic: bool,
    ) -> None:
        """Keep what failed and how to see it again; ``story`` says it in words."""
        self.seed = seed
        self.error = error
        self.choices = choices
        self.faults = faults
        self.trace = trace
        self.token = token
        self.is_deterministic = is_deterministic
        super().__init__(story)


@final
class Explored:
    """Adds up what runs have explored.

    Attributes:
        runs: how many.
        possible: which of the faults that were asked for there was a place for.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.possible: set[str] = set()
        self._digests: set[str] = set()
        self._digest = hashlib.blake2b(digest_size=16)
        self._choices = 0
        self._faults = 0
        self._seconds = 0.0
        self._tolerated = 0
        self._uncompared = 0

    def add(self, run: Run) -> None:
        simulation = run.simulation
        self.runs += 1
        digest = simulation.trace.digest()
        self._digests.add(digest)
        self._digest.update(digest.encode())
        self._choices += simulation.choice_count
        self._faults += len(simulation.schedule().faults)
        self._seconds += run.seconds
        self._tolerated += run.tolerated
        self._uncompared += simulation.mutations.skipped if simulation.mutations is not None else 0

    def result(self, faults: Faults | None = None) -> SimulationResult:
        return SimulationResult(
            seeds=self.runs,
            traces=len(self._digests),
            choices=self._choices,
            faults=self._faults,
            impossible=() if faults is None else faults.wishes_but(self.possible),
            virtual_seconds=self._seconds,
            tolerated=self._tolerated,
            uncompared=self._uncompared,
            digest=self._digest.hexdigest(),
        )


def failure_of(seed: int | None, run: Run, story: str, *, is_deterministic: bool) -> SimulationFailed:
    """The error for a run that failed; ``story`` says it in words."""
    assert run.error is not None
    schedule = run.simulation.schedule()
    return SimulationFailed(
        seed,
        run.error,
        story,
        choices=run.simulation.trace.unusual(),
        faults=schedule.faults,
        trace=run.simulation.trace.lines(),
        token=schedule.token(),
        is_deterministic=is_deterministic,
    )
