"""What a program spends its life in: event loops and servers, who keeps them, and what loops without end."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._functions import definition
from mabeam.review._clues._loops import has_endless_loop
from mabeam.review._clues._naming import is_serving_name
from mabeam.review._clues._words import last_name
from mabeam.review._module import dotted, own_nodes
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("calls_endless", "is_inherited", "is_kept_loop", "runs_kept_server", "serves")

# How a loop, a server, or another thing with a life of its own is set going.
_RUNS = frozenset({"run_forever", "serve_forever", "serve", "start", "run"})
# What has a `run` in which a program spends its life.
_RUNNABLE = re.compile(r"(?:server|app|application|bot|daemon)$", re.IGNORECASE)


def is_inherited(target: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the thread runs a method that a base class defines: how it ends is written there."""
    if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
        return False
    owner = module.class_of(target.value.id, scope)
    return (
        owner is not None
        and isinstance(owner.node, ast.ClassDef)
        and bool(owner.node.bases)
        and not module.is_set(target, scope)
    )


def is_kept_loop(target: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the thread runs an event loop, or a server, that somebody keeps: who has it can stop it."""
    if not isinstance(target, ast.Attribute) or target.attr not in _RUNS:
        return False
    if not isinstance(target.value, ast.Name):
        return True
    name = target.value.id
    found = scope.lookup(name)
    if found is None or found[0].function is not scope.function:
        return True
    if found[0].kind is ScopeKind.MODULE:
        return True  # the name itself keeps it
    if any(binding.kind is BindingKind.PARAMETER for binding in found[1]):
        return module.class_of(name, scope) is None
    return any(_is_put_away(node, scope, module) for node, _ in module.uses(name, found[0]))


def _is_put_away(name: ast.Name, scope: Scope, module: Module) -> bool:
    """Whether a variable is stored in something that lasts longer: an attribute, a collection, a global name."""
    above = module.parent(name)
    if isinstance(above, ast.Assign):
        return any(
            not isinstance(target, ast.Name) or target.id in scope.global_names for target in above.targets
        )
    return isinstance(above, ast.Return) or (
        isinstance(above, ast.Call) and last_name(above.func) in ("append", "add") and name in above.args
    )


def runs_kept_server(body: ast.AST) -> bool:
    """Whether the function runs a server, or a loop, of the object that it belongs to: who has it can shut it down."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Attribute)
        and (
            node.func.attr in _RUNS - {"run"}
            or (node.func.attr == "run" and _RUNNABLE.search(node.func.value.attr) is not None)
        )
        for node in ast.walk(body)
    )


def serves(nodes: Iterable[ast.AST]) -> bool:
    """Whether a program spends its life here: in a server, or until somebody presses Ctrl-C."""
    return any(
        (
            isinstance(node, ast.Call)
            and (is_serving_name(last_name(node.func)) or _is_run_of_server(node.func))
        )
        or (
            isinstance(node, ast.ExceptHandler)
            and node.type is not None
            and last_name(node.type) == "KeyboardInterrupt"
        )
        for node in nodes
    )


def _is_run_of_server(function: ast.expr) -> bool:
    return dotted(function) in ("asyncio.run", "uvicorn.run") or (
        isinstance(function, ast.Attribute)
        and function.attr == "run"
        and _RUNNABLE.search(last_name(function.value)) is not None
    )


def calls_endless(nodes: Iterable[ast.AST], scope: Scope) -> bool:
    """Whether a function of this module is called that loops without end: the program spends its life there."""
    called = (definition(node.func, scope) for node in nodes if isinstance(node, ast.Call))
    return any(body is not None and has_endless_loop(own_nodes(*body.body)) for body in called)
