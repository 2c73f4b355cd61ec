"""The team that reviews: a lister, a collector, and supervised reviewers that may crash without losing a file.

::

    team (one_for_all, no restarts: without its books a review cannot be trusted, so it ends and says so)
      collector    gathers what was found and knows what is still missing
      lister       lists the files, hands them out, and takes back those whose reviewer died
      reviewers (DynamicSupervisor; budget: every file may crash its reviewer CRASHES_PER_FILE times)
        reviewer-1 ... reviewer-N
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam._base import now, seeded_random
from mabeam.kernel import (
    Crashed,
    Down,
    MonitorRef,
    Normal,
    Pid,
    demonitor,
    in_thread,
    monitor,
    self_pid,
)
from mabeam.otp import (
    DynamicSupervisor,
    GenServer,
    Supervisor,
    continue_with,
    handle_call,
    handle_cast,
    reply_later,
    stop_self,
)
from mabeam.review._analyse import analyse_file
from mabeam.review._finding import ErrorKind, FileError
from mabeam.review._listing import ListedFile, list_files
from mabeam.review._report import make_report
from mabeam.telemetry import emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mabeam.kernel import Caller
    from mabeam.otp import Ref
    from mabeam.review._finding import Finding
    from mabeam.review._listing import Listing
    from mabeam.review._report import Report

__all__ = ("Order", "Outcome", "review")

CRASHES_TO_GIVE_UP = 3
CRASHES_PER_FILE = CRASHES_TO_GIVE_UP + 1
"""Restarts that the budget allows for each file: the crashes until it is given up, and one by chaos."""
SECONDS_PER_FILE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to review, and how.

    Attributes:
        paths: files and directories.
        codes: the rules to apply.
        workers: how many reviewers.
        chaos: chance that a file's reviewer is crashed at the file's first attempt, 0 to 1.
    """

    paths: Sequence[str]
    codes: frozenset[str]
    workers: int
    chaos: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        report: the findings.
        injected: crashes that chaos caused.
        crashes: crashes that it did not cause.
    """

    report: Report
    injected: int
    crashes: int


class InjectedCrash(Exception):
    """A reviewer was crashed on purpose."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One file for one reviewer."""

    file: ListedFile
    attempt: int
    crash: bool


