"""Code in the words of a sentence."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._module import dotted

if TYPE_CHECKING:
    from mabeam.review._scope import Scope

__all__ = ("last_name", "place", "shown", "shown_items")

_COPIES = frozenset({"enumerate", "list", "tuple", "set", "sorted", "reversed", "fromkeys"})


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


def shown_items(items: ast.expr) -> str:
    """Name the collection itself: `enumerate(urls)` is about `urls`."""
    while isinstance(items, ast.Call) and last_name(items.func) in _COPIES and items.args:
        items = items.args[0]
    return shown(items)
