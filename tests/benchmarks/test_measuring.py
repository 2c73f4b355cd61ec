"""The harness runs from end to end, with tiny sizes; nothing here looks at how long anything took."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import main
from benchmarks._measure import Plan, run_suite, together
from benchmarks._results import loads
from benchmarks._suite import load
from tests.meta import _project

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = load("kernel")
RESILIENCE = load("resilience")


def _worker(request: dict[str, object], folder: Path, *, suite: str = "kernel") -> dict[str, object]:
    result = folder / "result.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks._worker", json.dumps({"suite": suite, **request}), str(result)],
        cwd=_project.ROOT,
        check=True,
        capture_output=True,
        timeout=50,
    )
    got: dict[str, object] = json.loads(result.read_text(encoding="utf-8"))
    return got


@pytest.mark.parametrize("measure", KERNEL.measures, ids=lambda measure: measure.name)
def test_mabeam_does_what_each_measure_says(measure: object, tmp_path: Path) -> None:
    """Each counts what it did, and fails if that is not what it should have done."""
    assert isinstance(measure, type(KERNEL.measures[0]))
    size = 1_000 if measure.name in {"call_queued", "memory_idle"} else 20
    request = {"subject": "mabeam", "measure": measure.name, "size": size, "rounds": min(1, measure.rounds)}
    got = _worker(request, tmp_path)
    assert "failed" not in got, got
    figures = got["figures"]
    assert isinstance(figures, dict)
    assert set(figures) - {"cpu"} == {each.name for each in measure.figures}


@pytest.mark.parametrize("subject", RESILIENCE.subjects, ids=lambda subject: subject.name)
@pytest.mark.parametrize("measure", RESILIENCE.measures, ids=lambda measure: measure.name)
def test_each_does_what_a_measure_of_resilience_says(
    measure: object, subject: object, tmp_path: Path
) -> None:
    """The same, and the peers as well, where they are installed."""
    assert isinstance(measure, type(RESILIENCE.measures[0]))
    assert isinstance(subject, type(RESILIENCE.subjects[0]))
    if measure.name in subject.absent:
        assert subject.absent[measure.name]
        return
    missing = subject.missing()
    if missing is not None:
        pytest.skip(missing)
    size = 5_000 if measure.name == "limiter_keys" else 1_000
    request = {
        "subject": subject.name,
        "measure": measure.name,
        "size": size,
        "rounds": min(1, measure.rounds),
    }
    got = _worker(request, tmp_path, suite="resilience")
    assert "failed" not in got, got
    figures = got["figures"]
    assert isinstance(figures, dict)
    assert set(figures) - {"cpu"} == {each.name for each in measure.figures}


@pytest.mark.parametrize("subject", ["erlang", "asyncio-standard-loop", "pykka", "fauxtp"])
def test_a_peer_is_called(subject: str, tmp_path: Path) -> None:
    missing = KERNEL.subject(subject).missing()
    if missing is not None:
        pytest.skip(missing)
    got = _worker({"subject": subject, "measure": "call_idle", "size": 20, "rounds": 2}, tmp_path)
    figures = got["figures"]
    assert isinstance(figures, dict)
    assert len(figures["value"]) == 2


def test_a_measure_that_fails_says_so(tmp_path: Path) -> None:
    """The run goes on with the others, and ends with 1."""
    got = _worker({"subject": "mabeam", "measure": "no such measure", "size": 1, "rounds": 1}, tmp_path)
    assert "no such measure" in str(got["failed"])


def test_a_figure_that_not_every_os_process_could_tell_is_left_out_and_the_others_stay() -> None:
    """Erlang's processor time of a short round, say. It used to end the run, and what had been measured was lost."""
    rest = {"notes": [], "gc": {}, "load": 0.1, "others": 0.0}
    results = [
        {"figures": {"value": [1.0, 2.0], "cpu": [0.9, 1.9]}, **rest},
        {"figures": {"value": [3.0]}, **rest},
    ]
    outcome = together(10, results)
    assert outcome["figures"].keys() == {"value"}
    assert outcome["figures"]["value"]["samples"] == [1.0, 2.0, 3.0]


def test_a_run_has_figures_reasons_and_verdicts(tmp_path: Path) -> None:
    shown: list[str] = []
    begun: list[str] = []
    plan = Plan(
        quick=True,
        measures=["call_idle", "call_thread"],
        subjects=["mabeam", "erlang"],
        directory=tmp_path,
    )
    run = run_suite(
        KERNEL, plan, show=lambda _suite, _run, measure: shown.append(measure.name), progress=begun.append
    )
    assert shown == ["call_idle", "call_thread"]
    assert "call_thread 1/1 mabeam" in begun
    assert "figures" in run["measures"]["call_idle"]["mabeam"]
    assert run["measures"]["call_idle"]["mabeam"]["size"] == KERNEL.measure("call_idle").quick_size
    assert "absent" in run["measures"]["call_thread"]["erlang"]
    verdict = run["budgets"][0]["word"]
    assert (verdict == "not measured") is (shutil.which("erl") is None)


def test_a_run_is_written_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.json"
    arguments = ["kernel", "--quick", "--only", "cast", "--subject", "mabeam", "--json", str(file)]
    assert main(arguments) == 0
    assert "| mabeam | 2,000 |" in capsys.readouterr().out
    assert list(loads(file.read_text(encoding="utf-8"))["measures"]) == ["cast"]
    assert main(["kernel", "--from", str(file)]) == 0


@pytest.mark.parametrize("arguments", [["nothing"], ["kernel", "--only", "x"], ["kernel", "--subject", "x"]])
def test_names_that_are_none_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "x" in capsys.readouterr().err or arguments == ["nothing"]
