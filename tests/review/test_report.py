"""The report and its formats."""

from __future__ import annotations

import json
import random

import pytest

from mabeam.review import (
    ErrorKind,
    FileError,
    Finding,
    Report,
    ReportFormat,
    Severity,
    analyse_source,
    make_report,
    render,
    select_codes,
)

CODE = """
import asyncio, threading, time
async def f(urls):
    time.sleep(1)
    asyncio.create_task(g())
    await asyncio.gather(*[fetch(u) for u in urls])
    threading.Thread(target=g).start()
    try: await g()
    except: pass
"""
NASTY = "a`b\x1b[31m\n# x\udcff|\u202e.py"


def sample(*, seed: int = 0) -> Report:
    """A report with all rules, nasty names and errors, put together in an order that depends on the seed."""
    findings: list[Finding] = []
    for name in ("b.py", "a.py", NASTY):
        result = analyse_source(CODE, shown_as=name, codes=select_codes())
        assert not isinstance(result, FileError)
        findings += result
    errors = [
        FileError("z.py", ErrorKind.UNPARSABLE, "line 1: invalid syntax <b>*x*"),
        FileError(NASTY, ErrorKind.GIVEN_UP, "crashed its reviewer 3 times"),
    ]
    shuffle = random.Random(seed).shuffle
    shuffle(findings)
    shuffle(errors)
    return make_report(findings, errors, files=5)


@pytest.mark.parametrize("report_format", ReportFormat)
def test_the_order_of_arrival_does_not_show(report_format: ReportFormat) -> None:
    """Two reviews of the same code give the same bytes."""
    assert len({render(sample(seed=seed), report_format).encode() for seed in range(5)}) == 1


@pytest.mark.parametrize("report_format", ReportFormat)
def test_a_report_is_printable_and_can_be_encoded(report_format: ReportFormat) -> None:
    """Names of files cannot colour the terminal, turn the text round, add lines or crash the writer."""
    text = render(sample(), report_format)
    assert text.encode("utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("report_format", ReportFormat)
def test_an_empty_report_is_a_report(report_format: ReportFormat) -> None:
    """Nothing found is a result."""
    assert "0" in render(make_report([], [], files=0), report_format)


def test_json_has_the_documented_shape() -> None:
    """Programs rely on these keys, in this order."""
    document = json.loads(render(sample(), "json"))
    assert list(document) == ["findings", "errors", "summary"]
    assert {tuple(finding) for finding in document["findings"]} == {
        ("file", "line", "column", "code", "severity", "title", "observation", "impact", "recommendation")
    }
    assert {tuple(error) for error in document["errors"]} == {("file", "kind", "message")}
    assert document["summary"] == {
        "files": 5,
        "findings": 15,
        "errors": 2,
        "by_severity": {"critical": 3, "major": 9, "minor": 3},
        "by_code": {"MB101": 3, "MB102": 3, "MB103": 3, "MB104": 3, "MB105": 3},
    }


def test_json_gives_names_back_as_they_are() -> None:
    """What cannot be printed is escaped, not lost."""
    document = json.loads(render(sample(), "json"))
    assert {finding["file"] for finding in document["findings"]} == {"a.py", "b.py", NASTY}


def test_text_shows_place_code_and_severity_on_one_line() -> None:
    """Editors can jump to it."""
    lines = render(sample(), "text").splitlines()
    assert "a.py:4:5: MB102 critical: Blocking call in a coroutine" in lines
    assert "z.py: not reviewed (unparsable): line 1: invalid syntax <b>*x*" in lines
    assert lines[-1] == (
        "5 files, 15 findings (3 critical, 9 major, 3 minor): MB101 3, MB102 3, MB103 3, MB104 3, MB105 3; "
        "2 files not reviewed"
    )


def test_markdown_is_grouped_by_severity_and_rule() -> None:
    """It reads like a review by a person: observation, impact, recommendation."""
    text = render(sample(), "markdown")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Summary",
        "## Critical (3)",
        "## Major (9)",
        "## Minor (3)",
        "## Not reviewed (2)",
    ]
    assert text.count("### MB101: Task started without an owner") == 1
    assert text.count("- **Observation:**") == text.count("- **Recommendation:**") == 15
    assert r"invalid syntax \<b\>\*x\*" in text


def test_severities_are_ordered() -> None:
    """`--fail-on major` means major and critical."""
    assert Severity.CRITICAL.is_at_least(Severity.MAJOR)
    assert not Severity.MINOR.is_at_least(Severity.MAJOR)
    assert sample().worst() is Severity.CRITICAL
    assert make_report([], [], files=1).worst() is None


def test_an_unknown_format_is_refused() -> None:
    """There are three."""
    with pytest.raises(ValueError, match="html"):
        render(sample(), "html")
