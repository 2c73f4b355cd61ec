"""What comes after a place: the next turn of a loop that waits, is left early or never ends; or nothing at all."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("has_endless_loop", "is_in_loop", "is_last", "is_left_early", "waits_each_turn")


def is_left_early(loop: ast.For | ast.AsyncFor) -> bool:
    return any(
        isinstance(node, ast.Break | ast.Return) for statement in loop.body for node in ast.walk(statement)
    )


def waits_each_turn(loop: ast.For | ast.AsyncFor) -> bool:
    """Whether the loop waits in each turn: for a free place, for the task itself, for the next batch."""
    return any(
        isinstance(node, ast.Await | ast.AsyncWith) for statement in loop.body for node in ast.walk(statement)
    )


def has_endless_loop(nodes: Iterable[ast.AST]) -> bool:
    """Whether one of the nodes is `while True`."""
    return any(
        isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        for node in nodes
    )


def is_in_loop(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether the place is inside of a loop of its function, and does not leave it."""
    loops = sum(
        isinstance(above, ast.For | ast.AsyncFor | ast.While)
        for above in module.ancestors_within(node, scope)
    )
    leaves = isinstance(node, ast.ExceptHandler) and isinstance(node.body[-1], ast.Break)
    return loops > (1 if leaves else 0)


def is_last(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether nothing of its function, or module, runs after the place."""
    below = node
    for above in (*module.ancestors_within(node, scope), (scope.function or scope).node):
        if isinstance(above, ast.For | ast.AsyncFor | ast.While):
            return False
        for block in (getattr(above, "body", None), getattr(above, "orelse", None)):
            if isinstance(block, list) and below in block and below is not block[-1]:
                return False
        below = above
    return True