class Collector(GenServer):
    """Gathers results; each file is counted once, whoever reports it."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._errors: list[FileError] = []
        self._done: set[str] = set()
        self._expected: int | None = None
        self._waiting: list[Caller[Report]] = []

    @handle_cast
    def expect(self, listing: Listing) -> None:
        """Learn how many files there are, and which directories could not be read."""
        self._expected = len(listing.files)
        self._errors.extend(listing.errors)
        self._answer()

    @handle_call
    def file_done(self, file: str, result: tuple[Finding, ...] | FileError) -> None:
        """Take the result for one file. A call, so that a reviewer knows it is safe before it asks for more."""
        if file not in self._done:
            self._done.add(file)
            if isinstance(result, FileError):
                self._errors.append(result)
            else:
                self._findings.extend(result)
            self._answer()

    @handle_call
    def report(self) -> Report:
        """Answer with the report, once every file is accounted for."""
        answer: Report = reply_later(self._waiting.append)
        self._answer()
        return answer

    def _answer(self) -> None:
        if len(self._done) == self._expected:
            report = make_report(self._findings, self._errors, files=self._expected)
            while self._waiting:
                self._waiting.pop().reply(report)


class Lister(GenServer):
    """Lists the files and hands them out one by one. A file comes back when the reviewer that has it dies."""

    def __init__(self, order: Order, collector: Ref[Collector]) -> None:
        self._order = order
        self._collector = collector
        self._chance = seeded_random(1)  # seeded, so that a run with chaos can be repeated
        self._queue: deque[_Work] = deque()
        self._held: dict[MonitorRef, tuple[_Work, str]] = {}
        self._crashes: Counter[str] = Counter()
        self._injected = 0
        self._idle: list[tuple[Pid, str, Caller[_Work | None]]] = []

    async def init(self) -> None:
        """List the files, off the loop."""
        listing = await in_thread(list_files, self._order.paths)
        self._queue.extend(_Work(file, 1, self._is_to_crash()) for file in listing.files)
        self._total = len(listing.files)
        emit("review.files_listed", {"files": self._total}, {})
        self._collector.cast(Collector.expect, listing)

    def _is_to_crash(self) -> bool:
        return self._order.chaos > 0 and self._chance.random() < self._order.chaos

    @handle_call
    def total(self) -> int:
        """How many files there are."""
        return self._total

    @handle_call
    def crashes(self) -> tuple[int, int]:
        """How many crashes chaos has caused, and how many it has not."""
        return self._injected, self._crashes.total()

    @handle_call
    def take(self, reviewer: Pid, name: str) -> _Work | None:
        """Hand out a file; wait while others hold the last ones, since they may come back; ``None`` when all is done."""
        if not self._queue and self._held:
            return reply_later(lambda caller: self._idle.append((reviewer, name, caller)))
        return self._hand_out(reviewer, name)

    def _hand_out(self, reviewer: Pid, name: str) -> _Work | None:
        if not self._queue:
            return None
        work = self._queue.popleft()
        self._held[monitor(reviewer)] = (work, name)
        return work

    @handle_call
    def give_back(self, file: ListedFile) -> None:
        """Learn that a file is done with."""
        for held, (work, _name) in tuple(self._held.items()):
            if work.file is file:
                del self._held[held]
                demonitor(held, flush=True)
        self._serve_idle()

    def _serve_idle(self) -> None:
        while self._idle and (self._queue or not self._held):
            reviewer, name, caller = self._idle.pop(0)
            if caller.is_waiting:
                caller.reply(self._hand_out(reviewer, name))

    async def handle_info(self, message: object) -> None:
        """Take the file of a dead reviewer back, or give it up."""
        held = self._held.pop(message.ref, None) if isinstance(message, Down) else None
        if held is None or not isinstance(message, Down):
            return
        work, reviewer = held
        name = work.file.shown_as
        error = message.reason.exception if isinstance(message.reason, Crashed) else message.reason
        if isinstance(error, InjectedCrash):
            self._injected += 1
        else:
            self._crashes[name] += 1
        emit("review.reviewer_crashed", {"attempt": work.attempt}, {"file": name, "reviewer": reviewer})
        if self._crashes[name] < CRASHES_TO_GIVE_UP:
            self._queue.appendleft(_Work(work.file, work.attempt + 1, crash=False))
        else:
            text = f"given up: its review crashed {CRASHES_TO_GIVE_UP} times, the last time with {error!r}"
            await self._collector.call(Collector.file_done, name, FileError(name, ErrorKind.GIVEN_UP, text))
            emit("review.file_given_up", {"attempts": work.attempt}, {"file": name, "reason": repr(error)})
        self._serve_idle()


class Reviewer(GenServer):
    """Takes one file at a time, reviews it in a thread, and delivers the result before it asks for the next."""

    def __init__(self, name: str, order: Order, lister: Ref[Lister], collector: Ref[Collector]) -> None:
        self._name = name
        self._codes = order.codes
        # Without limit: the others may hold the last files for as long as they need.
        self._lister = lister.options(timeout=None)
        self._collector = collector.options(timeout=None)
        continue_with("first file")

    async def handle_continue(self, _argument: object) -> None:
        """Review one file."""
        work = await self._lister.call(Lister.take, self_pid(), self._name)
        if work is None:
            stop_self(Normal())
            return
        labels = {"file": work.file.shown_as, "reviewer": self._name}
        emit("review.file_started", {"attempt": work.attempt}, labels)
        loop = asyncio.get_running_loop()
        started = now(loop)
        async with asyncio.timeout(SECONDS_PER_FILE):
            result = await in_thread(
                analyse_file, work.file.path, shown_as=work.file.shown_as, codes=self._codes
            )
        if work.crash:
            emit("review.crash_injected", {}, labels)
            raise InjectedCrash(work.file.shown_as)
        await self._collector.call(Collector.file_done, work.file.shown_as, result)
        await self._lister.call(Lister.give_back, work.file)
        found = 0 if isinstance(result, FileError) else len(result)
        emit("review.file_done", {"duration": now(loop) - started, "findings": found}, labels)
        continue_with("next file")


async def review(order: Order) -> Outcome:
    """Review what an order asks for; to be run in a process.

    Guarantees:
        Every file is in the report: with its findings, or as an error. The same order gives the same report, whatever
        crashed on the way.

    Raises:
        ProcessDied: the team itself failed, which is a fault of ours.
    """
    team = await Supervisor.start_link([], strategy="one_for_all", max_restarts=0)
    collector = await team.call(Supervisor.start_child, Collector.child_spec())
    lister = await team.call(Supervisor.start_child, Lister.child_spec(order, collector))
    total = await lister.call(Lister.total)
    budget = DynamicSupervisor.child_spec(max_restarts=CRASHES_PER_FILE * total, max_seconds=86_400.0)
    reviewers = await team.call(Supervisor.start_child, budget)
    for number in range(1, min(order.workers, max(total, 1)) + 1):
        spec = Reviewer.child_spec(f"reviewer-{number}", order, lister, collector).options(
            restart="transient"
        )
        await reviewers.call(DynamicSupervisor.start_child, spec)
    report = await collector.options(timeout=None).call(Collector.report)
    injected, crashes = await lister.call(Lister.crashes)
    return Outcome(report=report, injected=injected, crashes=crashes)
