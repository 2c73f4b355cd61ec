"""The team at work, on standard error: a live tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text
from rich.tree import Tree

from mabeam._base import stopwatch_of
from mabeam.kernel import current_kernel, receive, send
from mabeam.kernel import monitor as monitor_process
from mabeam.review import CRASHES_PER_FILE, InjectedCrash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.kernel import Pid
    from mabeam.review import Order, Outcome

__all__ = ("Crashes", "PlainView", "TeamView", "View", "last_line")

SECONDS_BETWEEN_FRAMES = 0.1


class View(Protocol):
    """What shows a review at work."""

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Take an event of the team."""
        ...

    async def show(self) -> None:
        """Show it, as a process, until told to end."""
        ...

    async def end(self, screen: Pid) -> None:
        """Leave the screen to the report."""
        ...


class Crashes(logging.Filter):
    """Makes one line of each crash report: a crashed reviewer is restarted, and the report says what became of its file."""

    def __init__(self, *, verbose: bool) -> None:
        """With ``verbose``, leave the tracebacks of crashes that were not injected."""
        super().__init__()
        self._verbose = verbose

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop injected crashes, which are counted elsewhere; shorten the others."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, InjectedCrash):
            return self._verbose
        if not self._verbose:
            record.exc_info = record.exc_text = None
        return True


class _Team:
    """What is known of the team from its events."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.working: dict[str, str] = {}
        self.restarts: Counter[str] = Counter()
        self.done = 0
        self.given_up = 0
        self.total: int | None = None

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        if event == "review.files_listed":
            self.total = int(measurements["files"])
        elif event == "review.file_started":
            reviewer = str(metadata["reviewer"])
            self.working[reviewer] = str(metadata["file"])
        elif event == "review.file_done":
            self.done += 1
        elif event == "review.file_given_up":
            self.given_up += 1
        elif event == "review.reviewer_crashed":
            self.restarts[str(metadata["reviewer"])] += 1


def last_line(outcome: Outcome) -> str:
    """What is to be said at the end: whether anything was lost."""
    report = outcome.report
    lost = sum(error.kind.value == "given up" for error in report.errors)
    survived = f"{outcome.injected} injected crash{'' if outcome.injected == 1 else 'es'}"
    if outcome.crashes:
        survived += f" and {outcome.crashes} other{'' if outcome.crashes == 1 else 's'}"
    nothing = "nothing was lost" if not lost else f"{lost} given up, as the report says"
    return f"survived {survived}; {report.files} of {report.files} files accounted for, {nothing}"


class PlainView:
    """A line at the beginning and one at the end."""

    def __init__(self, order: Order) -> None:
        """For one review."""
        self._team = _Team(order)

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Take an event of the team."""
        self._team.handle(event, measurements, metadata)
        if event == "review.files_listed":
            files = int(measurements["files"])
            typer.echo(f"reviewing {files} files with {self._team.order.workers} reviewers", err=True)

    async def show(self) -> None:
        """There is nothing to be shown in between."""

    async def end(self, screen: Pid) -> None:
        """Say how often reviewers were restarted."""
        if restarts := self._team.restarts.total():
            typer.echo(f"reviewers were restarted {restarts} times", err=True)


class TeamView:
    """A live picture: progress, files a second, and the team as a tree with its restarts."""

    def __init__(self, order: Order) -> None:
        """For one review."""
        self._team = _Team(order)
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("reviewing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task: TaskID = self._progress.add_task("review", total=None, rate="")

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Take an event of the team."""
        self._team.handle(event, measurements, metadata)

    async def show(self) -> None:
        """Redraw ten times a second until a message comes."""
        stopwatch = stopwatch_of(current_kernel().loop)
        started = stopwatch()
        with Live(self._picture(0.0), console=self._console, auto_refresh=False) as live:
            over = False
            while not over:
                try:
                    await receive(timeout=SECONDS_BETWEEN_FRAMES)
                    over = True
                except TimeoutError:
                    pass
                live.update(self._picture(stopwatch() - started), refresh=True)

    async def end(self, screen: Pid) -> None:
        """Draw the last picture."""
        gone = monitor_process(screen)
        send(screen, "over")
        await receive(lambda message: getattr(message, "ref", None) is gone)

    def _picture(self, seconds: float) -> Group:
        team = self._team
        finished = team.done + team.given_up
        rate = f"{finished / seconds:.0f} files/s" if seconds > 0 else ""
        self._progress.update(self._task, total=team.total, completed=finished, rate=rate)
        tree = Tree("team (one_for_all)")
        tree.add("lister")
        tree.add(f"collector: {finished} files")
        budget = f", budget {CRASHES_PER_FILE * team.total}" if team.total is not None else ""
        branch = tree.add(f"reviewers (one_for_one{budget}): {team.restarts.total()} restarts")
        for reviewer in sorted(team.working):
            restarts = team.restarts[reviewer]
            line = Text(reviewer, style="bold")
            if restarts:
                line.append(f" restarted {restarts}x", style="yellow")
            line.append(f"  {team.working[reviewer]}", style="dim")
            line.no_wrap, line.overflow = True, "ellipsis"
            branch.add(line)
        return Group(self._progress, tree)
