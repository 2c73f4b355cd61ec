"""Reviewing one file: read, one pass, rules, suppressions, findings in order."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._branches import is_dead
from mabeam.review._finding import FileError, Finding
from mabeam.review._module import Module
from mabeam.review._remarks import Remarks
from mabeam.review._rules import NO_REASON, RULES, UNKNOWN_CODE, UNUSED, Draft, Rule
from mabeam.review._source import Source, parse_source, read_source
from mabeam.review._suppression import find_suppressions
from mabeam.review._test_code import is_test_code

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from mabeam.review._suppression import Suppression

__all__ = ("analyse_file", "analyse_source")


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
        if not is_dead(draft.node, module)
    ]
    remarks = Remarks(source.text)
    return [
        (rule, draft, last)
        for rule, draft, last in drafts
        if not remarks.settle(draft.settled_by)
        and not remarks.accept(rule.known_as, _line(draft.node), last, draft.also_at)
    ]


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
