"""The team at work, on standard error: a live tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mabeam._base import stopwatch_of
from mabeam.cli._output import say
from mabeam.kernel import current_kernel, receive, send
from mabeam.kernel import monitor as monitor_process
from mabeam.review import CRASHES_PER_FILE, ErrorKind, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mabeam.kernel import Pid
    from mabeam.review import Order, Outcome

__all__ = ("Crashes", "PlainView", "TeamView", "View", "last_line")

SECONDS_BETWEEN_FRAMES = 0.1
SECONDS_BETWEEN_LINES = 5.0
REVIEWERS_SHOWN = 16
NARROW = 60


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
    """Leaves out the crash reports of reviewers: the view says so in a line, and the report what became of the file."""

    def __init__(self, *, verbose: bool) -> None:
        """With ``verbose``, leave all of them in."""
        super().__init__()
        self._verbose = verbose

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about one record; crashes of anybody else mean that the review fails, and are shown in full."""
        return self._verbose or getattr(record, "mabeam_label", None) != "Reviewer"


class _Team:
    """What is known of the team from its events."""

    def __init__(self, order: Order, announce: Callable[[str], None]) -> None:
        self.order = order
        self.announce = announce
        self.working: dict[str, str] = {}
        self.restarts: Counter[str] = Counter()
        self.done = 0
        self.given_up = 0
        self.total: int | None = None
        self._injected: set[str] = set()

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        reviewer, file = str(metadata.get("reviewer", "")), str(metadata.get("file", ""))
        if event == "review.files_listed":
            self.total = int(measurements["files"])
        elif event == "review.file_started":
            self.working[reviewer] = file
        elif event == "review.file_done":
            self.done += 1
        elif event == "review.crash_injected":
            self._injected.add(file)
        elif event == "review.file_given_up":
            self.given_up += 1
            self.announce(f"{file} is given up: {metadata['reason']}")
        elif event == "review.reviewer_crashed":
            self.restarts[reviewer] += 1
            self.working[reviewer] = ""
            if file in self._injected:
                self._injected.discard(file)
            else:
                self.announce(f"{reviewer} crashed on {file} and is restarted: {metadata['reason']}")

    @property
    def finished(self) -> int:
        return self.done + self.given_up

    @property
    def size(self) -> int:
        return min(self.order.workers, self.total or 0)


def last_line(outcome: Outcome) -> str:
    """What is to be said at the end: whether anything was lost."""
    report = outcome.report
    given_up = sum(error.kind is ErrorKind.GIVEN_UP for error in report.errors)
    lost = f"{given_up} given up, as the report says" if given_up else "nothing was lost"
    accounted = f"{report.files} of {_counted(report.files, 'file')} accounted for, {lost}"
    survived = []
    if outcome.injected:
        survived.append(_counted(outcome.injected, "injected crash", "es"))
    if outcome.crashes:
        survived.append(_counted(outcome.crashes, "other crash" if outcome.injected else "crash", "es"))
    return f"survived {' and '.join(survived)}; {accounted}" if survived else accounted


