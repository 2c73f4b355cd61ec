"""``mabeam review``: exit codes, errors, signals, and names that are hard to write."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli._run import DROPPED, HANGING, environment, run, run_here

Capture = pytest.CaptureFixture[str]

# ------------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["good"], 0),
        (["empty"], 0),
        (["bad"], 1),
        (["bad", "--fail-on", "critical"], 0),
        (["bad", "--fail-on", "major"], 1),
        (["bad", "--fail-on", "never"], 0),
        (["bad", "--ignore", "MB101"], 0),
        (["bad", "--select", "MB102,MB0"], 0),
        (["broken"], 1),
        (["broken", "--fail-on", "critical"], 1),
        (["broken", "--fail-on", "never"], 0),
        (["good", "--chaos", "1"], 0),
        (["good/good.py", "bad/bad.py"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_exit_code_says_what_was_found(project: Path, capfd: Capture, args: list[str], code: int) -> None:
    done = run_here("review", *args, capture=capfd)
    assert done.code == code, done
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "PATH"),
        (["nowhere"], "no such file or directory: nowhere"),
        (["good", "nowhere", "neither"], "no such file or directory: nowhere, neither"),
        (["good/good.py/below"], "no such file or directory"),
        (["good/good.py/"], "no such file or directory: good/good.py/"),
        ([""], "no such file or directory: ''"),
        (["dangling"], "no such file or directory: dangling"),
        (["good", "--select", "MB999"], "MB999"),
        (["good", "--ignore", "MB"], "leave no rule"),
        (["good", "--workers", "0"], "--workers"),
        (["good", "--workers", "many"], "--workers"),
        (["good", "--chaos", "1.5"], "--chaos"),
        (["good", "--chaos", "nan"], "--chaos"),
        (["good", "--format", "xml"], "--format"),
        (["good", "--fail-on", "always"], "--fail-on"),
        (["good", "--unknown"], "--unknown"),
        (["good", "--output", "bad"], "it is a directory"),
        (["good", "--output", "nowhere/report"], "there is no directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_is_2_and_nothing_is_reviewed(
    project: Path, capfd: Capture, args: list[str], says: str
) -> None:
    (project / "dangling").symlink_to("nowhere")
    done = run_here("review", *args, capture=capfd)
    assert done.code == 2, done
    assert says in done.err
    assert "reviewing" not in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_what_may_not_be_read_is_reported(project: Path) -> None:
    (project / "bad" / "bad.py").chmod(0)
    (project / "good").chmod(0)
    done = run("review", ".", "--format", "json", cwd=project, privileged=False)
    assert done.code == 1
    errors = {error["file"]: error["kind"] for error in json.loads(done.out)["errors"]}
    assert errors == {"bad/bad.py": "unreadable", "broken/broken.py": "unparsable", "good": "unreadable"}
    (project / "good").chmod(0o700)


def test_a_folder_that_may_only_be_read_is_reviewed(project: Path) -> None:
    (project / "bad").chmod(0o500)
    assert run("review", ".", cwd=project / "bad").code == 1
    (project / "bad").chmod(0o700)


def test_a_file_that_is_given_up_is_1_unless_never(project: Path) -> None:
    broken = HANGING.replace("threading.Event().wait()", "1 / 0")
    for fail_on, code in (("critical", 1), ("never", 0)):
        command = [sys.executable, "-c", broken, "review", "good", "--fail-on", fail_on]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == code
        assert "good/good.py: not reviewed (given up)" in done.stdout
        assert "ZeroDivisionError: division by zero" in done.stdout
        assert "good/good.py is given up" in done.stderr
        assert "survived 3 crashes; 1 of 1 file accounted for, 1 given up" in done.stderr
        assert "Traceback" not in done.stderr


def test_verbose_shows_the_tracebacks(project: Path) -> None:
    broken = HANGING.replace("threading.Event().wait()", "1 / 0")
    command = [sys.executable, "-c", broken, "review", "good", "--verbose"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=50)
    assert done.stderr.count("Traceback") == 3


def test_a_fault_of_ours_is_loud(project: Path) -> None:
    """The collector crashes: no report, the traceback, and a request to report it."""
    broken = HANGING.replace("_team", "_books").replace("analyse_file", "make_report")
    broken = broken.replace("threading.Event().wait()", "1 / 0")
    command = [sys.executable, "-c", broken, "review", "good", "--fail-on", "never"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "fault of mabeam" in done.stderr
    assert "ZeroDivisionError" in done.stderr


# ------------------------------------------------------------------------------------------------- the report


@pytest.mark.parametrize("report_format", ["text", "markdown", "json"])
def test_only_the_report_is_on_standard_output(project: Path, capfd: Capture, report_format: str) -> None:
    args = ["review", ".", "--format", report_format]
    done = run_here(*args, capture=capfd)
    to_file = run_here(*args, "--output", "report", capture=capfd)
    assert to_file.out == ""
    assert (project / "report").read_text() == done.out
    assert "MB101" in done.out
    assert "reviewers" not in done.out
    assert "reviewing 3 files with" in done.err
    assert "3 of 3 files accounted for, nothing was lost" in done.err
    if report_format == "json":
        assert json.loads(done.out)["summary"]["files"] == 3


@pytest.mark.parametrize("report_format", ["text", "markdown", "json"])
def test_runs_with_chaos_and_other_numbers_of_reviewers_give_the_same_bytes(
    project: Path, capfd: Capture, report_format: str
) -> None:
    args = ["review", ".", "--format", report_format]
    first = run_here(*args, capture=capfd)
    for more in (["--chaos", "0.2"], ["--chaos", "1"], ["--workers", "1"], ["--workers", "256"]):
        again = run_here(*args, *more, capture=capfd)
        assert (again.out, again.code) == (first.out, first.code)
    assert (
        "survived 3 injected crashes; 3 of 3 files accounted for, nothing was lost"
        in run_here(*args, "--chaos", "1", capture=capfd).err
    )


def test_what_is_no_file_is_reported_and_not_opened(project: Path, capfd: Capture) -> None:
    """A pipe would wait for its writer for ever."""
    os.mkfifo(project / "good" / "pipe.py")
    (project / "good" / "gone.py").symlink_to("nowhere")
    (project / "good" / "zero.py").symlink_to("/dev/zero")
    done = run_here("review", "good", "--format", "json", capture=capfd)
    assert done.code == 1
    assert {error["file"]: error["message"] for error in json.loads(done.out)["errors"]} == {
        "good/gone.py": "no such file or directory",
        "good/pipe.py": "not a regular file",
        "good/zero.py": "not a regular file",
    }


# ------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_in_the_middle_ends_it_without_a_report(
    project: Path, number: signal.Signals, code: int, word: str, times: int
) -> None:
    (project / "report").write_text("old")
    command = [sys.executable, "-c", HANGING, "review", ".", "--output", "report"]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        assert "reviewing" in process.stderr.readline()
        for _ in range(times):
            process.send_signal(number)
        out, err = process.communicate(timeout=50)
    assert process.returncode == code
    assert out == ""
    assert err == f"mabeam review: {word}, there is no report\n"
    assert (project / "report").read_text() == "old"
    assert sorted(path.name for path in project.iterdir() if path.is_file()) == ["report"]


# ------------------------------------------------------------------------------------------------- names and places


def _c_locale() -> dict[str, str]:
    return environment(LC_ALL="C", LANG="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")


def test_names_that_are_no_text_survive_the_plainest_locale(project: Path) -> None:
    name = b"n\xff\x1b[31m.py"
    try:
        (project / "empty" / os.fsdecode(name)).write_text(DROPPED)
    except OSError:
        pytest.skip("this file system takes only names that are text")
    for path, report_format in ((b"empty", "text"), (b"empty/" + name, "markdown"), (b"empty", "json")):
        done = run("review", path, "--format", report_format, cwd=project, env=_c_locale())
        assert done.code == 1, done
        assert "\x1b" not in done.out + done.err
        assert "Traceback" not in done.err
    missing = run("review", name, cwd=project, env=_c_locale())
    assert missing.code == 2
    assert "\x1b" not in missing.err


def test_a_finding_in_any_script_can_be_printed_in_the_plainest_locale(project: Path) -> None:
    (project / "empty" / "é.py").write_text(DROPPED.replace("def f", "def čtení").replace("f()", "čtení()"))
    done = run("review", ".", cwd=project / "empty", env=_c_locale())
    assert "čtení" in done.out


def test_a_folder_of_many_files(project: Path, capfd: Capture) -> None:
    for folder in range(50):
        (project / "empty" / f"f{folder}").mkdir()
        for number in range(100):
            (project / "empty" / f"f{folder}" / f"m{number}.py").touch()
    done = run_here("review", "empty", "--chaos", "0.2", "--format", "json", capture=capfd)
    assert done.code == 0
    assert json.loads(done.out)["summary"]["files"] == 5000


def test_loops_of_links_end(project: Path, capfd: Capture) -> None:
    (project / "good" / "up").symlink_to("..")
    (project / "good" / "self.py").symlink_to("self.py")
    (project / "good" / "there").symlink_to("back")
    (project / "good" / "back").symlink_to("there")
    done = run_here("review", "good", capture=capfd)
    assert "2 files," in done.out
    assert "good/self.py: not reviewed (unreadable): too many levels of symbolic links" in done.out
    assert done.code == 1


# ------------------------------------------------------------------------------------------------- the command itself


def test_the_version_is_shown(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert done.code == 0
    assert done.out.startswith("mabeam ")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_names_every_option_and_exit_code(tmp_path: Path, option: str) -> None:
    done = run("review", option, cwd=tmp_path, env=environment(COLUMNS="120", TERM="dumb"))
    assert done.code == 0
    options = (
        "--format",
        "--output",
        "--workers",
        "--select",
        "--ignore",
        "--fail-on",
        "--chaos",
        "--verbose",
    )
    for word in (*options, "PATH", "Exit code 0", "critical|major|minor|never"):
        assert word in done.out, word
