"""Whether Ctrl-C or ``sys.exit()`` can arrive in a block, and whether losing it there is the purpose."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._blocking import blocking_call
from mabeam.review._clues._handlers import LOGGING, TAKES_CARE, passes_on_text
from mabeam.review._clues._loops import is_last
from mabeam.review._clues._naming import is_cleanup_name, is_serving_name
from mabeam.review._clues._quick_calls import QUICK_CALLS
from mabeam.review._clues._surroundings import is_thread_main, stops_others_first
from mabeam.review._clues._words import last_name
from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._scope import BindingKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("is_guard", "may_catch_exits", "may_last")

_MAINS = frozenset({"main", "_main"})
_TAKING_TIME = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.For, ast.While, ast.With)
# Code that somebody else wrote runs here, and may raise anything: to catch all of it is the purpose.
_FOREIGN_CODE = frozenset(
    {
        *(
            "eval",
            "exec",
            "execfile",
            "__import__",
            "import_module",
            "exec_module",
            "find_spec",
            "reload",
            "repr",
        ),
        *("load_module", "load_extension", "load_extensions", "load_plugin", "load_plugins", "_load"),
    }
)
_GUARDS = re.compile(
    r"(?:^|_)(?:safe|safely|quiet|quietly|silent|silently|best_effort|ignore|ignoring|suppress|swallow|try|protect)(?:$|_)"
)
# `do_this` is a command of an interactive program, which goes back to its prompt; `on_this` is called back by somebody else.
_CALLED_BACK = re.compile(r"^do_|^_?on_")
# Classes of interactive programs, which go back to their prompt as well.
_CONSOLES = frozenset({"Cmd", "Bdb", "InteractiveInterpreter", "InteractiveConsole"})
# `__hash__`, `setTcpNoDelay`, `is_open`, `has_tag`, `_add_attribute`: questions and settings.
_QUICK_NAMES = re.compile(r"^__.*__$|^(?:set|is|has)(?:_|[A-Z])|^_?add_")
# What is made and dropped at once is made to see whether it can be: `UUID(text)`.
_IS_CLASS = re.compile(r"^[A-Z][a-zA-Z0-9]*[a-z]")
_OUTCOMES = frozenset({"result", "exception"})
# Names of calls in which a program may spend some time: those of work, of waiting, and of the world outside.
_LASTING = re.compile(
    r"(?:^|_)(?:"
    r"run|work|process|poll|wait|sleep|step|main|job|task|loop|start|execute|handle|invoke|call|do|serve|input|"
    r"build|train|compute|scan|sync|check|communicate|query|fetch|load|read|write|open|send|recv|receive|"
    r"connect|request|upload|download|post|put|patch|delete|head|urlopen"
    r")(?:$|_|s$)|^(?:get|f|fn|func|function)$",
    re.IGNORECASE,
)
# `failed = True`, `exit_code = 1`: what happened is told at the end.
_VERDICTS = re.compile(
    r"fail|success|(?:^|_)(?:ok|error|err|crashed|status)(?:$|_)|(?:exit|return)_?(?:code|status)",
    re.IGNORECASE,
)


def may_catch_exits(node: ast.AST, body: Sequence[ast.stmt], scope: Scope, module: Module) -> bool:
    """Whether losing an exit here is no loss: it cannot arrive, or to lose it is the purpose."""
    body = _unguarded(body)
    if scope.name == "__del__" or _is_only_cleanup(body):
        return True
    if _is_over_soon(body) and not _waits(body, scope, module):
        return True
    if isinstance(node, ast.ExceptHandler):
        if passes_on_text(node, module) or _keeps_verdict(node):
            return True
        if _ends_program(node, scope, module):
            return True
    elif stops_others_first(node, (), scope, module):
        return True
    return _reads_outcome(body) or _guards_against_anything(body, scope) or is_thread_main(scope, module)


def _unguarded(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Leave out what an inner ``try`` guards that lets nothing through: it is judged by itself."""
    left: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Try) and any(_lets_nothing_through(one) for one in statement.handlers):
            for handler in statement.handlers:
                left += handler.body
            left += statement.orelse + statement.finalbody
        else:
            left.append(statement)
    return left


def _lets_nothing_through(handler: ast.ExceptHandler) -> bool:
    everything = handler.type is None or last_name(handler.type) == "BaseException"
    return everything and not any(isinstance(node, ast.Raise) for node in own_nodes(*handler.body))


