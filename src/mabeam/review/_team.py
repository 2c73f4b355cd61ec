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
from collections import deque
from typing import TYPE_CHECKING

from mabeam._base import now, seeded_random
from mabeam.kernel import Down, ExitReason, Normal, Pid, in_thread, is_abnormal, monitor, self_pid
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
from mabeam.review._books import Crashes, Results, in_words
from mabeam.review._finding import FileError
from mabeam.review._listing import list_files
from mabeam.review._order import CRASHES_PER_FILE, InjectedCrash, Order, Outcome, Work
from mabeam.telemetry import emit

if TYPE_CHECKING:
    from mabeam.kernel import Caller
    from mabeam.otp import Ref
    from mabeam.review._finding import Finding
    from mabeam.review._listing import Listing
    from mabeam.review._report import Report

__all__ = ("review",)

SECONDS_PER_FILE = 120.0


class Collector(GenServer):
    """Keeps the books, and hands out the report when they are complete."""

    def __init__(self) -> None:
        self._results = Results()
        self._waiting: list[Caller[Report]] = []

    @handle_cast
    def expect(self, listing: Listing) -> None:
        """Learn which files there are."""
        self._results.expect(listing)
        self._answer()

    @handle_call
    def file_done(
        self, work: Work, result: tuple[Finding, ...] | FileError, reviewer: str, seconds: float
    ) -> None:
        """Take the result for one file. A call, so that a reviewer knows it is safe before it asks for more."""
        if not self._results.add(work.file, result):
            return  # its reviewer died between delivering it and asking for more
        found = 0 if isinstance(result, FileError) else len(result)
        labels = {"file": work.file.shown_as, "reviewer": reviewer}
        emit("review.file_done", {"duration": seconds, "findings": found}, labels)
        self._answer()

    @handle_call
    def file_given_up(self, work: Work, reason: str) -> None:
        """Take note that there will be no result for a file."""
        if self._results.give_up(work.file, reason):
            labels = {"file": work.file.shown_as, "reason": reason}
            emit("review.file_given_up", {"attempts": work.attempt}, labels)
            self._answer()

    @handle_call
    def report(self) -> Report:
        """Answer with the report, once every file is accounted for."""
        answer: Report = reply_later(self._waiting.append)
        self._answer()
        return answer

    def _answer(self) -> None:
        if self._waiting and (report := self._results.report()) is not None:
            while self._waiting:
                self._waiting.pop().reply(report)


class Lister(GenServer):
    """Lists the files and hands them out one by one. A file comes back when the reviewer that has it dies."""

    def __init__(self, order: Order, collector: Ref[Collector]) -> None:
        self._order = order
        self._collector = collector
        self._queue: deque[Work] = deque()
        self._held: dict[Pid, tuple[Work, str]] = {}
        self._idle: deque[tuple[Pid, str, Caller[Work | None]]] = deque()
        self._crashes = Crashes()

    async def init(self) -> None:
        """List the files, off the loop."""
        listing = await in_thread(list_files, self._order.paths)
        chance = seeded_random(1)  # so that a run with chaos can be repeated
        self._queue.extend(Work(file, 1, chance.random() < self._order.chaos) for file in listing.files)
        self._total = len(listing.files)
        emit("review.files_listed", {"files": self._total}, {})
        self._collector.cast(Collector.expect, listing)

    @handle_call
    def total(self) -> int:
        """How many files there are."""
        return self._total

    @handle_call
    def crashes(self) -> tuple[int, int]:
        """How many crashes chaos has caused, and how many it has not."""
        return self._crashes.injected, self._crashes.others

    @handle_call
    def take(self, reviewer: Pid, name: str) -> Work | None:
        """Hand out a file, and learn that the one before is done with; ``None`` when there is nothing left to do."""
        if self._held.pop(reviewer, None) is None:
            monitor(reviewer)  # its first file
        answer: Work | None = reply_later(lambda caller: self._idle.append((reviewer, name, caller)))
        self._hand_out()
        return answer

    def _hand_out(self) -> None:
        """Serve those who wait. While the last files are with others they go on waiting: a file may come back."""
        while self._idle and (self._queue or not self._held):
            reviewer, name, caller = self._idle.popleft()
            if not caller.is_waiting:
                continue
            work = self._queue.popleft() if self._queue else None
            if work is not None:
                self._held[reviewer] = (work, name)
            caller.reply(work)

    async def handle_info(self, message: object) -> None:
        """Take the file of a dead reviewer back, or give it up."""
        if not isinstance(message, Down) or message.pid is None or message.pid not in self._held:
            return
        work, reviewer = self._held.pop(message.pid)
        if is_abnormal(message.reason):
            await self._reviewer_crashed(work, reviewer, message.reason)
        else:
            self._queue.appendleft(work)  # it was asked to end, which is nobody's crash
        self._hand_out()

    async def _reviewer_crashed(self, work: Work, reviewer: str, reason: ExitReason) -> None:
        file, why = work.file, in_words(reason)
        may_try_again = self._crashes.count(file, reason)
        labels = {"file": file.shown_as, "reviewer": reviewer, "reason": why}
        emit("review.reviewer_crashed", {"attempt": work.attempt}, labels)
        if may_try_again:
            self._queue.appendleft(Work(file, work.attempt + 1, crash=False))
        else:
            await self._collector.call(Collector.file_given_up, work, why)


class Reviewer(GenServer):
    """Takes one file at a time, reviews it in a thread, and delivers the result before it asks for the next."""

    def __init__(self, name: str, order: Order, lister: Ref[Lister], collector: Ref[Collector]) -> None:
        self._name = name
        self._codes = order.codes
        self._lister = lister
        self._collector = collector
        continue_with("first file")

    async def handle_continue(self, _argument: object) -> None:
        """Review one file."""
        work = await self._lister.call(Lister.take, self_pid(), self._name)
        if work is None:
            stop_self(Normal())
            return
        file, labels = work.file, {"file": work.file.shown_as, "reviewer": self._name}
        emit("review.file_started", {"attempt": work.attempt}, labels)
        started = now(asyncio.get_running_loop())
        async with asyncio.timeout(SECONDS_PER_FILE):
            result = await in_thread(
                analyse_file, file.path, shown_as=file.shown_as, codes=self._codes, below=file.below
            )
        if work.crash:
            emit("review.crash_injected", {}, labels)
            raise InjectedCrash(file.shown_as)
        seconds = now(asyncio.get_running_loop()) - started
        await self._collector.call(Collector.file_done, work, result, self._name, seconds)
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
    collector = collector.options(timeout=None)  # each waits for the other as long as it takes
    lister = await team.call(Supervisor.start_child, Lister.child_spec(order, collector))
    lister = lister.options(timeout=None)
    total = await lister.call(Lister.total)
    budget = DynamicSupervisor.child_spec(max_restarts=CRASHES_PER_FILE * total, max_seconds=86_400.0)
    reviewers = await team.call(Supervisor.start_child, budget)
    for number in range(1, min(order.workers, total) + 1):
        spec = Reviewer.child_spec(f"reviewer-{number}", order, lister, collector)
        await reviewers.call(DynamicSupervisor.start_child, spec.options(restart="transient"))
    report = await collector.call(Collector.report)
    injected, crashes = await lister.call(Lister.crashes)
    return Outcome(report=report, injected=injected, crashes=crashes)
