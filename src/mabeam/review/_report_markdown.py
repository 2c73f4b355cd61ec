"""The report as Markdown, for people: grouped by severity, then by rule."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mabeam.review._finding import Severity
from mabeam.review._printable import code_span, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._finding import Finding
    from mabeam.review._report import Report

__all__ = ("render_markdown",)


def render_markdown(report: Report) -> str:
    """Write a summary, then every finding with its observation, impact and recommendation."""
    lines = ["# Code review", "", *_summary(report)]
    for severity in Severity:
        findings = [finding for finding in report.findings if finding.severity is severity]
        if findings:
            lines += [f"## {severity.value.capitalize()} ({len(findings)})", ""]
            lines += _rules(findings)
    if report.errors:
        lines += [f"## Not reviewed ({len(report.errors)})", ""]
        lines += [
            f"- {code_span(error.file)} ({error.kind.value}): {_inline(error.message)}"
            for error in report.errors
        ]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _summary(report: Report) -> Iterator[str]:
    yield "## Summary"
    yield ""
    yield "| | |"
    yield "| --- | ---: |"
    yield f"| Files | {report.files} |"
    yield f"| Not reviewed | {len(report.errors)} |"
    yield f"| Findings | {len(report.findings)} |"
    for severity, count in report.by_severity.items():
        yield f"| {severity.value.capitalize()} | {count} |"
    yield ""
    if report.by_code:
        titles = {finding.code: finding.title for finding in report.findings}
        yield "| Rule | | Findings |"
        yield "| --- | --- | ---: |"
        for code, count in report.by_code.items():
            yield f"| {code} | {titles[code]} | {count} |"
        yield ""


def _rules(findings: list[Finding]) -> Iterator[str]:
    in_order = sorted(findings, key=lambda finding: (finding.code, finding.sort_key))
    for (code, title), group in groupby(in_order, key=lambda finding: (finding.code, finding.title)):
        yield f"### {code}: {title}"
        yield ""
        for finding in group:
            yield f"#### {code_span(f'{finding.file}:{finding.line}:{finding.column}')}"
            yield ""
            yield f"- **Observation:** {printable(finding.observation)}"
            yield f"- **Impact:** {printable(finding.impact)}"
            yield f"- **Recommendation:** {printable(finding.recommendation)}"
            yield ""


def _inline(message: str) -> str:
    """Write foreign text so that it is shown as it is: a parser's message may hold marks of Markdown."""
    text = printable(message)
    return "".join(f"\\{character}" if character in "\\`*_<>[]|#" else character for character in text)
