"""The live picture, on a terminal of its own; plain lines where there is none."""

import re
import signal
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mabeam.cli._review_view import TeamView, last_line
from mabeam.review import ErrorKind, FileError, Order, Outcome, make_report
from tests.cli._run import DROPPED, HANGING, MABEAM, Terminal, run

SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """30 files, ten of them with a finding."""
    for number in range(30):
        (tmp_path / f"m{number:02}.py").write_text(DROPPED if number % 3 == 0 else "x = 1\n")
    return tmp_path


def plain(text: str) -> str:
    """What was shown, without colours and moves of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_terminal_shows_progress_the_tree_its_restarts_and_the_rate(project: Path, columns: int) -> None:
    terminal = Terminal(
        [MABEAM, "review", ".", "--chaos", "1", "--workers", "3", "--fail-on", "never"],
        cwd=project,
        columns=columns,
    )
    assert terminal.finish() == 0
    shown = plain(terminal.seen)
    assert "30/30" in shown
    assert "team (one_for_all)" in shown
    for member in ("lister", "collector", "reviewers", "reviewer-1", "reviewer-3"):
        assert member in shown
    assert "Traceback" not in shown
    if columns >= 40:
        assert re.search(r"\d+ files/s", shown)
        assert re.search(r"reviewer-1 (restarted )?\d+x", shown)
        assert "reviewers restarted 30x" in shown
    assert terminal.seen.rindex(SHOW_CURSOR) < terminal.seen.index(
        "MB101"
    )  # the report comes after the picture
    assert "survived 30 injected crashes; 30 of 30 files accounted for, nothing was lost" in shown


def test_no_line_of_the_picture_is_wider_than_the_terminal(project: Path) -> None:
    (project / f"{'very' * 30}_long.py").write_text("x = 1\n")
    for columns in (20, 50, 80):
        screen = StringIO()
        console = Console(file=screen, width=columns, force_terminal=True)
        view = TeamView(Order(paths=["."], codes=frozenset(), workers=30), console=console)
        view.handle("review.files_listed", {"files": 1000}, {})
        for number in range(1, 31):
            data = {"reviewer": f"reviewer-{number}", "file": "very" * 30, "reason": "it broke"}
            view.handle("review.file_started", {"attempt": 1}, data)
            view.handle("review.crash_injected", {}, data)
            view.handle("review.reviewer_crashed", {"attempt": 1}, data)
            view.handle("review.file_started", {"attempt": 2}, data)
        console.print(view.picture(2.0))
        lines = plain(screen.getvalue()).splitlines()
        assert max(map(len, lines)) <= columns
        assert any("and 14 more" in line for line in lines)


def test_names_of_files_cannot_draw(project: Path) -> None:
    screen = StringIO()
    view = TeamView(
        Order(paths=["."], codes=frozenset(), workers=1),
        console=Console(file=screen, width=80, force_terminal=True, color_system=None),
    )
    view.handle("review.files_listed", {"files": 1}, {})
    data = {"reviewer": "reviewer-1", "file": "a\x1b[2J\n[bold]b.py", "reason": "\x1b[2J"}
    view.handle("review.file_started", {"attempt": 1}, data)
    view._console.print(view.picture(1.0))
    view.handle("review.reviewer_crashed", {"attempt": 1}, data)
    view.handle("review.file_given_up", {"attempts": 3}, data)
    view._console.print(view.picture(1.0))
    assert "\x1b[2J" not in screen.getvalue()
    assert r"a\x1b[2J\n[bold]b.py" in screen.getvalue()
    assert "1/1" in screen.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_terminal_in_order(project: Path, number: signal.Signals) -> None:
    terminal = Terminal([sys.executable, "-c", HANGING, "review", "."], cwd=project, columns=80)
    terminal.read_until("0/30")
    terminal.process.send_signal(number)
    assert terminal.finish() == 128 + number
    shown = plain(terminal.seen)
    assert "there is no report" in shown
    assert "Traceback" not in shown
    assert "MB101" not in shown
    assert SHOW_CURSOR in terminal.seen


def test_a_terminal_that_cannot_draw_gets_plain_lines(project: Path) -> None:
    terminal = Terminal([MABEAM, "review", ".", "--fail-on", "never"], cwd=project, columns=80, term="dumb")
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.seen
    assert "reviewing 30 files with" in terminal.seen


def test_without_a_terminal_there_are_plain_lines(project: Path) -> None:
    done = run("review", ".", "--chaos", "1", "--workers", "3", cwd=project)
    assert done.err.splitlines() == [
        "reviewing 30 files with 3 reviewers",
        "reviewers were restarted 30 times",
        "survived 30 injected crashes; 30 of 30 files accounted for, nothing was lost",
    ]


def test_the_last_line_counts_what_was_survived_and_what_was_lost() -> None:
    report = make_report([], [], files=2)
    lost = make_report([], [FileError("a.py", ErrorKind.GIVEN_UP, "it crashed")], files=2)
    unread = make_report([], [FileError("a.py", ErrorKind.UNREADABLE, "no")], files=1)
    assert last_line(Outcome(report=report, injected=0, crashes=0)) == (
        "2 of 2 files accounted for, nothing was lost"
    )
    assert last_line(Outcome(report=unread, injected=1, crashes=0)) == (
        "survived 1 injected crash; 1 of 1 file accounted for, nothing was lost"
    )
    assert last_line(Outcome(report=lost, injected=2, crashes=3)) == (
        "survived 2 injected crashes and 3 other crashes; 2 of 2 files accounted for, 1 given up, as the report says"
    )
