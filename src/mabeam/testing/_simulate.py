"""Running a program many times, each time in another order and with other mishaps: ``simulate`` and ``replay``."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from mabeam.errors import UsageError
from mabeam.kernel import check_function, label_of, misfit
from mabeam.testing._deciders import Recorded, Seeded
from mabeam.testing._explain import explain
from mabeam.testing._findings import Explored, SimulationFailed, SimulationResult, failure_of
from mabeam.testing._one_run import Limits, garbage_kept_small, quiet, run_once
from mabeam.testing._options import refuse, wrong_count, wrong_faults, wrong_limits, wrong_seed, wrong_seeds
from mabeam.testing._schedule import Schedule
from mabeam.testing._story import count_of, first_line, how_they_differ, in_full, what_happened, what_it_needs
from mabeam.testing._trace import short_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.testing._explain import Explanation
    from mabeam.testing._faults import Faults
    from mabeam.testing._one_run import Program, Run

__all__ = ("replay", "simulate")


def simulate(
    program: Program,
    /,
    *,
    seeds: int | Iterable[int] = 1000,
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
    timers due at the same time fires first, and whether what it leads to is over before the next does; when threads
    begin and answer. With ``faults`` it decides as well who crashes, is killed, or is slow.

    The first seed whose run fails is shrunk: faults are dropped and choices made ordinary, as long as it fails with the same
    kind of exception, raised at the same line of the program. What is left says what the bug needs.

    Guarantees:
        A seed gives the same run each time: the same trace, line by line, in every OS process, if the program itself depends
        on nothing else. What it draws from ``random`` follows from the seed, and so does what mabeam itself leaves to chance;
        the real time, sockets, ``os.urandom`` and the order of sets of strings do not.
        Nothing of one run is left when the next begins.

    Args:
        program: an async function without arguments, called anew for each seed. It must make everything it uses.
        seeds: how many seeds, from 0 on; or which, any integers.
        faults: which faults to inject; none unless given.
        max_faults: most faults in one run. The default is as many crashes as a supervisor survives by default.
        max_virtual_seconds: longest virtual time of one run, in seconds.
        max_steps: most events of the trace and turns of the event loop in one run.
        check_mutation: fail with ``MutationError`` when something that was sent is changed afterwards.
        tolerate: exceptions that may end the program, ``ProcessDied`` for one that is not meant to survive its servers. Deadlocks,
            programs that do not end and errors that only the loop heard of are tolerated by their own names only.
        max_shrink_runs: most runs spent on shrinking; 0 for none.

    Returns:
        What was explored.

    Raises:
        SimulationFailed: a run failed: by an exception of the program, ``DeadlockError`` or ``EndlessError`` when it did not
            end, ``MutationError``, ``UnhandledError`` for what only the event loop heard of, or ``LeakError`` for threads, OS
            processes and sockets that were left behind.
        UsageError: ``program`` is no function that can be run without arguments, an option is wrong, ``seeds`` holds nothing,
            or this was called inside a running event loop.

    Warns:
        UserWarning: no run had a place for any of ``faults``, so none of them was tested.

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
    __tracebackhide__ = True  # pytest shows the program's lines, not these
    _check(program, "simulate")
    refuse(
        "simulate",
        *wrong_seeds(seeds),
        *wrong_faults(faults, max_faults),
        *wrong_count("max_shrink_runs", max_shrink_runs, "runs", 0),
        *wrong_limits(max_steps, max_virtual_seconds, check_mutation, tolerate),
    )
    limits = Limits(
        max_steps=max_steps,
        max_virtual_seconds=max_virtual_seconds,
        check_mutation=check_mutation,
        tolerate=tolerate,
    )
    results = Explored()
    with quiet(), garbage_kept_small() as collect:
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            refuse("simulate", *wrong_seed(seed))
            decider = Seeded(seed, faults, max_faults)
            run = run_once(program, decider, limits, injects=faults is not None)
            results.add(run)
            results.possible |= decider.possible
            if run.error is not None:
                break
            collect()
        else:
            if not results.runs:
                msg = "simulate: seeds was empty, so nothing has been tested"
                raise UsageError(msg)
            result = results.result(faults)
            if faults is not None and (warning := faults.warning_of(result.impossible)):
                warnings.warn(f"simulate: {warning}", stacklevel=2)
            return result
    with garbage_kept_small() as collect:

        def attempt(schedule: Schedule, *, shown: bool) -> Run:
            collect()
            # The crash reports of what is shown are in the log.
            with nullcontext() if shown else quiet():
                return run_once(program, Recorded(schedule), limits, injects=bool(schedule.faults))

        explanation = explain(run, attempt, max_shrink_runs)
    failed = _failure(program, seed, results.runs, explanation, limits, has_faults=faults is not None)
    raise failed from failed.error


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
    __tracebackhide__ = True
    _check(program, "replay")
    schedule = Schedule.from_token(token)
    refuse("replay", *wrong_limits(max_steps, max_virtual_seconds, check_mutation, tolerate))
    limits = Limits(
        max_steps=max_steps,
        max_virtual_seconds=max_virtual_seconds,
        check_mutation=check_mutation,
        tolerate=tolerate,
    )
    results = Explored()
    with garbage_kept_small():
        run = run_once(program, Recorded(schedule), limits)
    results.add(run)
    if run.error is None:
        return results.result()
    simulation = run.simulation
    head = f"it fails still: {first_line(run.error)}"
    story = [head, *in_full(run.error), *what_it_needs(simulation), *what_happened(simulation)]
    raise failure_of(None, run, "\n".join(story), is_deterministic=True) from run.error


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
    check_function(
        program, how
    )  # a generator, or a server that nobody starts, would pass: nothing of it ever runs
    if wrong := misfit(program, (), {}):
        name = short_name(label_of(program))
        msg = (
            f"{how} expects an async function without arguments, and {name} cannot be called without: {wrong}.\n"
            f"    right:  {how}(functools.partial({name}, ...))"
        )
        raise UsageError(msg)


def _failure(
    program: Program,
    seed: int,
    runs: int,
    explanation: Explanation[Run],
    limits: Limits,
    *,
    has_faults: bool,
) -> SimulationFailed:
    """Say in words what is known of a failure."""
    found, told = explanation.found, explanation.told
    passed = f" ({runs - 1:,} seeds passed before it)" if runs > 1 else ""
    name = _name_of(program)
    options = _unusual_options(limits)
    before, smallest = found.simulation.schedule(), told.simulation.schedule()
    story = [f"seed {seed} fails{passed}: {first_line(told.error)}", *in_full(told.error)]
    if not explanation.is_deterministic:
        story += how_they_differ(found, explanation.again)
    elif explanation.is_shrunk:
        if (whole := first_line(found.error)) != first_line(told.error):
            story.append(f"The whole seed fails with: {whole}")
        story.append(
            f"Shrunk in {explanation.shrink_runs} runs from {count_of(before)} to {count_of(smallest)}:"
        )
    needs = what_it_needs(told.simulation)
    if not told.simulation.is_unusual and runs > 1 and explanation.is_deterministic:
        needs.append(_LEFT_OVER)
    story += [*needs, *what_happened(told.simulation)]
    same_faults = ", with the same faults and max_faults" if has_faults else ""
    story.append(f"Again, the whole seed:  simulate({name}, seeds=[{seed}]{options}){same_faults}")
    if explanation.is_deterministic:
        story.append(f"Again, just this:       replay({name}, {smallest.token()!r}{options})")
    return failure_of(seed, told, "\n".join(story), is_deterministic=explanation.is_deterministic)


def _name_of(program: Program) -> str:
    """What to write for a program: its name, or the word for one that has none."""
    name = short_name(label_of(program))
    return name if inspect.isfunction(program) and name.isidentifier() else "program"


def _unusual_options(limits: Limits) -> str:
    """The options of a run that are not as they are if nothing is said, as they are written in a call."""
    parameters = inspect.signature(replay).parameters
    written = ""
    for name in ("max_virtual_seconds", "max_steps", "check_mutation", "tolerate"):
        value = getattr(limits, name)
        if value != parameters[name].default:
            text = f"({', '.join(each.__name__ for each in value)},)" if name == "tolerate" else repr(value)
            written += f", {name}={text}"
    return written


_LEFT_OVER: Final = "  The seeds before it passed. If replay passes in a fresh interpreter, the program depends on what earlier runs have left."
