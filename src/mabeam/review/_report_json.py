"""The report as JSON, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mabeam.review._report import Report

__all__ = ("render_json",)


def render_json(report: Report) -> str:
    """Write the report as one JSON object with the keys ``findings``, ``errors`` and ``summary``.

    Only ASCII is written, so that a name of a file that is not valid Unicode survives as its escapes.
    """
    document = {
        "findings": [
            {
                "file": finding.file,
                "line": finding.line,
                "column": finding.column,
                "code": finding.code,
                "severity": finding.severity.value,
                "title": finding.title,
                "observation": finding.observation,
                "impact": finding.impact,
                "recommendation": finding.recommendation,
            }
            for finding in report.findings
        ],
        "errors": [
            {"file": error.file, "kind": error.kind.value, "message": error.message}
            for error in report.errors
        ],
        "summary": {
            "files": report.files,
            "findings": len(report.findings),
            "errors": len(report.errors),
            "by_severity": {severity.value: count for severity, count in report.by_severity.items()},
            "by_code": report.by_code,
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"
