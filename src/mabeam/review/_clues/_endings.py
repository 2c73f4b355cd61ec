"""What becomes of a coroutine that has caught its own cancellation: it goes on, ends as if it were done, or just ends."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._exits import is_guard
from mabeam.review._clues._interruptions import is_handle
from mabeam.review._clues._naming import is_cleanup_name, is_lasting_name
from mabeam.review._clues._programs import is_program
from mabeam.review._clues._surroundings import is_started_as_task
from mabeam.review._clues._words import last_name
from mabeam.review._module import own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("ends_coroutine", "goes_on", "knows_its_task", "may_end_quietly", "raises_next", "tidies_up")

_TASK_CANCELLED = re.compile(r"\btask\b.*\bcancel|\bcancel\w* task\b", re.IGNORECASE | re.DOTALL)
_ENDLESS = frozenset({"serve_forever", "run_forever", "sleep_forever", "wait_for_termination"})


def goes_on(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether a loop around the place takes its next turn after it."""
    body = node.body if isinstance(node, ast.ExceptHandler) else []
    if any(isinstance(inner, ast.Return | ast.Break) for inner in own_nodes(*body)):
        return False
    if isinstance(node, ast.Call):
        # The block of a `suppress` is left early; leaving the loop from inside it is not looked at.
        return False
    for above in module.ancestors_within(node, scope):
        if isinstance(above, ast.While):
            # `while not self.closed` may well be over; `while True` is not.
            return isinstance(above.test, ast.Constant) and bool(above.test.value)
        if isinstance(above, ast.For | ast.AsyncFor):
            return False
    return False


def ends_coroutine(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether the coroutine is over after the handler: it returns, or only tidies up."""
    if isinstance(node, ast.ExceptHandler) and node.body and isinstance(node.body[-1], ast.Return):
        return True
    leaves_loop = (
        isinstance(node, ast.ExceptHandler) and bool(node.body) and isinstance(node.body[-1], ast.Break)
    )
    below: ast.AST = node
    for above in (*module.ancestors_within(node, scope), (scope.function or scope).node):
        body = getattr(above, "body", None)
        if isinstance(above, ast.For | ast.AsyncFor | ast.While):
            if not leaves_loop:
                return False
            leaves_loop = False
            below = above
            continue
        if isinstance(above, ast.Try | ast.TryStar):
            if above.orelse and below in above.body:
                return False
        else:
            block = above.orelse if isinstance(above, ast.If) and below in above.orelse else body
            after = _after(below, block) if isinstance(block, list) else []
            if not leaves_loop and _goes_on_with_work(after):
                return False
        below = above
    return True


def raises_next(node: ast.AST, module: Module) -> bool:
    """Whether the statement behind the block raises: an error takes the place of the cancellation."""
    statement = module.statement(node)
    block = module.parent(statement) if isinstance(statement, ast.ExceptHandler) else statement
    above = module.parent(block) if block is not None else None
    body = getattr(above, "body", None)
    after = _after(block, body) if block is not None and isinstance(body, list) and block in body else []
    return bool(after) and isinstance(after[0], ast.Raise)


def _after(statement: ast.AST, block: list[ast.stmt]) -> list[ast.stmt]:
    place = next((index for index, other in enumerate(block) if other is statement), len(block))
    return block[place + 1 :]


def _goes_on_with_work(statements: Sequence[ast.stmt]) -> bool:
    """Whether the statements do more than tidy up: they wait for something new."""
    return any(
        isinstance(node, ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.Await) and not (is_handle(node.value) or _is_cleanup_call(node.value)))
        for node in own_nodes(*statements)
    )


def _is_cleanup_call(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and is_cleanup_name(last_name(expression.func).lstrip("_"))


def may_end_quietly(scope: Scope, module: Module) -> bool:
    """Whether nobody misses the cancellation of a coroutine that ends: it is a task of its own, or clean-up."""
    if isinstance(scope.node, ast.AsyncFunctionDef) and any(
        isinstance(decorator, ast.Call) and last_name(decorator.func) != "wraps"
        for decorator in scope.node.decorator_list
    ):
        return True  # registered with somebody who runs each call as a task of its own
    if tidies_up(scope) or is_lasting_name((scope.name or "").lstrip("_")) or _never_ends(scope):
        return True
    return is_started_as_task(scope, module) or is_program(scope, module)


def knows_its_task(node: ast.AST, scope: Scope) -> bool:
    """Whether the clause reports that a task was cancelled: who wrote it knows that this is one, and it has no result."""
    body = node.body if isinstance(node, ast.ExceptHandler) else []
    return not _has_result(own_nodes(*getattr(scope.node, "body", ()))) and any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and _TASK_CANCELLED.search(part.value)
        for part in own_nodes(*body)
    )


def _has_result(nodes: Iterable[ast.AST]) -> bool:
    return any(isinstance(node, ast.Return) and node.value is not None for node in nodes)


def tidies_up(scope: Scope) -> bool:
    """Whether the coroutine is there to end something, or to keep something from failing."""
    return is_cleanup_name((scope.name or "").lstrip("_")) or is_guard(scope)


def _never_ends(scope: Scope) -> bool:
    """Whether the coroutine serves or loops without end, and has no result: then its end says that it was stopped."""
    nodes = list(own_nodes(*getattr(scope.node, "body", ())))
    endless = any(
        (isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value))
        or (isinstance(node, ast.Call) and last_name(node.func) in _ENDLESS)
        for node in nodes
    )
    return endless and not _has_result(nodes)
