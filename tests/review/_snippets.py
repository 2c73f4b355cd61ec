"""Reviewing snippets: what the tests of all rules share."""

from __future__ import annotations

import textwrap

from mabeam.review import FileError, Finding, analyse_source, select_codes

RULE_CODES = ("MB101", "MB102", "MB103", "MB104", "MB105")


def findings(code: str, *select: str) -> tuple[Finding, ...]:
    """Review a snippet with the selected rules, all of them when none is named."""
    result = analyse_source(textwrap.dedent(code), shown_as="snippet.py", codes=select_codes(select))
    assert not isinstance(result, FileError), result
    return result


def codes(code: str, *select: str) -> list[str]:
    """Return the codes of what is found in a snippet, in order."""
    return [finding.code for finding in findings(code, *select)]
