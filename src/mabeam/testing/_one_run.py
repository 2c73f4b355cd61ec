"""One run of a program in a simulation: a loop, a Runtime, the program as its first process, and what came of it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import inspect
import itertools
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from mabeam._base import all_random_seeded, fault_listener
from mabeam.errors import UsageError
from mabeam.kernel import Body, NoProcess, PlainBehaviour, Runtime, died, label_of
from mabeam.testing._deadlock import DeadlockError
from mabeam.testing._describe import said_by
from mabeam.testing._endless import EndlessError
from mabeam.testing._faults import InjectedFault
from mabeam.testing._leaks import LeakError, Snapshot
from mabeam.testing._session import UnhandledError, problem_of_loop, problem_of_shared_wait
from mabeam.testing._simulated_loop import SimulatedLoop
from mabeam.testing._simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.kernel import Process
    from mabeam.testing._deciders import Decider

__all__ = ("Limits", "Program", "Run", "garbage_kept_small", "quiet", "run_once")

Program: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""A whole program: what ``mabeam.run`` would be given, with its own assertions."""

_VERDICTS: Final = (DeadlockError, EndlessError, UnhandledError)
_YOUNG: Final = 1
_RUNS_PER_FULL_COLLECTION: Final = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far one run may go, and what is looked at meanwhile.

    Attributes:
        max_steps: most turns of the event loop and events of the trace.
        max_virtual_seconds: how far virtual time may go, in seconds.
        check_mutation: whether messages are looked at again after they were sent.
        tolerate: exceptions that may end the program.
    """

    max_steps: int
    max_virtual_seconds: float
    check_mutation: bool
    tolerate: tuple[type[BaseException], ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one run.

    Attributes:
        simulation: its choices, faults and trace.
        error: why it failed; ``None`` when it did not.
        tolerated: it was ended by an exception that may end it.
        seconds: how much virtual time it took.
    """

    simulation: Simulation
    error: BaseException | None
    tolerated: bool
    seconds: float


def run_once(program: Program, decider: Decider, limits: Limits, *, injects: bool = True) -> Run:
    """Run ``program`` in a loop and a Runtime of its own, with the decisions of ``decider``.

    Guarantees:
        The same decisions give the same run, also in what the program draws from ``random``. A run that ends well and leaves
        a thread, an OS process or a socket behind has failed.

    Raises:
        UsageError: what ``program`` returned is no coroutine.
    """
    # Whoever replays in an ``except`` block is handling an exception, and all code of the run would see it: calls would not be
    # handed off, and the run would be another one.
    handled = sys.exception()
    _set_handled(None)
    try:
        return _run_once(program, decider, limits, injects=injects)
    finally:
        _set_handled(handled)


def _set_handled(error: BaseException | None) -> None:
    ctypes.pythonapi.PyErr_SetHandledException(ctypes.py_object(error))


def _run_once(program: Program, decider: Decider, limits: Limits, *, injects: bool) -> Run:
    simulation = Simulation(decider, injects=injects, checks_mutation=limits.check_mutation)
    begun = _Program(program, simulation)
    before = Snapshot()
    with (
        all_random_seeded(decider.draws),
        _outcome_told_to(begun),
        asyncio.Runner(loop_factory=lambda: _loop(simulation, limits, begun)) as runner,
    ):
        loop = runner.get_loop()
        with _outcome_told_to(begun):
            loop.run_until_complete(begun.run())
        seconds = loop.time()
    # What failed unread and is in a cycle of references is told when it is collected: now, while the run can be blamed for it.
    gc.collect(_YOUNG)
    if begun.misuse is not None:
        raise begun.misuse
    outcome, tolerated = begun.outcome(), False
    if outcome is not None and _is_tolerated(outcome, limits.tolerate):
        outcome, tolerated = None, True
    if simulation.mutations is not None and simulation.mutations.found is not None:
        outcome = simulation.mutations.found  # whatever else went wrong may have come from that
    if outcome is None and not tolerated and (leaks := tuple(before.leaks())):
        outcome = LeakError(leaks)
    return Run(simulation=simulation, error=outcome, tolerated=tolerated, seconds=seconds)


