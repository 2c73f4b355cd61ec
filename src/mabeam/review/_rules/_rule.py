"""What a rule is, and what it hands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from mabeam.review._module import Module
from mabeam.review._scope import Scope

if TYPE_CHECKING:
    import ast

    from mabeam.review._finding import Severity

__all__ = ("Check", "Draft", "Rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A finding before it knows its file.

    Attributes:
        node: the place.
        observation: what the code does, with its names.
        severity: the grade of this case, where it is not the rule's.
        impact: what can come of this case, where it is not what the rule says.
        recommendation: what to write instead in this case, where it is not what the rule says.
        also_at: another line on which a comment for another linter may stand.
        settled_by: the first and last of the lines on which a comment in words settles the matter.
    """

    node: ast.AST
    observation: str
    severity: Severity | None = None
    impact: str | None = None
    recommendation: str | None = None
    also_at: int | None = None
    settled_by: tuple[int, int] | None = None


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
