"""What a function runs as, and beside what: a task, a thread, a program of its own."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._module import dotted, own_nodes
from mabeam.review._scope import FunctionNode, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("is_started_as_task", "is_thread_main", "stops_others_first")

_TASK_STARTS = frozenset(
    {
        "create_task",
        "ensure_future",
        "start_soon",
        "run_coroutine_threadsafe",
        "spawn",
        "start_task",
        "start_server",
        "start_unix_server",
    }
)
_THREAD_STARTS = frozenset({"submit", "run_in_executor", "to_thread", "start_new_thread", "run_sync"})
_STOPPING = re.compile(r"cancel|aclose|^stop|shutdown|terminate|^kill", re.IGNORECASE)


def is_started_as_task(scope: Scope, module: Module) -> bool:
    """Whether this module starts the coroutine as a task of its own, and never awaits it in place.

    Then nobody takes its end for finished work: who cancels it knows why it ended.
    """
    function = scope.function
    name = function.name if function is not None else None
    if name is None:
        return False
    if (decorator := _decorator_of(function)) is not None:
        wrapped = [each for each in module.scopes if decorator in _decorators(each)]
        return bool(wrapped) and all(is_started_as_task(each, module) for each in wrapped)
    started = False
    method = function is not None and function.parent is not None and function.parent.kind is ScopeKind.CLASS
    for around in module.scopes:
        for call in around.calls:
            # A function of the module is called by its name; `other.name()` is about something else.
            if last_name(call.func) == name and (method or isinstance(call.func, ast.Name)):
                if isinstance(module.parent(call), ast.Await):
                    return False
                started = True
            elif last_name(call.func) in _TASK_STARTS:
                started = started or any(last_name(argument) == name for argument in call.args)
    return started


def _decorator_of(function: Scope | None) -> str | None:
    """Name the decorator of this module that puts ``function`` in the place of what it decorates."""
    maker = function.parent if function is not None else None
    node = maker.node if maker is not None else None
    if function is None or not isinstance(node, FunctionNode):
        return None
    handed_back = any(
        isinstance(inner, ast.Return)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == function.name
        for inner in own_nodes(*node.body)
    )
    return node.name if handed_back else None


def _decorators(scope: Scope) -> list[str]:
    return [last_name(part) for part in getattr(scope.node, "decorator_list", ())]


def is_thread_main(scope: Scope, module: Module) -> bool:
    """Whether the function is what a thread of this module runs: Ctrl-C never arrives there."""
    function = scope.function
    name = function.name if function is not None else None
    if function is None or name is None:
        return False
    if name == "run" and function.parent is not None and isinstance(function.parent.node, ast.ClassDef):
        bases = [dotted(base) or "" for base in function.parent.node.bases]
        if any(base.endswith("Thread") for base in bases):
            return True
    return any(
        last_name(given) == name
        for around in module.scopes
        for call in around.calls
        for given in _handed_to_thread(call)
    )


def _handed_to_thread(call: ast.Call) -> Iterator[ast.expr]:
    for keyword in call.keywords:
        if keyword.arg == "target":
            yield keyword.value
            if isinstance(
                keyword.value, ast.Call
            ):  # a `partial`, or what else makes a function of a function
                yield from keyword.value.args
    if last_name(call.func) in _THREAD_STARTS:
        yield from call.args


def stops_others_first(node: ast.AST, body: Sequence[ast.stmt], scope: Scope, module: Module) -> bool:
    """Whether something is cancelled or stopped in the same function, before the handler or inside its ``try``.

    ``task.cancel()`` and then ``await`` with the cancellation caught is the known way to wait for its end.
    """
    line = getattr(node, "lineno", 0)
    calls = list(module.calls_in(scope.function)) if scope.function is not None else []
    before = [call for call in calls if call.lineno < line]
    return _is_cancelled_by_order(before) or any(
        _STOPPING.search(last_name(call.func)) is not None
        for call in (*before, *(inner for inner in own_nodes(*body) if isinstance(inner, ast.Call)))
    )


def _is_cancelled_by_order(calls: Iterable[ast.Call]) -> bool:
    """Whether the function has somebody cancel it: `loop.call_later(5, task.cancel)`."""
    return any(
        isinstance(argument, ast.Attribute) and argument.attr == "cancel"
        for call in calls
        for argument in call.args
    )
