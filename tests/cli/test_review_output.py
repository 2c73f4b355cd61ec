"""Where the report goes: files, links, devices, pipes, closed streams, and a full disk."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.cli._run import DROPPED, run, run_here, shell

Capture = pytest.CaptureFixture[str]


def test_a_dash_is_standard_output(project: Path, capfd: Capture) -> None:
    done = run_here("review", "good", "--format", "json", "--output", "-", capture=capfd)
    assert json.loads(done.out)["summary"]["files"] == 1
    assert not (project / "-").exists()


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(project: Path) -> None:
    (project / "empty").chmod(0o500)
    done = run("review", "good", "--output", "empty/report", cwd=project, privileged=False)
    assert done.code == 2
    assert "cannot be written to" in done.err
    assert "reviewing" not in done.err


def test_an_output_that_is_read_only_is_left_as_it_is(project: Path) -> None:
    """It could be replaced all the same: the folder decides about that. But somebody has said no."""
    (project / "report").write_text("old")
    (project / "report").chmod(0o400)
    done = run("review", "good", "--output", "report", cwd=project, privileged=False)
    assert done.code == 2
    assert "it is read-only" in done.err
    assert (project / "report").read_text() == "old"


def test_an_output_is_replaced_and_keeps_its_permissions(project: Path, capfd: Capture) -> None:
    report = project / "report"
    report.write_text("old")
    report.chmod(0o640)
    assert run_here("review", "good", "--output", "report", capture=capfd).code == 0
    assert "1 file" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o640
    assert sorted(path.name for path in project.iterdir() if path.is_file()) == ["report"]


def test_a_new_output_has_the_permissions_of_any_new_file(project: Path) -> None:
    done = shell("umask 027; mabeam review good --output report", project)
    assert done.code == 0
    assert stat.S_IMODE((project / "report").stat().st_mode) == 0o640


def test_an_output_that_is_a_link_stays_one(project: Path, capfd: Capture) -> None:
    (project / "report").symlink_to("empty/real")
    assert run_here("review", "good", "--output", "report", capture=capfd).code == 0
    assert (project / "report").is_symlink()
    assert "1 file" in (project / "empty" / "real").read_text()


def test_an_output_that_is_a_device_or_pipe_is_written_to(project: Path) -> None:
    """And not replaced by a file: nobody wants to lose /dev/null."""
    done = shell(
        "mkfifo pipe; cat pipe & mabeam review good --output pipe; code=$?; wait; exit $code", project
    )
    assert done.code == 0
    assert done.out.startswith("1 file")
    assert stat.S_ISFIFO((project / "pipe").stat().st_mode)
    assert run("review", "good", "--output", os.devnull, cwd=project).code == 0
    assert not Path(os.devnull).is_file()


# ------------------------------------------------------------------------------------------------- streams


def test_a_reader_that_has_enough_is_no_error(project: Path) -> None:
    """`| head`: 300 files with findings are more than a pipe holds."""
    for number in range(300):
        (project / "bad" / f"b{number}.py").write_text(DROPPED)
    done = shell("mabeam review bad --fail-on never | head -n 1", project)
    assert done.code == 0, done
    assert done.out.count("\n") == 1
    assert "Traceback" not in done.err
    assert "Exception" not in done.err


def test_nobody_reading_the_progress_is_no_error(project: Path) -> None:
    done = shell("mabeam review . --chaos 1 --output report 2>&1 | true; cat report", project)
    assert "1 finding" in done.out


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(project: Path, closed: str) -> None:
    done = shell(f"mabeam review bad {closed}", project)
    assert done.code == 1, done
    assert "Traceback" not in done.err
    if ">&-" not in closed.replace("2>&-", ""):
        assert "1 finding" in done.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("where", [">/dev/full", "--output /dev/full"])
def test_a_full_disk_is_said(project: Path, where: str) -> None:
    done = shell(f"mabeam review bad {where}", project)
    assert done.code == 2
    assert "cannot write the report to" in done.err
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
