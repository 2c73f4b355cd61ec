"""Whether a cancellation can arrive in a block, and whose it is."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._module import dotted, own_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("awaits_handle", "awaits_something", "is_handle", "waits_for_ever")

# Calls that wait for handles given to them: awaiting one is awaiting the handle.
_WAITS = frozenset(
    {"gather", "wait", "wait_for", "shield", "join", "wait_closed", "ensure_future", "wrap_future"}
)
# What is set when it is time to end: a cancellation says the same.
_END = re.compile(r"stop|shut_?down|exit|quit|clos|terminat|finish|(?:^|_)(?:done|end)(?:$|_)", re.IGNORECASE)
_TIMEOUTS = frozenset({"timeout", "timeout_at", "fail_after", "move_on_after"})


def awaits_something(body: Sequence[ast.stmt]) -> bool:
    """Whether the body of the ``try`` waits anywhere: only there a cancellation can arrive."""
    return any(
        isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.comprehension) and bool(node.is_async))
        for node in own_nodes(*body)
    )


def awaits_handle(body: Sequence[ast.stmt]) -> bool:
    """Whether all that the body waits for is handles: somebody else's task, whose end is what is being caught."""
    awaited = [node for node in own_nodes(*body) if isinstance(node, ast.Await)]
    if any(
        isinstance(node, ast.AsyncFor) or (isinstance(node, ast.AsyncWith) and not _is_timeout(node))
        for node in own_nodes(*body)
    ):
        return False
    return bool(awaited) and all(is_handle(node.value) for node in awaited)


def _is_timeout(node: ast.AsyncWith) -> bool:
    return all(
        isinstance(item.context_expr, ast.Call) and last_name(item.context_expr.func) in _TIMEOUTS
        for item in node.items
    )


def is_handle(expression: ast.expr) -> bool:
    """Whether what is awaited was started before: a name, an attribute, or calls that wait for such."""
    if isinstance(expression, ast.Call):
        if last_name(expression.func) == "cast" and expression.args:
            return is_handle(expression.args[-1])
        if last_name(expression.func) not in _WAITS:
            return False
        # Without arguments it is `event.wait()` or `queue.join()`: the only cancellation there is our own.
        return bool(expression.args) and is_handle(expression.args[0])
    if isinstance(expression, ast.Starred):
        return True
    return isinstance(expression, ast.Subscript) or dotted(expression) is not None


def waits_for_ever(body: Sequence[ast.stmt]) -> bool:
    """Whether the body waits for nothing but its cancellation: then that is the signal to go on."""
    if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Await):
        return False
    waited = body[0].value.value
    if not isinstance(waited, ast.Call):
        return False
    name = last_name(waited.func)
    if name == "wait" and isinstance(waited.func, ast.Attribute):
        event = waited.func.value
        if isinstance(event, ast.Call):
            return last_name(event.func) == "Event"
        return _END.search(last_name(event)) is not None
    return name in ("Future", "create_future", "sleep_forever")
