"""Running a program many times, each time in another order and with other mishaps: ``simulate`` and ``replay``."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, final

from mabeam.errors import MabeamError, UsageError
from mabeam.kernel import label_of
from mabeam.testing._deciders import Recorded, Seeded
from mabeam.testing._one_run import Limits, Run, garbage_kept_small, quiet, run_once
from mabeam.testing._schedule import Schedule
from mabeam.testing._shrink import Shrinker
from mabeam.testing._story import count_of, first_line, how_they_differ, what_happened, what_it_needs
from mabeam.testing._trace import short_name

if TYPE_CHECKING:
    from mabeam.testing._deciders import Decider
    from mabeam.testing._faults import Faults
    from mabeam.testing._schedule import Fault

__all__ = ("Program", "SimulationFailed", "SimulationResult", "replay", "simulate")

Program: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""A whole program: what ``mabeam.run`` would be given, with its own assertions."""


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
    virtual_seconds: float
    tolerated: int
    uncompared: int
    digest: str

    def __str__(self) -> str:
        """In a line."""
        return f"{self.seeds:,} seeds, {self.traces:,} different runs, {self.choices:,} choices, {self.faults:,} faults"


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


def simulate(
    program: Program,
    /,
    *,
    seeds: Iterable[int] = range(1000),
    faults: Faults | None = None,
    max_faults: int = 3,
    max_virtual_seconds: float = 86_400.0,
    max_steps: int = 1_000_000,
    check_mutation: bool = True,
    tolerate: tuple[type[BaseException], ...] = (),
    max_shrink_runs: int = 500,
) -> SimulationResult:
    """Run a program once for each seed, each time in another order that is allowed, and with other faults.

    The program runs as under ``mabeam.run``, in virtual time. Each seed decides everything that is free: which process that
    is ready runs next, and for how long; whether a call is answered at once or goes through the mailbox; which of several
    timers due at the same time fires first; when threads begin and answer. With ``faults`` it decides as well who crashes,
    is killed, or is slow.

    The first seed whose run fails is shrunk: faults are dropped and choices made ordinary, as long as it fails with the same
    kind of exception. What is left says what the bug needs.

    Guarantees:
        A seed gives the same run each time: the same trace, line by line, in every OS process, if the program itself depends
        on nothing else. Draws from ``random`` are seeded, too; the real time, sockets, ``os.urandom`` and the order of sets
        of strings are not.
        Nothing of one run is left when the next begins.

    Args:
        program: an async function without arguments, called anew for each seed. It must make everything it uses.
        seeds: which seeds; any integers.
        faults: which faults to inject; none unless given.
        max_faults: most faults in one run. The default is as many crashes as a supervisor survives by default.
        max_virtual_seconds: longest virtual time of one run, in seconds.
        max_steps: most events in one run.
        check_mutation: fail with ``MutationError`` when something that was sent is changed afterwards.
        tolerate: exceptions that may end the program, ``ProcessDied`` for one that is not meant to survive its servers.
        max_shrink_runs: most runs spent on shrinking.

    Returns:
        What was explored.

    Raises:
        SimulationFailed: a run failed: by an exception of the program, ``DeadlockError`` or ``EndlessError`` when it did not
            end, ``MutationError``, or ``UnhandledError`` for what only the event loop heard of.
        UsageError: ``program`` is no async function, or this was called inside a running event loop.

    Example:
        from mabeam import receive, self_pid, send, spawn

        async def program() -> None:
            for word in ("left", "right"):
                spawn(send, self_pid(), word)
            assert await receive() == "left"

        try:
            simulate(program, seeds=range(20))
        except SimulationFailed as failed:
            print(failed.choices)
    """
    _check(program, "simulate")
    limits = _limits(max_steps, max_virtual_seconds, tolerate, check_mutation=check_mutation)
    results = _Results()
    with quiet(), garbage_kept_small() as collect:
        for seed in seeds:
            run = run_once(program, Seeded(seed, faults, max_faults), limits, injects=faults is not None)
            results.add(run)
            if run.error is not None:
                break
            collect()
        else:
            return results.result()
    raise _explain(program, seed, run, limits, max_shrink_runs, results.runs) from run.error


def replay(
    program: Program,
    token: str,
    /,
    *,
    max_virtual_seconds: float = 86_400.0,
    max_steps: int = 1_000_000,
    check_mutation: bool = True,
    tolerate: tuple[type[BaseException], ...] = (),
) -> SimulationResult:
    """Run a program once, with the choices and faults of a run that failed.

    Args:
        program: the program of that run.
        token: what ``SimulationFailed`` showed.
        max_virtual_seconds: as of ``simulate``, in seconds.
        max_steps: as of ``simulate``.
        check_mutation: as of ``simulate``.
        tolerate: as of ``simulate``.

    Returns:
        What was explored: the run does not fail any more.

    Raises:
        SimulationFailed: it fails still.
        UsageError: the token is none; or as ``simulate``.
    """
    _check(program, "replay")
    schedule = Schedule.from_token(token)
    limits = _limits(max_steps, max_virtual_seconds, tolerate, check_mutation=check_mutation)
    results = _Results()
    with garbage_kept_small():
        run = run_once(program, Recorded(schedule), limits)
    results.add(run)
    if run.error is None:
        return results.result()
    simulation = run.simulation
    head = f"it fails still: {first_line(run.error)}"
    story = [head, *what_it_needs(simulation), *what_happened(simulation)]
    raise _failure(None, run, "\n".join(story), is_deterministic=True) from run.error


def _check(program: object, how: str) -> None:
    if asyncio._get_running_loop() is not None:
        msg = (
            f"{how}() makes event loops of its own, and one is running here already. Call it from a plain function: "
            "def test_bank() -> None, not async def."
        )
        raise UsageError(msg)
    if inspect.iscoroutine(program):
        name = getattr(program, "__qualname__", "program")
        program.close()
        msg = (
            f"{how} expects an async function, got a coroutine: the function was called.\n"
            f"    wrong:  {how}({name}())\n    right:  {how}({name})"
        )
        raise UsageError(msg)
    if not callable(program):
        msg = f"{how} expects an async function without arguments, got {program!r}"
        raise UsageError(msg)


def _limits(
    max_steps: int,
    max_virtual_seconds: float,
    tolerate: tuple[type[BaseException], ...],
    *,
    check_mutation: bool,
) -> Limits:
    return Limits(
        max_steps=max_steps,
        max_virtual_seconds=max_virtual_seconds,
        check_mutation=check_mutation,
        tolerate=tolerate,
    )


class _Results:
    """Adds up what runs have explored."""

    def __init__(self) -> None:
        self.runs = 0
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
        self._faults += len(simulation.faults)
        self._seconds += run.seconds
        self._tolerated += run.tolerated
        self._uncompared += simulation.mutations.skipped if simulation.mutations is not None else 0

    def result(self) -> SimulationResult:
        return SimulationResult(
            seeds=self.runs,
            traces=len(self._digests),
            choices=self._choices,
            faults=self._faults,
            virtual_seconds=self._seconds,
            tolerated=self._tolerated,
            uncompared=self._uncompared,
            digest=self._digest.hexdigest(),
        )


def _explain(
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
            return _failure(seed, run, "\n".join(story), is_deterministic=False)

        def attempt_and_compare(schedule: Schedule) -> Schedule | None:
            found = attempt(schedule)
            return found.simulation.schedule() if found.fails_like(run) else None

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
    return _failure(seed, confirmed, "\n".join(story), is_deterministic=True)


def _failure(seed: int | None, run: Run, story: str, *, is_deterministic: bool) -> SimulationFailed:
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
