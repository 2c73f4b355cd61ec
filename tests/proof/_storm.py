"""A storm: random trees at work, and processes killed at random moments until enough have been."""

from __future__ import annotations

import contextvars
import logging
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from mabeam import MabeamError, Runtime, kill, receive, send_exit, spawn
from mabeam.kernel import EXITING, STARTING
from mabeam.telemetry import Bus
from mabeam.testing import wait_until_idle
from tests.proof._actors import client
from tests.proof._deeds import REASONS
from tests.proof._invariants import (
    at_any_time,
    at_rest,
    deaf_orphans,
    of_the_dead,
    outlived_by,
)
from tests.proof._trees import tree_spec
from tests.proof._world import SeededChooser, World, pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam import Pid
    from mabeam.kernel import Kernel, Process

__all__ = ("Storm",)

TREES = 3
"""Trees that stand at the same time."""
CUSTOMERS = 4
"""Clients outside of the trees."""
CALM = 60.0
"""Virtual seconds after which everything that was begun has come to an end: no wait in a storm is longer than a few."""
TO_STOP = 10.0
"""Virtual seconds that the stop of one process may take."""


class Storm:
    """One storm.

    Attributes:
        world: its books.
        struck: how many processes were killed or sent a signal by the storm itself; more kill each other.
        journal: every end, in order: what ended, and why.
    """

    def __init__(self, seed: int, *, strikes: int, threads: bool = False) -> None:
        """Not begun."""
        self.world = World(Random(seed), threads=threads)
        self.struck = 0
        self.journal: list[str] = []
        self._seed = seed
        self._strikes = strikes
        self._seen: dict[Process, None] = {}
        self._bus = Bus(strict=True)
        self._customers: list[Pid] = []
        self._kernel: Kernel

    async def run(self) -> list[str]:
        """Let it come and go. Answers what must not have happened."""
        self._bus.attach(self._note_end, events=["process.exited"])
        self._bus.attach(self._check_giving_up, events=["supervisor.gave_up"])
        with _critical_errors(self.world.problems):
            async with Runtime(chooser=SeededChooser(self._seed), bus=self._bus) as runtime:
                self._kernel = runtime.kernel
                await self._rage()
                self.world.calm = True
                await self._settle()
                count = len(self._kernel.table)
                began = self._kernel.loop.time()
                await runtime.stop()
                seconds = self._kernel.loop.time() - began
                if seconds > TO_STOP * count:
                    self._problem(f"stopping {count} processes took {seconds:g} s")
                await wait_until_idle(runtime)
                self._look()
                left = [each.describe() for each in self._kernel.table.values() if each.parent is not None]
                if left or len(self._kernel.names):
                    self._problem(f"left when all was stopped: {left}, {len(self._kernel.names)} names")
                # A coroutine that waits again after a kill is left behind where it waits, and what it had asked with it.
                if len(self.world.open) > self._kernel.incidents.frozen_count:
                    self._problem(f"never answered, even by the stop: {list(self.world.open.values())}")
            if self._kernel.stragglers:
                self._problem(f"left when the Runtime was left: {list(self._kernel.stragglers)}")
        return [*self.world.problems, *self._bus.problems]

    # ------------------------------------------------------------------------------------------- its time

    async def _rage(self) -> None:
        random = self.world.random
        tops: list[Any] = []
        while self.struck < self._strikes:
            tops = [top for top in tops if top.pid is not None and top.pid.is_alive]
            if len(tops) < TREES and random.random() < (0.1 if tops else 1.0):
                for _ in range(random.randrange(3)):
                    self._strike_later(random.random() / 4)  # some trees are hit while they start
                top = await self._start_tree()
                tops += [] if top is None else [top]
            self._send_customers()
            for _ in range(random.choice((0, 1, 1, 1, 2, 5))):
                if random.random() < 0.5:
                    self._strike_later(random.random() / 2)
                else:
                    self._strike()
            await self._wait()
            self._look()

    async def _start_tree(self) -> Any:
        try:
            return await tree_spec(self.world).start()
        except MabeamError as error:
            self.world.outcomes["start", type(error).__name__] += 1
            return None

    def _send_customers(self) -> None:
        """See to it that somebody from outside of the trees asks for something."""
        self._customers = [pid for pid in self._customers if pid.is_alive]
        while len(self._customers) < CUSTOMERS:
            self._customers.append(spawn(client, self.world))
            self.world.free.add(self._customers[-1])

    async def _wait(self) -> None:
        """For some turns of the loop, some time, or until all has come to rest."""
        random = self.world.random
        way = random.randrange(4)
        if way == 0:
            await wait_until_idle()
        elif way == 1:
            await pause(random.choice((0.1, 1.0, 3.0)) * random.random())
        else:
            for _ in range(random.randrange(8)):
                await pause(0.0)

    async def _settle(self) -> None:
        await pause(CALM)
        for process in deaf_orphans(self._kernel):
            kill(process.pid)  # it hangs, and may have the name that a new one is to get
        await pause(CALM)
        await self._hear()
        self._look()
        for problem in at_rest(self.world, self._kernel):
            self._problem(problem)

    async def _hear(self) -> None:
        """The root has watched everybody."""
        while True:
            try:
                self.world.heard(await receive(timeout=0))
            except TimeoutError:
                return

    # ------------------------------------------------------------------------------------------- its strikes

    def _strike_later(self, seconds: float) -> None:
        """From a timer: between two callbacks of the loop, whatever they are."""
        context = contextvars.copy_context()
        self._kernel.loop.call_later(seconds, context.run, self._strike)

    def _strike(self) -> None:
        """End somebody."""
        victim = self._victim()
        if victim is None or self.world.calm or self.struck >= self._strikes:
            return
        self.struck += 1
        if self.world.happens(0.7):
            kill(victim.pid)
        else:
            send_exit(victim.pid, self.world.random.choice(REASONS))

    def _victim(self) -> Process | None:
        """Anybody; rather one that is just starting or ending."""
        alive = [each for each in self._kernel.table.values() if each.parent is not None]
        between = [each for each in alive if each.status & (STARTING | EXITING)]
        workers = [each for each in alive if not each.behaviour.is_supervisor]
        some = (
            between if between and self.world.happens(0.4) else workers if self.world.happens(0.9) else alive
        )
        return self.world.random.choice(some) if some else None

    # ------------------------------------------------------------------------------------------- looking

    def _look(self) -> None:
        """Compare the tables, and watch whoever is new."""
        for process in tuple(self._kernel.table.values()):
            if process not in self._seen and process.parent is not None:
                self._seen[process] = None
                self.world.watch(process.pid)
        for problem in (*at_any_time(self._kernel), *of_the_dead(self._seen)):
            self._problem(problem)

    def _problem(self, text: str) -> None:
        if all(text not in known for known in self.world.problems):  # once is enough
            self.world.problems.append(f"{self._kernel.loop.time():.3f} s: {text}")

    def _note_end(self, _event: str, _measurements: Any, metadata: Any) -> None:
        self.journal.append(f"{self._kernel.loop.time():.6f} {metadata}")
        for problem in outlived_by(self._kernel, metadata["pid"], metadata["reason"]):
            self._problem(problem)

    def _check_giving_up(self, _event: str, measurements: Any, metadata: Any) -> None:
        supervisor = self._kernel.table[metadata["supervisor"]]
        window = supervisor.body._window
        if measurements["restarts"] != window.max_restarts + 1:
            self._problem(f"{supervisor.describe()} gave up after {measurements} of {window.max_restarts}")


@contextmanager
def _critical_errors(problems: list[str]) -> Iterator[None]:
    """A storm is full of crash reports; what the kernel says of itself is a problem."""
    logger = logging.getLogger("mabeam")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            problems.append(self.format(record))

    handler, level, propagate = Handler(logging.CRITICAL), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
