"""What an ``except`` clause does with what it caught."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._module import own_nodes

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("LOGGING", "TAKES_CARE", "passes_on", "passes_on_text")

_ENDS = frozenset(
    {
        "builtins.exit",
        "builtins.quit",
        "os._exit",
        "os.abort",
        "os.kill",
        "os.killpg",
        "signal.raise_signal",
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
TAKES_CARE = re.compile(
    r"re_?raise|^_?raise|abort|_exit|^exit|fatal|(?:^|_)fail|handle_?(?:error|exc|cancel)|set_exception|excepthook|"
    r"(?:^|_)exc(?:eption)?$|"
    r"call_exception_handler|uncancel|cancelling|cancelled|^cancel|on_error|report_(?:error|exc)|"
    r"^(?:crash|die|shutdown|stop|terminate|kill|close_with|send_error|reply_error)",
    re.IGNORECASE,
)
LOGGING = frozenset(
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
# `cancelled = True`, `stopping.set()`: it is raised again later, or somebody is told in another way.
_REMEMBERS = re.compile(
    r"cancel|interrupt|stop|shut_?down|(?:^|_)(?:should_)?(?:exit|quit|abort(?:ed|ing)?|closing|running|alive)(?:$|_)",
    re.IGNORECASE,
)
_KEEPING = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)


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
        if isinstance(node, ast.Call) and _sets_signal(node):
            return True
        if isinstance(node, ast.Name) and node.id == handler.name and _is_kept(node, handler, module):
            return True
    return False


def _sets_signal(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "set"
        and _REMEMBERS.search(last_name(function.value)) is not None
    )


def _takes_care(call: ast.Call, scope: Scope, module: Module) -> bool:
    name = module.qualified(call.func, scope)
    if name in _ENDS:
        return True
    last = last_name(call.func)
    if last in LOGGING:
        return False
    return TAKES_CARE.search(last) is not None


def _is_kept(node: ast.expr, handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether this use of the exception does more than ask about it, turn it into text or log it."""
    for above in module.ancestors(node):
        if isinstance(above, ast.stmt) or above is handler:
            return isinstance(above, _KEEPING)
        if isinstance(above, ast.Call) and last_name(above.func) in LOGGING | _TEXT:
            return False
        if isinstance(above, ast.JoinedStr | ast.Compare | ast.BinOp):
            return False
    return False


def passes_on_text(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether what was caught goes to the caller as text, in an answer say: a log does not count."""
    return any(
        isinstance(node, ast.Name) and node.id == handler.name and _reaches_caller(node, handler, module)
        for node in own_nodes(*handler.body)
    )


def _reaches_caller(node: ast.expr, handler: ast.ExceptHandler, module: Module) -> bool:
    in_text = False
    for above in module.ancestors(node):
        if isinstance(above, ast.stmt) or above is handler:
            return in_text and isinstance(above, ast.Return | ast.Expr | ast.Assign)
        if isinstance(above, ast.Call) and last_name(above.func) in LOGGING | {"isinstance"}:
            return False
        in_text = in_text or isinstance(above, ast.Call | ast.JoinedStr | ast.BinOp)
    return False
