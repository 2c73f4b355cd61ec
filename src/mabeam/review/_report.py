"""The report of a review: what was found, counted and in order, and its three formats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mabeam.review._finding import FileError, Finding, Severity
from mabeam.review._report_json import render_json
from mabeam.review._report_markdown import render_markdown
from mabeam.review._report_text import render_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Report", "ReportFormat", "make_report", "render")


class ReportFormat(StrEnum):
    """How a report is written down."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Report:
    """What a review found.

    It holds no times and no machine's name, and all of it is sorted: the same code gives the same report, byte for
    byte.

    Attributes:
        findings: every finding, by file, line, column and code.
        errors: every file that was not reviewed.
        files: how many files there were, those in ``errors`` included.
    """

    findings: tuple[Finding, ...]
    errors: tuple[FileError, ...]
    files: int

    @property
    def by_severity(self) -> dict[Severity, int]:
        """Count the findings of each severity, the gravest first, zeros included."""
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in Severity}

    @property
    def by_code(self) -> dict[str, int]:
        """Count the findings of each rule that found something, in the order of the codes."""
        return dict(sorted(Counter(finding.code for finding in self.findings).items()))

    def worst(self) -> Severity | None:
        """Return the gravest severity that was found, or ``None``."""
        return min(
            (finding.severity for finding in self.findings), key=lambda severity: severity.rank, default=None
        )


def make_report(findings: Iterable[Finding], errors: Iterable[FileError], *, files: int) -> Report:
    """Put findings and errors, which come in any order, into a report.

    Args:
        findings: what the files' reviews found.
        errors: what could not be reviewed.
        files: how many files there were, those in ``errors`` included.
    """
    return Report(
        findings=tuple(sorted(findings, key=lambda finding: finding.sort_key)),
        errors=tuple(sorted(errors, key=lambda error: error.sort_key)),
        files=files,
    )


def render(report: Report, report_format: ReportFormat | str) -> str:
    """Write a report down.

    The result holds printable characters and line feeds only, and can be encoded in UTF-8 whatever the files are
    called.

    Args:
        report: the report.
        report_format: ``text``, ``markdown`` or ``json``.

    Raises:
        ValueError: there is no such format.
    """
    match ReportFormat(report_format):
        case ReportFormat.TEXT:
            return render_text(report)
        case ReportFormat.MARKDOWN:
            return render_markdown(report)
        case ReportFormat.JSON:
            return render_json(report)
