"""What a review finds, as values."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from mabeam.review import ErrorKind, FileError, Finding, Severity, make_report

FINDING = Finding("a.py", 1, 2, "MB101", Severity.MAJOR, "Title", "Seen.", "Bad.", "Better.")
ERROR = FileError("a.py", ErrorKind.UNREADABLE, "no permission")


def test_severities_rank_from_critical_to_minor() -> None:
    """Each is at least itself."""
    order = [Severity.CRITICAL, Severity.MAJOR, Severity.MINOR]
    assert [severity.rank for severity in order] == [0, 1, 2]
    for index, one in enumerate(order):
        assert [one.is_at_least(other) for other in order] == [index <= place for place in range(3)]


def test_the_words_of_reports_stay_as_they_are() -> None:
    """Programs read them."""
    assert [severity.value for severity in Severity] == ["critical", "major", "minor"]
    assert [kind.value for kind in ErrorKind] == ["unreadable", "unparsable", "given up"]


@pytest.mark.parametrize("value", [FINDING, ERROR, make_report([FINDING], [ERROR], files=2)], ids=repr)
def test_what_was_found_cannot_be_changed(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_findings_are_in_order_of_place_then_code_then_text() -> None:
    """Of equal fields the next one decides."""
    steps: list[dict[str, Any]] = [
        {"file": "b.py"},
        {"line": 2},
        {"column": 3},
        {"code": "MB102"},
        {"observation": "Seen: twice."},
    ]
    for step in steps:
        later = dataclasses.replace(FINDING, **step)
        assert FINDING.sort_key < later.sort_key
        assert make_report([later, FINDING], [], files=1).findings == (FINDING, later)
    # What stands in front decides, whatever comes after it.
    for first, second in itertools.pairwise(steps):
        assert (
            dataclasses.replace(FINDING, **second).sort_key < dataclasses.replace(FINDING, **first).sort_key
        )


def test_errors_are_in_order_of_file_then_kind_then_text() -> None:
    steps: list[dict[str, Any]] = [{"file": "b.py"}, {"message": "other"}]
    for step in steps:
        later = dataclasses.replace(ERROR, **step)
        assert make_report([], [later, ERROR], files=1).errors == (ERROR, later)
    earlier = dataclasses.replace(ERROR, kind=ErrorKind.GIVEN_UP, message="z")
    assert make_report([], [ERROR, earlier], files=1).errors == (earlier, ERROR)


def test_a_report_counts_what_was_found() -> None:
    """Severities with their zeros, the gravest first; codes in their order."""
    minor = dataclasses.replace(FINDING, severity=Severity.MINOR, code="MB103")
    report = make_report([minor, FINDING, minor], [], files=3)
    assert list(report.by_severity.items()) == [
        (Severity.CRITICAL, 0),
        (Severity.MAJOR, 1),
        (Severity.MINOR, 2),
    ]
    assert list(report.by_code.items()) == [("MB101", 1), ("MB103", 2)]
    assert report.worst() is Severity.MAJOR
    assert report.files == 3


@pytest.mark.parametrize("severity", Severity)
def test_the_worst_is_the_gravest(severity: Severity) -> None:
    """Whatever comes first."""
    minor = dataclasses.replace(FINDING, severity=Severity.MINOR)
    other = dataclasses.replace(FINDING, severity=severity)
    assert make_report([minor, other], [], files=1).worst() is severity
