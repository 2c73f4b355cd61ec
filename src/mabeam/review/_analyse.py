"""Reviewing one file: read, one pass, rules, suppressions, findings in order."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._finding import FileError, Finding
from mabeam.review._module import Module
from mabeam.review._rules import NO_REASON, RULES, UNKNOWN_CODE, UNUSED, Draft, Rule
from mabeam.review._source import Source, parse_source, read_source
from mabeam.review._suppression import find_suppressions
from mabeam.review._test_code import is_test_code

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from mabeam.review._suppression import Suppression

__all__ = ("analyse_file", "analyse_source")

# Comments for other linters, those of pylint with names instead of codes.
_OTHERS = re.compile(r"#[^\n]*?(?:noqa:|pylint:\s*disable=|ruff:\s*ignore\[)([^#\n\]]*)", re.IGNORECASE)
_NEXT_LINE = re.compile(r"#[^\n]*?pylint:\s*disable-next=([^#\n]*)")
# Without a code it stands for all of them; behind `except:` there is only one that it can be meant for.
_BARE = re.compile(r"^\s*except\b[^#\n]*:\s*#\s*noqa\s*(?:$|#)", re.IGNORECASE)
# A comment in words, and not one for a tool.
_REMARK = re.compile(r"(?:^|\s)#+\s*(?!noqa|type:|pylint|pragma|mabeam|nosec|fmt:)[A-Za-z]", re.IGNORECASE)
_MARKS = re.compile(r"noqa|pylint|ruff:", re.IGNORECASE)
_CODES = re.compile(r"[A-Za-z][\w-]*")


def analyse_file(
    path: str | os.PathLike[str], *, shown_as: str, codes: frozenset[str], below: str = ""
) -> tuple[Finding, ...] | FileError:
    """Review one file.

    It keeps nothing between calls and may run in any thread; arguments and results can be pickled.

    Args:
        path: where the file is.
        shown_as: how it is called in findings.
        codes: the rules to run, from :func:`select_codes`.
        below: the way to it from the folder that is reviewed, by which tests are told.

    Returns:
        The findings in order, or why there are none. What a file may hold never raises; a fault in a rule does.
    """
    source = read_source(path, shown_as=shown_as)
    return source if isinstance(source, FileError) else _review(source, shown_as, codes, below)


def analyse_source(
    data: bytes | str, *, shown_as: str, codes: frozenset[str]
) -> tuple[Finding, ...] | FileError:
    """Review a module that is in memory; the rest is as in :func:`analyse_file`."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    source = parse_source(data, shown_as=shown_as)
    return source if isinstance(source, FileError) else _review(source, shown_as, codes)


def _review(source: Source, shown_as: str, codes: frozenset[str], below: str = "") -> tuple[Finding, ...]:
    lines = source.text.split("\n")
    drafts = _drafts(source, shown_as, codes, below)
    comments = find_suppressions(source.text)
    silenced: set[int] = set()
    findings: list[Finding] = []
    if comments:
        silenced, findings = _judge_comments(comments, drafts, shown_as, codes)
    findings.extend(
        _finding(rule, draft, shown_as, lines)
        for index, (rule, draft, _) in enumerate(drafts)
        if index not in silenced
    )
    return tuple(sorted(findings, key=lambda finding: finding.sort_key))


def _drafts(
    source: Source, shown_as: str, codes: frozenset[str], below: str
) -> list[tuple[Rule, Draft, int]]:
    """Run the rules that can find anything here; each draft comes with the last line of its statement."""
    rules = [
        rule
        for rule in RULES.values()
        if rule.code in codes and rule.checks and any(hint in source.text for hint in rule.hints)
    ]
    if rules and is_test_code(source.tree, shown_as, below):
        rules = [rule for rule in rules if rule.in_tests]
    if not rules:
        return []
    module = Module(source.tree, {kind for rule in rules for kind in rule.checks}, shown_as)
    drafts = [
        (rule, draft, _last_line(draft.node, module))
        for rule in rules
        for kind, check in rule.checks.items()
        for node, scope in module.nodes(kind)
        for draft in check(node, scope, module)
    ]
    lines = source.text.split("\n")
    drafts = [entry for entry in drafts if not _is_settled(entry[1], lines)]
    if _MARKS.search(source.text) is None:
        return drafts
    return [
        (rule, draft, last)
        for rule, draft, last in drafts
        if not _is_known(rule, lines, _line(draft.node), last, draft.also_at)
    ]


