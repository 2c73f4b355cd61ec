"""Running a suite: an OS process for each measure of each subject, in turns, so that a noisy minute hits all of them alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks._budget import verdicts
from benchmarks._machine import CpuWatch, describe, version_of
from benchmarks._results import FORMAT, Outcome, Run, SubjectInfo, samples_of
from benchmarks._rounds import clock_overhead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks._suite import Measure, Subject, Suite

__all__ = ("Plan", "run_suite", "together")

ROOT: Final = Path(__file__).resolve().parents[1]
QUICK_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to run.

    Attributes:
        quick: small sizes and one OS process each: to see that it works, not to compare.
        repetitions: OS processes for each measure of each subject.
        measures: names of the measures; all when empty.
        subjects: names of the subjects; all when empty.
        directory: the folder whose disk is described.
    """

    quick: bool = False
    repetitions: int = 3
    measures: Sequence[str] = ()
    subjects: Sequence[str] = ()
    directory: Path = Path(tempfile.gettempdir())


def run_suite(
    suite: Suite,
    plan: Plan,
    *,
    show: Callable[[Suite, Run, Measure], None],
    progress: Callable[[str], None],
) -> Run:
    """Measure.

    Args:
        suite: what.
        plan: how much of it.
        show: called with each measure as soon as all its figures are there.
        progress: called with a line for each OS process.
    """
    subjects = [each for each in suite.subjects if not plan.subjects or each.name in plan.subjects]
    machine = describe(plan.directory)
    machine["clock"] = f"{clock_overhead() * 1e9:.0f} ns for one look"
    run = Run(
        format=FORMAT,
        suite=suite.name,
        quick=plan.quick,
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=machine,
        subjects={each.name: _info(each) for each in subjects},
        measures={},
        budgets=[],
    )
    for measure in suite.measures:
        if not plan.measures or measure.name in plan.measures:
            run["measures"][measure.name] = _measure(suite, measure, subjects, plan, run, progress)
            show(suite, run, measure)
    run["machine"]["load at the end"] = f"{os.getloadavg()[0]:.2f}"
    run["budgets"] = [each.to_json() for each in verdicts(suite, run)]
    return run


def _info(subject: Subject) -> SubjectInfo:
    info = SubjectInfo(title=subject.title)
    missing = subject.missing()
    if missing is not None:
        info["missing"] = missing
    elif subject.version is not None:
        info["version"] = subject.version()
    elif subject.distribution is not None:
        info["version"] = version_of(subject.distribution) or "?"
    return info


def _measure(
    suite: Suite,
    measure: Measure,
    subjects: Sequence[Subject],
    plan: Plan,
    run: Run,
    progress: Callable[[str], None],
) -> dict[str, Outcome]:
    """One measure of all subjects: each in its turn, again and again, beginning with another one each time."""
    outcomes: dict[str, Outcome] = {}
    present: list[Subject] = []
    for subject in subjects:
        info = run["subjects"][subject.name]
        if measure.name in subject.absent:
            outcomes[subject.name] = Outcome(absent=subject.absent[measure.name])
        elif "missing" in info:
            outcomes[subject.name] = Outcome(missing=info["missing"])
        else:
            outcomes[subject.name] = Outcome()
            present.append(subject)
    collected: dict[str, list[dict[str, Any]]] = {each.name: [] for each in present}
    repetitions = 1 if plan.quick else min(plan.repetitions, measure.repetitions or plan.repetitions)
    for repetition in range(repetitions):
        turn = repetition % len(present) if present else 0
        for subject in [*present[turn:], *present[:turn]]:
            if repetition < (subject.repetitions or repetitions):
                progress(f"{measure.name} {repetition + 1}/{repetitions} {subject.name}")
                collected[subject.name].append(_in_own_process(suite, measure, subject, quick=plan.quick))
    for subject in present:
        size = subject.size_of(measure, quick=plan.quick)
        outcomes[subject.name] = together(size, collected[subject.name])
    return outcomes


def together(size: int, results: list[dict[str, Any]]) -> Outcome:
    """The results of all OS processes of one subject. One that failed voids them all: it was the same code."""
    for result in results:
        if "failed" in result:
            return Outcome(size=size, failed=result["failed"])
    # The processor time may be too short to be told in one OS process, and not in another.
    names = [name for name in results[0]["figures"] if all(name in each["figures"] for each in results)]
    return Outcome(
        figures={
            name: samples_of(value for each in results for value in each["figures"][name]) for name in names
        },
        size=size,
        repetitions=len(results),
        notes=results[0]["notes"],
        gc=results[0]["gc"],
        load=max(each["load"] for each in results),
        others=round(max(each["others"] for each in results), 2),
    )


def _in_own_process(suite: Suite, measure: Measure, subject: Subject, *, quick: bool) -> dict[str, Any]:
    """Measure in a fresh OS process; what it prints is shown only if it fails."""
    request = {
        "suite": suite.name,
        "subject": subject.name,
        "measure": measure.name,
        "size": subject.size_of(measure, quick=quick),
        "rounds": min(measure.rounds, QUICK_ROUNDS) if quick else measure.rounds,
    }
    with tempfile.TemporaryDirectory() as folder:
        result_path = Path(folder) / "result.json"
        printed_path = Path(folder) / "printed.txt"
        command = [sys.executable, "-m", "benchmarks._worker", json.dumps(request), str(result_path)]
        watch = CpuWatch()
        with printed_path.open("wb") as printed:
            # A session of its own, so that whatever it has started can be ended with it.
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=printed, stderr=printed, start_new_session=True
            )
            try:
                process.wait(measure.timeout)
            except subprocess.TimeoutExpired:
                return {"failed": f"took longer than {measure.timeout:g} s"}
            finally:
                _end(process)
        others = watch.others()
        if not result_path.exists():
            tail = printed_path.read_text(encoding="utf-8", errors="replace")[-2_000:]
            return {"failed": f"ended with {process.returncode} and without a result: {tail}"}
        result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    result["load"] = round(os.getloadavg()[0], 2)
    result["others"] = others or 0.0
    return result


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
