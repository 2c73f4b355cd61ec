"""The function behind a call, where the module shows it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._module import own_nodes
from mabeam.review._scope import FunctionNode

if TYPE_CHECKING:
    from mabeam.review._scope import Scope

__all__ = ("definition", "is_about_itself", "never_waits")


def definition(function: ast.expr, scope: Scope) -> FunctionNode | None:
    """Find the function of this module that is called, by name or as a method of the class at hand."""
    if isinstance(function, ast.Name):
        found = scope.lookup(function.id)
        bindings = found[1] if found is not None else []
    elif isinstance(function, ast.Attribute):
        owner = scope.enclosing_class
        bindings = owner.bindings.get(function.attr, []) if owner is not None else []
    else:
        return None
    node = bindings[0].node if len(bindings) == 1 else None
    return node if isinstance(node, FunctionNode) else None


def is_about_itself(function: ast.expr, scope: Scope) -> bool:
    """Whether each item does something itself (``item.refresh()``, ``item()``): then the items are already at work."""
    while isinstance(function, ast.Attribute | ast.Call):
        function = function.value if isinstance(function, ast.Attribute) else function.func
    if not isinstance(function, ast.Name) or (found := scope.lookup(function.id)) is None:
        return False
    return any(
        isinstance(binding.node, ast.For | ast.AsyncFor | ast.ListComp | ast.SetComp | ast.GeneratorExp)
        for binding in found[1]
    )


def never_waits(function: ast.expr, scope: Scope) -> bool:
    """Whether a coroutine of this module does its work without an ``await``: however many there are, one runs at a time."""
    node = definition(function, scope)
    if not isinstance(node, ast.AsyncFunctionDef):
        return False
    inside = list(own_nodes(*node.body))
    waits = any(
        isinstance(inner, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield)
        or (isinstance(inner, ast.comprehension) and bool(inner.is_async))
        for inner in inside
    )
    # A stub does no work, and says nothing about what takes its place.
    return not waits and any(isinstance(inner, ast.Call) for inner in inside)
