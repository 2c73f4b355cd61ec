"""A suite and runs of it that were never measured."""

from __future__ import annotations

from benchmarks._results import FORMAT, Outcome, Run, SubjectInfo, samples_of
from benchmarks._suite import Figure, Measure, Subject, Suite

__all__ = ("SUITE", "outcome", "run_of")

SUITE = Suite(
    name="kernel",
    title="Invented",
    intro="None of it was measured.",
    measures=(
        Measure(name="call_idle", title="Call", definition="One calls.", size=1_000, quick_size=10),
        Measure(
            name="million",
            title="Very many",
            definition="Very many are started.",
            figures=(
                Figure(name="seconds", title="time", unit="s"),
                Figure(name="bytes", title="memory", unit="MB"),
            ),
            size=1_000_000,
            quick_size=10,
        ),
    ),
    subjects=(
        Subject(name="mabeam", title="mabeam", module="nowhere"),
        Subject(name="erlang", title="Erlang/OTP", module="nowhere", absent={"million": "it was not asked"}),
    ),
    reference="erlang",
)


def outcome(size: int = 1_000, **figures: list[float]) -> Outcome:
    """An outcome with these samples."""
    return Outcome(
        figures={name: samples_of(values) for name, values in figures.items()},
        size=size,
        repetitions=1,
        notes=[],
        gc={},
        load=0.5,
        others=0.1,
    )


def run_of(**measures: dict[str, Outcome]) -> Run:
    """A run with these outcomes."""
    return Run(
        format=FORMAT,
        suite="kernel",
        quick=False,
        when="2026-01-01 00:00 UTC",
        machine={"processor": "abacus"},
        subjects={each.name: SubjectInfo(title=each.title) for each in SUITE.subjects},
        measures=measures,
        budgets=[],
    )