def _is_settled(draft: Draft, lines: list[str]) -> bool:
    first, last = draft.settled_by or (1, 0)
    return any(_REMARK.search(line) is not None for line in lines[first - 1 : last])


def _is_known(rule: Rule, lines: list[str], first: int, last: int, other: int | None) -> bool:
    """Whether a comment for another linter, on the lines or before the first, accepts this very flaw."""
    if rule.known_as and _BARE.search(_at(lines, first)) is not None:
        return True
    found = [
        _NEXT_LINE.search(_at(lines, first - 1)),
        _OTHERS.search(_at(lines, first)),
        _OTHERS.search(_at(lines, last)),
        _OTHERS.search(_at(lines, other or 0)),
    ]
    return any(
        code.startswith(known)
        for comment in found
        if comment is not None
        for code in _CODES.findall(comment[1])
        for known in rule.known_as
    )


def _at(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _last_line(node: ast.AST, module: Module) -> int:
    """Return the last line of the statement around ``node``; of a compound one, that of its header."""
    statement = module.statement(node)
    body = getattr(statement, "body", None)
    if isinstance(body, list):
        header = getattr(statement, "type", None) or node
        statement = header if isinstance(header, ast.expr) else node
        if isinstance(statement, ast.ExceptHandler):
            return statement.lineno
    return getattr(statement, "end_lineno", None) or _line(node)


def _judge_comments(
    comments: Iterable[Suppression],
    drafts: list[tuple[Rule, Draft, int]],
    shown_as: str,
    codes: frozenset[str],
) -> tuple[set[int], list[Finding]]:
    """Apply the suppression comments; return what they silence, and what is wrong with them."""
    silenced: set[int] = set()
    findings: list[Finding] = []

    def report(rule: Rule, comment: Suppression, observation: str) -> None:
        if rule.code in codes:
            findings.append(
                Finding(
                    file=shown_as,
                    line=comment.line,
                    column=comment.column,
                    code=rule.code,
                    severity=rule.severity,
                    title=rule.title,
                    observation=observation,
                    impact=rule.impact,
                    recommendation=rule.recommendation,
                )
            )

    for comment in comments:
        known = [code for code in dict.fromkeys(comment.codes) if code in RULES and RULES[code].checks]
        hit: set[str] = set()
        for index, (rule, draft, last_line) in enumerate(drafts):
            if rule.code in known and comment.line in (_line(draft.node), last_line):
                silenced.add(index)
                hit.add(rule.code)
        if not comment.codes:
            report(UNKNOWN_CODE, comment, "The suppression comment names no rule in brackets.")
        for code in dict.fromkeys(comment.codes):
            if code not in known:
                what = "cannot be silenced by a comment" if code in RULES else "is not the code of a rule"
                report(
                    UNKNOWN_CODE, comment, f"The suppression comment names `{_shown(code)}`, which {what}."
                )
            elif code not in hit and code in codes:
                # A rule that was not run may well have had something to silence.
                report(
                    UNUSED, comment, f"The comment suppresses {code}, and {code} finds nothing on its line."
                )
        if known and not comment.reason:
            report(NO_REASON, comment, f"The comment suppresses {', '.join(known)} and does not say why.")
    return silenced, findings


def _finding(rule: Rule, draft: Draft, shown_as: str, lines: list[str]) -> Finding:
    line = _line(draft.node)
    return Finding(
        file=shown_as,
        line=line,
        column=_column(draft.node, lines[line - 1] if line <= len(lines) else ""),
        code=rule.code,
        severity=draft.severity or rule.severity,
        title=rule.title,
        observation=draft.observation,
        impact=draft.impact or rule.impact,
        recommendation=draft.recommendation or rule.recommendation,
    )


def _line(node: ast.AST) -> int:
    line = getattr(node, "lineno", 1)
    return line if isinstance(line, int) else 1


def _column(node: ast.AST, text: str) -> int:
    """Count characters from 1; the tree counts bytes of UTF-8 from 0."""
    offset = getattr(node, "col_offset", 0)
    return len(text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore")) + 1


def _shown(code: str) -> str:
    """Write what somebody typed into a comment so that it cannot end the code span it is shown in."""
    return code.replace("`", "'")[:40]
