"""The page of figures, and the tables on the terminal: Markdown, which reads well in both places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks._suite import UNITS, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._results import Outcome, Run, Samples
    from benchmarks._suite import Figure, Measure, Suite

__all__ = ("PAGE", "budget_table", "measure_table", "page")

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference" / "performance.md"

_HEAD: Final = """\
<!-- Made by `python -m benchmarks`; do not edit. -->
# Performance

What mabeam's parts cost, beside Erlang/OTP and the Python libraries that do something alike: all in one run, on one machine,
one after the other in turns. Take the ratios with you; the absolute figures hold on this machine only.

```sh
make bench                                # installs the peers into .venv and runs everything
.venv/bin/python -m benchmarks kernel --quick --only call_idle
```

Each figure comes from several OS processes of its own, each with a round that warms up and several that count; between two
rounds of one subject come those of all the others. *min* is the best round: what the code takes when nobody disturbs it.
*median* is what this machine gave it; *processor* is the time that cores worked for it, a mean over all rounds of the OS process
that needed least. Where they are far apart, or *others* says that cores were busy with something else, the machine was noisy,
and a budget is *met* or *missed* only where all of them agree. The garbage collector is on throughout. Every run counts what it did (each call answered, each child stopped), and a miscount voids the figure.

No speed is bought with semantics: what is measured is what everybody gets, with all checks on.
"""


def page(runs: Sequence[Run]) -> str:
    """The whole page, from the runs that are kept."""
    parts = [_HEAD]
    for run in runs:
        suite = load(run["suite"])
        parts.append(f"## {suite.title}\n\n{suite.intro}\n")
        parts.append(_about(run))
        if run["budgets"]:
            parts.append(f"### Budgets\n\n{budget_table(run)}\n")
        parts += [
            f"### {measure.title}\n\n{measure.definition}\n\n{measure_table(suite, run, measure)}\n"
            for measure in suite.measures
            if measure.name in run["measures"]
        ]
        parts.append(_not_measured(suite, run))
    return "\n".join(part for part in parts if part)


def _about(run: Run) -> str:
    rows = [("taken", run["when"] + (", quick: small sizes, not for comparing" if run["quick"] else ""))]
    rows += list(run["machine"].items())
    rows += [
        (info["title"], info.get("version") or info.get("missing", "of this Python"))
        for info in run["subjects"].values()
    ]
    rows += list(_collectors(run).items())
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows) + "\n"


def _collectors(run: Run) -> dict[str, str]:
    """The garbage collector of subjects that have set it in a way of their own, as it was in their last measure."""
    found: dict[str, str] = {}
    for outcomes in run["measures"].values():
        for name, outcome in outcomes.items():
            state = outcome.get("gc")
            if state and str(tuple(state["thresholds"])) not in run["machine"].get("garbage collector", ""):
                text = f"thresholds {tuple(state['thresholds'])}, {state['frozen']:,} objects frozen"
                found[f"garbage collector of {run['subjects'][name]['title']}"] = text
    return found


def budget_table(run: Run) -> str:
    """What was promised, and whether it is kept."""
    lines = ["| what | budget | min | median | processor | |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {each['what']} | {each['limit']} | {each['by_minimum']} | {each['by_median']} | {each['by_cpu']} "
        f"| {each['word']} |"
        for each in run["budgets"]
    ]
    return "\n".join(lines)


def measure_table(suite: Suite, run: Run, measure: Measure) -> str:
    """One measure: a line for each subject that has figures, and one for each that failed."""
    outcomes = run["measures"][measure.name]
    reference = outcomes.get(suite.reference, {})
    single = len(measure.figures) == 1
    timed = single and any("cpu" in each.get("figures", {}) for each in outcomes.values())
    heads = ["", "size"]
    for figure in measure.figures:
        heads += [f"min, {figure.unit}", "median"] if single else [f"{figure.title}, {figure.unit}"]
    heads += ["processor"] if timed else []
    if single and suite.reference in outcomes:
        heads += [f"x {_title(suite, suite.reference)}", *(["processor x"] if timed else [])]
    heads += ["others", ""]
    lines = [f"| {' | '.join(heads)} |", "| " + " | ".join("---" for _ in heads) + " |"]
    for name, outcome in outcomes.items():
        if "figures" in outcome:
            cells = [_title(suite, name), f"{outcome['size']:,}"]
            for figure in measure.figures:
                cells += _cells(figure, outcome, single=single)
            cells += [_minimum("cpu", measure.figures[0], outcome)] if timed else []
            if single and suite.reference in outcomes:
                names = [measure.figures[0].name, *(["cpu"] if timed else [])]
                cells += [_ratio(each, outcome, reference) for each in names]
            cells += [f"{outcome['others']:.1f}", "; ".join(outcome["notes"])]
            lines.append(f"| {' | '.join(cells)} |")
        elif "failed" in outcome:
            reason = " ".join(outcome["failed"].split())[:200].replace("|", "/")
            lines.append(f"| {_title(suite, name)} | failed: {reason} |" + " |" * (len(heads) - 2))
    return "\n".join(lines)


def _title(suite: Suite, name: str) -> str:
    return suite.subject(name).title


def _cells(figure: Figure, outcome: Outcome, *, single: bool) -> list[str]:
    samples = outcome["figures"].get(figure.name)
    if samples is None:
        return ["", ""] if single else [""]
    if single:
        return [_shown(samples["minimum"], figure), _shown(samples["median"], figure)]
    if len(samples["samples"]) == 1:
        return [_shown(samples["median"], figure)]
    return [f"{_shown(samples['minimum'], figure)} / {_shown(samples['median'], figure)}"]


def _minimum(name: str, figure: Figure, outcome: Outcome) -> str:
    samples = outcome["figures"].get(name)
    return "" if samples is None else _shown(samples["minimum"], figure)


def _ratio(name: str, outcome: Outcome, reference: Outcome) -> str:
    own: Samples | None = outcome["figures"].get(name)
    other: Samples | None = reference.get("figures", {}).get(name)
    if own is None or other is None:
        return ""
    return _number(own["minimum"] / other["minimum"])


def _shown(value: float, figure: Figure) -> str:
    """Three digits that count, and no powers of ten."""
    scaled = value * UNITS[figure.unit]
    return _number(scaled)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _not_measured(suite: Suite, run: Run) -> str:
    """Who has no figure in what, and why: a figure that would mean something else is worse than none."""
    lines = []
    for subject in suite.subjects:
        reasons: dict[str, list[str]] = {}
        for name, outcomes in run["measures"].items():
            outcome = outcomes.get(subject.name, {})
            if "absent" in outcome:
                reasons.setdefault(outcome["absent"], []).append(suite.measure(name).title.lower())
        for reason, titles in reasons.items():
            lines.append(f"| {subject.title} | {', '.join(titles)} | {reason} |")
    if not lines:
        return ""
    head = "### Not measured\n\n| subject | measure | because |\n| --- | --- | --- |\n"
    return head + "\n".join(lines) + "\n"