class PlainView:
    """A line at the beginning and one every few seconds."""

    def __init__(self, order: Order) -> None:
        """For one review."""
        self._team = _Team(order, say)

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Take an event of the team."""
        team = self._team
        team.handle(event, measurements, metadata)
        if event == "review.files_listed":
            files, reviewers = _counted(team.total or 0, "file"), _counted(team.size, "reviewer")
            say(f"reviewing {files} with {reviewers}")

    async def show(self) -> None:
        """Say how far the team is, now and then, until a message comes."""
        stopwatch = stopwatch_of(current_kernel().loop)
        started = stopwatch()
        while not await _is_told_to_end(SECONDS_BETWEEN_LINES):
            team = self._team
            if team.total is not None:
                say(f"{team.finished} of {team.total} files, {_rate(team.finished, stopwatch() - started)}")

    async def end(self, screen: Pid) -> None:
        """Say how often reviewers were restarted."""
        await _end(screen)
        if restarts := self._team.restarts.total():
            say(f"reviewers were restarted {_counted(restarts, 'time')}")


class TeamView:
    """A live picture: progress, files a second, and the team as a tree with its restarts."""

    def __init__(self, order: Order, *, console: Console | None = None) -> None:
        """For one review, on standard error unless a console is given."""
        self._console = Console(stderr=True) if console is None else console
        self._team = _Team(order, self._announce)

    def handle(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Take an event of the team."""
        self._team.handle(event, measurements, metadata)

    async def show(self) -> None:
        """Redraw ten times a second until a message comes; stop drawing when the terminal is gone."""
        stopwatch = stopwatch_of(current_kernel().loop)
        started = stopwatch()
        with (
            contextlib.suppress(OSError),
            Live(self.picture(0.0), console=self._console, auto_refresh=False) as live,
        ):
            over = False
            while not over:
                over = await _is_told_to_end(SECONDS_BETWEEN_FRAMES)
                live.update(self.picture(stopwatch() - started), refresh=True)

    async def end(self, screen: Pid) -> None:
        """Draw the last picture."""
        await _end(screen)

    def picture(self, seconds: float) -> Group:
        """The team as it is after so many seconds."""
        team = self._team
        tree = Tree(Text("team (one_for_all)"))
        tree.add(Text("lister"))
        tree.add(Text(f"collector: {_counted(team.finished, 'file')}"))
        restarts = team.restarts.total()
        line = Text("reviewers", overflow="ellipsis", no_wrap=True)
        if restarts:
            line.append(" ").append(f"restarted {restarts}x", style="yellow")
        if team.total is not None:
            line.append(" ").append(f"(one_for_one, budget {CRASHES_PER_FILE * team.total})", style="dim")
        branch = tree.add(line)
        for number in range(1, min(team.size, REVIEWERS_SHOWN) + 1):
            branch.add(self._reviewer(f"reviewer-{number}"))
        if team.size > REVIEWERS_SHOWN:
            branch.add(Text(f"and {team.size - REVIEWERS_SHOWN} more", style="dim"))
        return Group(self._progress(seconds), tree)

    def _progress(self, seconds: float) -> Table:
        team = self._team
        row: list[Text | ProgressBar] = [Text("reviewing", no_wrap=True)]
        if self._console.width >= NARROW:
            row.append(
                ProgressBar(total=team.total, completed=team.finished, width=30, pulse=team.total is None)
            )
        row.append(Text(f"{team.finished}/{'?' if team.total is None else team.total}", no_wrap=True))
        row.append(Text(_rate(team.finished, seconds), style="bold cyan", no_wrap=True))
        if self._console.width >= NARROW:
            row.append(Text(f"{int(seconds // 60)}:{int(seconds % 60):02d}", style="dim", no_wrap=True))
        table = Table.grid(padding=(0, 1))
        table.add_row(*row)
        return table

    def _reviewer(self, name: str) -> Text:
        line = Text(name, style="bold", no_wrap=True, overflow="ellipsis")
        if restarts := self._team.restarts[name]:
            word = "restarted " if self._console.width >= NARROW else ""
            line.append(" ").append(f"{word}{restarts}x", style="not bold yellow")
        if self._team.finished != self._team.total and (file := self._team.working.get(name)):
            line.append("  ").append(printable(file), style="not bold dim")
        return line

    def _announce(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(Text(printable(text)))


async def _is_told_to_end(seconds: float) -> bool:
    try:
        await receive(timeout=seconds)
    except TimeoutError:
        return False
    return True


async def _end(screen: Pid) -> None:
    gone = monitor_process(screen)
    send(screen, "over")
    await receive(lambda message: getattr(message, "ref", None) is gone)


def _rate(files: int, seconds: float) -> str:
    return f"{files / seconds:.0f} files/s" if seconds > 0 else ""


def _counted(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"
