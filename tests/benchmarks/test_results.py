"""Results, verdicts, and the page made from them."""

from __future__ import annotations

import json

import pytest

from benchmarks._budget import verdicts
from benchmarks._report import PAGE, budget_table, measure_table, page
from benchmarks._results import dumps, kept, loads, samples_of
from tests.benchmarks._runs import SUITE, outcome, run_of


def test_samples_come_to_minimum_and_median() -> None:
    got = samples_of([3e-6, 1.23456789e-6, 2e-6])
    assert got == {"samples": [3e-6, 1.2346e-6, 2e-6], "minimum": 1.2346e-6, "median": 2e-6}


def test_a_run_survives_being_written_down() -> None:
    run = run_of(call_idle={"mabeam": outcome(value=[1e-6, 2e-6]), "erlang": {"failed": "it did"}})
    run["budgets"] = [each.to_json() for each in verdicts(SUITE, run)]
    assert loads(dumps(run)) == run


def test_results_of_another_format_are_refused() -> None:
    with pytest.raises(ValueError, match="measure again"):
        loads(json.dumps({"format": 0}))


def _word(mabeam: list[float], erlang: list[float]) -> str:
    run = run_of(call_idle={"mabeam": outcome(value=mabeam), "erlang": outcome(value=erlang)})
    (verdict,) = (each for each in verdicts(SUITE, run) if each.what == "call, idle plain server")
    return verdict.word


def test_a_budget_is_met_or_missed_when_minima_and_medians_agree() -> None:
    assert _word([0.7, 0.7, 0.7], [1.0, 1.0, 1.0]) == "met"
    assert _word([0.9, 0.9, 0.9], [1.0, 1.0, 1.0]) == "missed"
    assert _word([0.7, 2.0, 2.0], [1.0, 1.0, 1.0]) == "unclear"


def test_processor_time_has_a_say() -> None:
    """On a noisy machine it is the one that can be trusted, and where it differs nobody knows."""
    busy = run_of(
        call_idle={
            "mabeam": outcome(value=[0.9, 0.9], cpu=[0.7, 0.7]),
            "erlang": outcome(value=[1.0, 1.0], cpu=[1.0, 1.0]),
        }
    )
    (verdict,) = (each for each in verdicts(SUITE, busy) if each.what == "call, idle plain server")
    assert (verdict.by_minimum, verdict.by_cpu) == ("0.90 x Erlang", "0.70 x Erlang")
    assert verdict.word == "unclear"
    table = measure_table(SUITE, busy, SUITE.measure("call_idle"))
    assert "| mabeam | 1,000 | 900,000 | 900,000 | 700,000 | 0.9 | 0.7 | 0.1 |  |" in table


def test_a_budget_without_figures_is_not_measured() -> None:
    run = run_of(call_idle={"mabeam": outcome(value=[1.0])})
    assert {each.word for each in verdicts(SUITE, run)} == {"not measured"}


def test_a_budget_for_the_full_size_says_nothing_about_a_smaller_one() -> None:
    words = []
    for size in (1_000, 1_000_000):
        run = run_of(million={"mabeam": outcome(size, seconds=[1.0], bytes=[5e8])})
        words.append([each.word for each in verdicts(SUITE, run) if "1,000,000" in each.what])
    assert words == [["not measured"] * 2, ["met"] * 2]


def test_a_table_has_a_line_for_each_figure_and_each_failure() -> None:
    run = run_of(
        call_idle={"mabeam": outcome(value=[2e-6, 4e-6]), "erlang": outcome(value=[1e-6, 1e-6])},
        million={"mabeam": outcome(10, seconds=[1.5], bytes=[2.5e8]), "erlang": {"failed": "a | b"}},
    )
    single = measure_table(SUITE, run, SUITE.measure("call_idle"))
    assert "| mabeam | 1,000 | 2 | 3 | 2 | 0.1 |  |" in single
    several = measure_table(SUITE, run, SUITE.measure("million"))
    assert "| mabeam | 10 | 1.5 | 250 | 0.1 |  |" in several
    assert "failed: a / b" in several
    assert {line.count("|") for line in several.splitlines()} == {7}


def test_the_page_says_machine_versions_and_reasons() -> None:
    run = run_of(million={"mabeam": outcome(10, seconds=[1.5], bytes=[2.5e8]), "erlang": {"absent": "why"}})
    run["suite"] = "kernel"
    text = page([run])
    assert "| processor | abacus |" in text
    assert "| Erlang/OTP | a million supervised processes | why |" in text


def test_the_budget_table_has_a_line_for_each() -> None:
    run = run_of()
    run["budgets"] = [each.to_json() for each in verdicts(SUITE, run)]
    assert budget_table(run).count("\n") == len(run["budgets"]) + 1


def test_the_page_is_the_one_that_the_kept_runs_make() -> None:
    """It is not edited by hand: ``python -m benchmarks kernel --report`` measures and makes it anew.

    Where only words have changed, ``--from benchmarks/results/kernel.json --report`` makes it from the same figures.
    """
    assert PAGE.read_text(encoding="utf-8") == page(kept())
