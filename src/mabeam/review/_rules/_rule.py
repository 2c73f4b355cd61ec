"""What a rule is, and how it says what it saw."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from mabeam.review._module import Module, dotted
from mabeam.review._scope import Scope

if TYPE_CHECKING:
    from mabeam.review._finding import Severity

__all__ = ("Check", "Draft", "Rule", "last_name", "place", "shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A finding before it knows its file.

    Attributes:
        node: the place.
        observation: what the code does, with its names.
        severity: the grade of this case, where it is not the rule's.
        impact: what can come of this case, where it is not what the rule says.
        recommendation: what to write instead in this case, where it is not what the rule says.
    """

    node: ast.AST
    observation: str
    severity: Severity | None = None
    impact: str | None = None
    recommendation: str | None = None


# The node is of the kind that the check is registered under; the type of the table cannot say so.
Check: TypeAlias = Callable[[Any, Scope, Module], Iterator[Draft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of flaw.

    Attributes:
        code: its stable name, ``MB`` and three digits.
        title: what the flaw is called in reports.
        severity: how much it matters, where a case does not say otherwise.
        impact: what can come of it.
        recommendation: what to write instead.
        hints: words of which a module must hold at least one for the rule to find anything in it.
        known_as: what other linters call the flaw: a comment that silences them there speaks for this rule as well.
        in_tests: whether it also looks at test code, which drops, blocks and swallows on purpose.
        checks: what to run, by kind of node.
    """

    code: str
    title: str
    severity: Severity
    impact: str
    recommendation: str
    hints: tuple[str, ...] = ()
    in_tests: bool = False
    known_as: tuple[str, ...] = ()
    checks: Mapping[type[ast.AST], Check] = field(default_factory=dict)


def place(scope: Scope) -> str:
    """Say where code stands, for the middle of a sentence."""
    name = scope.qualified_name
    return f"in `{name}`" if name else "at module level"


def shown(expression: ast.expr) -> str:
    """Write an expression short enough for a sentence: names, dots, and calls without their arguments."""
    if isinstance(expression, ast.Call):
        return f"{shown(expression.func)}({'...' if expression.args or expression.keywords else ''})"
    if isinstance(expression, ast.Await):
        return f"await {shown(expression.value)}"
    if isinstance(expression, ast.Attribute) and dotted(expression) is None:
        return f"{shown(expression.value)}.{expression.attr}"
    if isinstance(expression, ast.Subscript):
        return f"{shown(expression.value)}[...]"
    if isinstance(expression, ast.BoolOp):
        return shown(expression.values[0])
    if isinstance(expression, ast.BinOp):
        return "(...)"
    return dotted(expression) or "..."


def last_name(expression: ast.expr) -> str:
    """Return the last part of a dotted expression: what is called, without what it is called on."""
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""
