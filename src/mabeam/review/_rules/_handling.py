"""What a handler does with what it caught, and what the ``try`` was waiting for."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._module import dotted, own_nodes
from mabeam.review._rules._rule import last_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = (
    "awaits_handle",
    "awaits_something",
    "cannot_be_interrupted",
    "is_thread_main",
    "passes_on",
    "reads_outcome",
    "stops_others_first",
)

_ENDS = frozenset(
    {
        "builtins.exit",
        "builtins.quit",
        "os._exit",
        "os.abort",
        "os.kill",
        "sys.exit",
        "_thread.interrupt_main",
        "pytest.fail",
        "pytest.skip",
        "pytest.xfail",
        "pytest.exit",
    }
)
# These fetch the exception anew, which counts as naming it.
_FETCHES = frozenset({"sys.exc_info", "sys.exception", "traceback.format_exc"})
# Functions named like this are there to deal with the exception: they raise, exit, or take it from `sys.exc_info()`.
_TAKES_CARE = re.compile(
    r"re_?raise|^_?raise|abort|_exit|^exit|fatal|(?:^|_)fail|handle_?(?:error|exc|cancel)|set_exception|excepthook|"
    r"(?:^|_)exc(?:eption)?$|"
    r"call_exception_handler|uncancel|cancelling|cancelled|^cancel|on_error|report_(?:error|exc)|"
    r"^(?:crash|die|shutdown|stop|close_with|send_error|reply_error)",
    re.IGNORECASE,
)
_LOGGING = frozenset(
    {
        "debug",
        "info",
        "warning",
        "warn",
        "error",
        "exception",
        "critical",
        "log",
        "print",
        "write",
        "print_exc",
        "echo",
    }
)
_TEXT = frozenset(
    {"str", "repr", "format", "type", "isinstance", "getattr", "join", "format_exception", "len"}
)
# `cancelled = True`: it is raised again later, or its meaning is carried on.
_REMEMBERS = re.compile(r"cancel|interrupt", re.IGNORECASE)
_KEEPING = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
# Calls that wait for handles given to them: awaiting one is awaiting the handle.
_WAITS = frozenset(
    {"gather", "wait", "wait_for", "shield", "join", "wait_closed", "ensure_future", "wrap_future"}
)
_TAKING_TIME = (
    ast.Call,
    ast.Await,
    ast.Yield,
    ast.YieldFrom,
    ast.For,
    ast.While,
    ast.With,
    ast.Import,
    ast.ImportFrom,
    ast.Attribute,
    ast.Subscript,
)
_OUTCOMES = frozenset({"result", "exception"})
_THREAD_STARTS = frozenset({"submit", "run_in_executor", "to_thread", "start_new_thread", "run_sync"})
_TIMEOUTS = frozenset({"timeout", "timeout_at", "fail_after", "move_on_after"})
_STOPPING = re.compile(r"cancel|aclose|^stop|shutdown|terminate|^kill", re.IGNORECASE)


def passes_on(handler: ast.ExceptHandler, scope: Scope, module: Module) -> bool:
    """Whether the handler raises, exits, keeps the exception, or gives it to somebody: anything but a log."""
    for node in own_nodes(*handler.body):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            fetched = module.qualified(node.func, scope) in _FETCHES
            if _is_kept(node, handler, module) if fetched else _takes_care(node, scope, module):
                return True
        if isinstance(node, ast.Assign) and any(
            _REMEMBERS.search(last_name(target)) for target in node.targets
        ):
            return True
        if isinstance(node, ast.Name) and node.id == handler.name and _is_kept(node, handler, module):
            return True
    return False


def _takes_care(call: ast.Call, scope: Scope, module: Module) -> bool:
    name = module.qualified(call.func, scope)
    if name in _ENDS:
        return True
    last = last_name(call.func)
    if last in _LOGGING:
        return False
    return _TAKES_CARE.search(last) is not None


def _is_kept(node: ast.expr, handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether this use of the exception does more than ask about it, turn it into text or log it."""
    for above in module.ancestors(node):
        if isinstance(above, ast.stmt) or above is handler:
            return isinstance(above, _KEEPING)
        if isinstance(above, ast.Call) and last_name(above.func) in _LOGGING | _TEXT:
            return False
        if isinstance(above, ast.JoinedStr | ast.Compare | ast.BinOp):
            return False
    return False


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
    return bool(awaited) and all(_is_handle(node.value) for node in awaited)


def _is_timeout(node: ast.AsyncWith) -> bool:
    return all(
        isinstance(item.context_expr, ast.Call) and last_name(item.context_expr.func) in _TIMEOUTS
        for item in node.items
    )


def _is_handle(expression: ast.expr) -> bool:
    if isinstance(expression, ast.Call):
        if last_name(expression.func) == "cast" and expression.args:
            return _is_handle(expression.args[-1])
        if last_name(expression.func) not in _WAITS:
            return False
        # Without arguments it is `event.wait()` or `queue.join()`: the only cancellation there is our own.
        return bool(expression.args) and _is_handle(expression.args[0])
    if isinstance(expression, ast.Starred):
        return True
    return isinstance(expression, ast.Subscript) or dotted(expression) is not None


def cannot_be_interrupted(body: Sequence[ast.stmt]) -> bool:
    """Whether the body is over at once, as far as one can tell: it calls nothing but what it raises."""
    nodes = list(own_nodes(*body))
    raised = {below for node in nodes if isinstance(node, ast.Raise) for below in ast.walk(node)}
    return not any(isinstance(node, _TAKING_TIME) and node not in raised for node in nodes)


def reads_outcome(body: Sequence[ast.stmt]) -> bool:
    """Whether the body only asks a finished task or future how it ended: what it raises is old, and not for us."""
    if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Assign | ast.Return):
        return False
    value = body[0].value
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _OUTCOMES
    )


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
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "target")
    if last_name(call.func) in _THREAD_STARTS:
        yield from call.args


def stops_others_first(node: ast.AST, body: Sequence[ast.stmt], scope: Scope) -> bool:
    """Whether something is cancelled or stopped in the same function, before the handler or inside its ``try``.

    ``task.cancel()`` and then ``await`` with the cancellation caught is the known way to wait for its end.
    """
    line = getattr(node, "lineno", 0)
    return any(
        _STOPPING.search(last_name(call.func)) is not None
        for call in (
            *_calls_before(scope, line),
            *(inner for inner in own_nodes(*body) if isinstance(inner, ast.Call)),
        )
    )


def _calls_before(scope: Scope, line: int) -> Iterator[ast.Call]:
    function = scope.function
    if function is not None:
        yield from (call for call in function.calls if call.lineno < line)
