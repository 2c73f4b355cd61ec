"""The report as plain lines, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.review._printable import printable

if TYPE_CHECKING:
    from mabeam.review._report import Report

__all__ = ("render_text", "summary_line")


def render_text(report: Report) -> str:
    """Write each finding as a line of place, code and severity, and what to do about it below."""
    lines: list[str] = []
    for finding in report.findings:
        lines += [
            f"{printable(finding.file)}:{finding.line}:{finding.column}: {finding.code} {finding.severity.value}: {finding.title}",
            f"    {printable(finding.observation)}",
            f"    Impact: {printable(finding.impact)}",
            f"    Instead: {printable(finding.recommendation)}",
            "",
        ]
    lines += [
        f"{printable(error.file)}: not reviewed ({error.kind.value}): {printable(error.message)}"
        for error in report.errors
    ]
    if report.errors:
        lines.append("")
    lines.append(summary_line(report))
    return "\n".join(lines) + "\n"


def summary_line(report: Report) -> str:
    """Say in one line how many files there were and what was found in them."""
    severities = ", ".join(f"{count} {severity.value}" for severity, count in report.by_severity.items())
    text = f"{_counted(report.files, 'file')}, {_counted(len(report.findings), 'finding')} ({severities})"
    if report.by_code:
        text += f": {', '.join(f'{code} {count}' for code, count in report.by_code.items())}"
    return f"{text}; {_counted(len(report.errors), 'file')} not reviewed"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
