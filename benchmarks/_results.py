"""What a run comes to, as JSON: its shape, its arithmetic, and how it is written down."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "FORMAT",
    "KEPT",
    "Outcome",
    "Run",
    "Samples",
    "SubjectInfo",
    "dumps",
    "kept",
    "loads",
    "samples_of",
)

#: Grows when the shape below changes.
FORMAT: Final = 1
#: Where the runs are kept that the page of figures is made from.
KEPT: Final = Path(__file__).with_name("results")


class Samples(TypedDict):
    """One figure of one subject: seconds, bytes or events per second."""

    samples: list[float]
    minimum: float
    median: float


class Outcome(TypedDict, total=False):
    """What came of one measure of one subject: figures, or the reason why there are none."""

    figures: dict[str, Samples]
    size: int
    repetitions: int
    notes: list[str]
    gc: dict[str, Any]
    load: float
    others: float
    absent: str
    missing: str
    failed: str


class SubjectInfo(TypedDict, total=False):
    """A subject as it was measured."""

    title: str
    version: str
    missing: str


class Run(TypedDict):
    """One run of a suite on one machine."""

    format: int
    suite: str
    quick: bool
    when: str
    machine: dict[str, str]
    subjects: dict[str, SubjectInfo]
    measures: dict[str, dict[str, Outcome]]
    budgets: list[dict[str, Any]]


def samples_of(values: Iterable[float]) -> Samples:
    """Samples with what they come to. The minimum is what the code takes, the median what this machine gave it."""
    rounded = [float(f"{value:.5g}") for value in values]
    return Samples(samples=rounded, minimum=min(rounded), median=statistics.median(rounded))


def dumps(run: Run) -> str:
    """A run as JSON, a line for each outcome, so that two runs can be compared line by line."""
    whole: dict[str, Any] = {**run}
    lines = ["{"]
    lines += [
        f" {json.dumps(key)}: {json.dumps(whole[key])}," for key in ("format", "suite", "quick", "when")
    ]
    for key in ("machine", "subjects"):
        lines.append(f" {json.dumps(key)}: {{")
        lines.append(
            ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in whole[key].items())
        )
        lines.append(" },")
    lines.append(' "measures": {')
    measures = []
    for name, outcomes in run["measures"].items():
        inner = ",\n".join(f"   {json.dumps(each)}: {json.dumps(got)}" for each, got in outcomes.items())
        measures.append(f"  {json.dumps(name)}: {{\n{inner}\n  }}")
    lines.append(",\n".join(measures))
    lines.append(" },")
    lines.append(' "budgets": [')
    lines.append(",\n".join(f"  {json.dumps(each)}" for each in run["budgets"]))
    lines.append(" ]")
    lines.append("}")
    return "\n".join(lines) + "\n"


def loads(text: str) -> Run:
    """A run from its JSON.

    Raises:
        ValueError: it was written by another version of this program.
    """
    run: Run = json.loads(text)
    if run.get("format") != FORMAT:
        raise ValueError(f"expected results of format {FORMAT}, got {run.get('format')!r}; measure again")
    return run


def kept() -> list[Run]:
    """The runs that are kept, by the name of their suite."""
    return [loads(path.read_text(encoding="utf-8")) for path in sorted(KEPT.glob("*.json"))]
