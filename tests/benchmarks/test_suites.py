"""Every suite is complete: each subject has each measure, or a reason for having none."""

from __future__ import annotations

import pytest

from benchmarks._budget import BUDGETS
from benchmarks._suite import SUITES, UNITS, Subject, Suite, load

SUBJECTS = [(name, subject) for name in SUITES for subject in load(name).subjects]


def _id(value: object) -> str:
    return value.name if isinstance(value, Subject) else str(value)


@pytest.fixture(params=list(SUITES))
def suite(request: pytest.FixtureRequest) -> Suite:
    return load(request.param)


def test_names_are_given_once(suite: Suite) -> None:
    for names in ([each.name for each in suite.measures], [each.name for each in suite.subjects]):
        assert len(names) == len(set(names))
    assert suite.subject(suite.reference) in suite.subjects
    assert suite.subjects[0].name == "mabeam"


def test_a_measure_says_what_it_is(suite: Suite) -> None:
    for measure in suite.measures:
        assert measure.title
        assert measure.definition.endswith((".", ")"))
        assert measure.quick_size <= measure.size
        assert {figure.unit for figure in measure.figures} <= set(UNITS)


@pytest.mark.parametrize(("name", "subject"), SUBJECTS, ids=_id)
def test_a_subject_has_each_measure_or_a_reason(name: str, subject: Subject) -> None:
    missing = subject.missing()
    if missing is not None:
        pytest.skip(missing)
    names = {each.name for each in load(name).measures}
    has = set(subject.functions())
    assert has | set(subject.absent) == names
    assert not has & set(subject.absent)
    assert set(subject.sizes) <= has


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.what)
def test_a_budget_is_about_something_that_is_measured(budget: object) -> None:
    assert isinstance(budget, type(BUDGETS[0]))
    if budget.suite not in SUITES:
        pytest.skip(f"the suite {budget.suite!r} is not there yet")
    suite = load(budget.suite)
    figures = {each.name for each in suite.measure(budget.measure).figures}
    assert budget.figure in figures
    if budget.to is not None:
        assert budget.to in {each.name for each in suite.subjects}
        assert budget.to_measure is None or suite.measure(budget.to_measure) in suite.measures


def test_a_subject_that_is_not_there_says_how_to_get_it() -> None:
    library = Subject(name="x", title="x", module="x", imports=("surely_not_installed",))
    assert "make bench" in (library.missing() or "")
    command = Subject(name="x", title="x", module="x", commands=("surely-not-installed",))
    assert "apt-get install" in (command.missing() or "")
