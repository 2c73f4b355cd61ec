"""SIGINT and SIGTERM while the command is still being imported, and when it is done already."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli._run import MABEAM, environment

#: Runs the installed command in an OS process that gets a signal when it begins to import a certain module.
AT_IMPORT = """
import os, runpy, sys

number, moment, script, *args = sys.argv[1:]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Finder())
sys.argv = [script, *args]
runpy.run_path(script, run_name="__main__")
"""

#: The same when the report is written, and only the last line is left to say.
AT_THE_END = """
import os, sys
from mabeam.cli import _review, main
number = int(sys.argv.pop(1))
_review.last_line = lambda outcome: os.kill(os.getpid(), number)
main()
"""

BOTH = pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a file that has nothing to find."""
    (tmp_path / "good.py").write_text("x = 1\n")
    return tmp_path


def run(
    *args: str, cwd: Path, preexec_fn: Callable[[], object] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", *args],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        preexec_fn=preexec_fn,
    )


@BOTH
@pytest.mark.parametrize(
    "moment",
    ["mabeam.cli._main", "typer", "mabeam.review", "mabeam.kernel", "mabeam.cli._review_view", "rich.live"],
)
def test_a_signal_during_the_imports_ends_it_with_a_line(
    project: Path, number: signal.Signals, code: int, word: str, moment: str
) -> None:
    done = run(AT_IMPORT, str(int(number)), moment, MABEAM, "review", ".", cwd=project)
    assert done.returncode == code, done
    assert done.stderr == f"mabeam: {word}\n"
    assert done.stdout == ""


@BOTH
def test_a_signal_when_all_is_done_ends_it_with_a_line(
    project: Path, number: signal.Signals, code: int, word: str
) -> None:
    done = run(AT_THE_END, str(int(number)), "review", ".", cwd=project)
    assert done.returncode == code, done
    assert done.stderr.splitlines()[-1] == f"mabeam: {word}"
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("1 file, 0 findings")


def test_a_signal_that_is_to_be_ignored_is_ignored(project: Path) -> None:
    """`nohup`, and shells that start something in the background, ask for that."""
    done = run(
        AT_IMPORT,
        str(int(signal.SIGINT)),
        "typer",
        MABEAM,
        "review",
        ".",
        cwd=project,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0, done


@BOTH
def test_nobody_reading_is_no_error(project: Path, number: signal.Signals, code: int, word: str) -> None:
    done = run(
        AT_IMPORT,
        str(int(number)),
        "typer",
        MABEAM,
        "review",
        ".",
        cwd=project,
        preexec_fn=lambda: os.close(2),
    )
    assert done.returncode == code