def _is_tolerated(outcome: BaseException, tolerate: tuple[type[BaseException], ...]) -> bool:
    """Whether a run may end so. What says that something is wrong with the whole program is tolerated by its own name only."""
    return type(outcome) in tolerate if isinstance(outcome, _VERDICTS) else isinstance(outcome, tolerate)


@contextmanager
def _outcome_told_to(program: _Program) -> Iterator[None]:
    """Whatever ends the run is its outcome, and so is what keeps its loop from being closed; of both, the first."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (it is the outcome of the program)
        program.failed(error)


def _loop(simulation: Simulation, limits: Limits, program: _Program) -> SimulatedLoop:
    loop = SimulatedLoop(simulation, max_steps=limits.max_steps, max_seconds=limits.max_virtual_seconds)
    loop.set_exception_handler(program.heard)
    loop.shared_service_waits = program.saw_shared_wait
    return loop


class _Program:
    """The program as the first process of a Runtime, as ``mabeam.run`` has it."""

    def __init__(self, program: Program, simulation: Simulation) -> None:
        self._program = program
        self._simulation = simulation
        self._process: Process | None = None
        self._finished = False
        self.misuse: UsageError | None = None
        self._error: BaseException | None = None
        self._problems: list[str] = []

    async def run(self) -> None:
        fault_listener.set(self._simulation.injector)
        async with Runtime() as runtime:
            kernel = runtime.kernel
            body = Body(self._begin, (), {}, self._over)
            behaviour = PlainBehaviour(label_of(self._program))
            self._process = process = kernel.create(behaviour, body, runtime.root, runtime.root.own_context())
            if self._simulation.injector is not None:
                self._simulation.injector.spares(process)
            ended = kernel.loop.create_future()
            process.on_death = [ended]
            kernel.scheduler.schedule(process)
            await ended

    def _begin(self) -> Coroutine[Any, Any, object] | None:
        begun = self._program()
        if inspect.iscoroutine(begun):
            return begun
        hint = ": call it, simulate(factory())" if callable(begun) else ""
        self.misuse = UsageError(
            f"simulate expects an async function, and {label_of(self._program)} returned {said_by(repr, begun)} instead of a coroutine: "
            f"nothing would be tested{hint}."
        )
        return None

    def failed(self, error: BaseException) -> None:
        """The loop was ended from inside: a program that can never go on, or went on for too long."""
        if self._error is None:
            self._error = error
            self._finished = True
        self._simulation.trace.ends()

    def heard(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler: errors that nobody else has heard of."""
        error = context.get("exception")
        if isinstance(error, InjectedFault):
            return
        self._problems.append(problem_of_loop(context))

    def saw_shared_wait(self, service: Process, callee: Process, what: str) -> None:
        """A shared service waits for another process, and all its users with it."""
        problem = problem_of_shared_wait(service, callee, what)
        if problem not in self._problems:  # a handler may wait for the same task again and again
            self._problems.append(problem)

    def outcome(self) -> BaseException | None:
        """Why the run failed."""
        process = self._process
        if not self._finished and process is not None:
            return died(process, process.reason or NoProcess(), "main")
        if self._error is None and self._problems:
            return UnhandledError(self._problems)
        return self._error

    def _over(self, _value: object, error: BaseException | None) -> None:
        self._simulation.trace.ends()
        if not self._finished:  # else it is its cancellation, after the loop was ended
            self._finished = True
            self._error = error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep crash reports of runs that nobody looks at out of the log.

    Yields:
        Nothing.
    """

    def drop(_record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("mabeam")
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


@contextmanager
def garbage_kept_small() -> Iterator[Callable[[], None]]:
    """Decide when garbage is collected: at the end of each run, never in one, where its moment would differ from run to run.

    Yields:
        What to call between two runs. What there was before the block is not looked at, and what earlier runs have left (a
        coroutine that is frozen, say, for ever) only now and then, so that costs little in the thousandth run as well.
    """
    was_enabled = gc.isenabled()
    runs = itertools.count(1)
    gc.freeze()
    gc.disable()
    try:
        yield lambda: _collect(next(runs))
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _collect(run: int) -> None:
    if run % _RUNS_PER_FULL_COLLECTION == 0:
        gc.collect()