def _ends_program(handler: ast.ExceptHandler, scope: Scope, module: Module) -> bool:
    """Whether the program is over after the clause: who pressed Ctrl-C has got it."""
    leaves = isinstance(handler.body[-1], ast.Return)
    if scope.name in _MAINS:
        return leaves or is_last(handler, scope, module)  # a value becomes the status of the program
    if scope.function is None:
        return _is_under_name_check(handler, module) and is_last(handler, scope, module)
    later = [call for call in scope.calls if call.lineno > handler.lineno]
    return leaves and any(is_serving_name(last_name(call.func)) for call in later)


def _is_under_name_check(node: ast.AST, module: Module) -> bool:
    return any(
        isinstance(above, ast.If)
        and any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(above.test))
        for above in module.ancestors(node)
    )


def _reads_outcome(body: Sequence[ast.stmt]) -> bool:
    """Whether the body only asks a finished task or future how it ended: what it raises is old, and not for us."""
    if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Assign | ast.Return):
        return False
    value = body[0].value
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _OUTCOMES
    )


def _is_over_soon(body: Sequence[ast.stmt]) -> bool:
    return _cannot_be_interrupted(body) or (not may_last(body) and not _does_something(body))


def _waits(body: Sequence[ast.stmt], scope: Scope, module: Module) -> bool:
    """Whether the body is known to wait for something: `get` is quick on a dictionary, and not in `requests`."""
    found = (
        blocking_call(node, scope, module) if isinstance(node, ast.Call) else None
        for node in own_nodes(*body)
    )
    return any(call is not None and call.severity is not Severity.MINOR for call in found)


def _cannot_be_interrupted(body: Sequence[ast.stmt]) -> bool:
    """Whether the body is over at once, as far as one can tell: it calls nothing but what it raises."""
    nodes = list(own_nodes(*body))
    raised = {below for node in nodes if isinstance(node, ast.Raise) for below in ast.walk(node)}
    return not any(
        isinstance(node, _TAKING_TIME) and node not in raised and not _is_quick(node) for node in nodes
    )


def _is_quick(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = last_name(node.func)
    return name in QUICK_CALLS or _QUICK_NAMES.search(name) is not None


def may_last(body: Sequence[ast.stmt]) -> bool:
    """Whether the body may go on for a while, so that somebody may lose patience: it loops, or calls what sounds like work."""
    return any(
        isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.With | ast.Await)
        or (isinstance(node, ast.Call) and _LASTING.search(last_name(node.func)) is not None)
        for node in own_nodes(*body)
    )


def _does_something(body: Sequence[ast.stmt]) -> bool:
    """Whether something is called for what it does, and not only for its answer: who asks has it soon, as a rule."""
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and not _is_quick(node.value)
        and not _IS_CLASS.search(last_name(node.value.func))
        and last_name(node.value.func) not in LOGGING
        for node in own_nodes(*body)
    )


def _keeps_verdict(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Assign) and any(_VERDICTS.search(last_name(target)) for target in node.targets)
        for node in own_nodes(*handler.body)
    )


def _is_only_cleanup(body: Sequence[ast.stmt]) -> bool:
    """Whether all that the body does is to close, stop or remove something: the way out must not fail."""
    calls = [node for node in own_nodes(*body) if isinstance(node, ast.Call) and not _is_quick(node)]
    lasting = any(isinstance(node, ast.For | ast.AsyncFor | ast.While) for node in own_nodes(*body))
    return (
        bool(calls)
        and not lasting
        and all(is_cleanup_name(last_name(call.func).lstrip("_")) for call in calls)
    )


def _guards_against_anything(body: Sequence[ast.stmt], scope: Scope) -> bool:
    """Whether catching everything is the purpose: foreign code runs, or the function says so by its name."""
    function = scope.function
    name = (function.name if function is not None else None) or ""
    if function is not None and (_is_about_an_exception(function) or is_guard(scope)):
        return True
    owner = scope.enclosing_class
    bases = owner.node.bases if owner is not None and isinstance(owner.node, ast.ClassDef) else []
    if any(last_name(base) in _CONSOLES for base in bases):
        return True
    if TAKES_CARE.search(name) is not None or _CALLED_BACK.search(name) is not None or is_cleanup_name(name):
        return True
    return any(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Call) and last_name(node.func) in _FOREIGN_CODE)
        for node in own_nodes(*body)
    )


def is_guard(scope: Scope) -> bool:
    """Whether the function, or the one that makes it, says by its name that it lets nothing through."""
    around: Scope | None = scope
    while around is not None:
        if _GUARDS.search(around.name or "") is not None:
            return True
        around = around.parent
    return False


def _is_about_an_exception(function: Scope) -> bool:
    """Whether the function is given an exception: the first error is what matters there, not the next one."""
    return any(
        binding.kind is BindingKind.PARAMETER
        and binding.value is not None
        and last_name(binding.value) in ("BaseException", "Exception")
        for bindings in function.bindings.values()
        for binding in bindings
    )
