"""What a handler does with what it caught, and what the ``try`` was waiting for."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._module import dotted, own_nodes
from mabeam.review._rules._bounds import is_cleanup_name
from mabeam.review._rules._rule import last_name
from mabeam.review._scope import BindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = (
    "awaits_handle",
    "awaits_something",
    "cannot_be_interrupted",
    "goes_on_with_work",
    "guards_against_anything",
    "is_only_cleanup",
    "is_started_as_task",
    "is_thread_main",
    "passes_on",
    "passes_on_text",
    "reads_outcome",
    "stops_others_first",
    "waits_for_ever",
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
_TAKING_TIME = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.For, ast.While, ast.With)
# Calls that are over before anybody could press Ctrl-C, whatever they are called on.
_QUICK_CALLS = frozenset(
    {
        *(
            "abs",
            "bool",
            "callable",
            "chr",
            "dict",
            "dir",
            "float",
            "getattr",
            "hasattr",
            "hash",
            "id",
            "int",
            "isinstance",
        ),
        *(
            "issubclass",
            "iter",
            "len",
            "list",
            "max",
            "min",
            "next",
            "ord",
            "repr",
            "round",
            "set",
            "setattr",
            "sorted",
            "str",
        ),
        *(
            "super",
            "tuple",
            "type",
            "vars",
            "add",
            "append",
            "call_later",
            "call_soon",
            "clear",
            "copy",
            "count",
            "ctime",
        ),
        *(
            "decode",
            "discard",
            "encode",
            "endswith",
            "extend",
            "fileno",
            "find",
            "format",
            "get",
            "getpid",
            "group",
            "index",
        ),
        *(
            "insert",
            "is_set",
            "isatty",
            "items",
            "join",
            "keys",
            "lower",
            "lstrip",
            "match",
            "monotonic",
            "perf_counter",
        ),
        *(
            "pop",
            "popitem",
            "put_nowait",
            "get_nowait",
            "remove",
            "replace",
            "rpartition",
            "partition",
            "rsplit",
            "rstrip",
        ),
        *(
            "setdefault",
            "sort",
            "split",
            "splitlines",
            "startswith",
            "stat",
            "strip",
            "setlocale",
            "start_color",
            "sysconf",
            "time",
            "unlink",
        ),
        *(
            "cancel",
            "current_time",
            "pause_reading",
            "resume_reading",
            "resume_writing",
            "set_result",
            "write_eof",
        ),
        *("update", "upper", "values", "bytes", "bytearray", "cast", "result", "exception"),
    }
)
# Code that somebody else wrote runs here, and may raise anything: to catch all of it is the purpose.
_FOREIGN_CODE = frozenset(
    {"eval", "exec", "execfile", "__import__", "import_module", "exec_module", "load_module", "repr"}
)
# `do_this` is a command of an interactive program, which goes back to its prompt.
_GUARDS = re.compile(
    r"^do_|(?:^|_)(?:safe|safely|quiet|quietly|silent|silently|best_effort|ignore|ignoring|try|protect)(?:$|_)"
)
# Classes of interactive programs, which go back to their prompt as well.
_CONSOLES = frozenset({"Cmd", "Bdb", "InteractiveInterpreter", "InteractiveConsole"})
_TASK_STARTS = frozenset(
    {"create_task", "ensure_future", "start_soon", "run_coroutine_threadsafe", "spawn", "start_task"}
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
    return not any(
        isinstance(node, _TAKING_TIME) and node not in raised and not _is_quick(node) for node in nodes
    )


def _is_quick(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = last_name(node.func)
    return name in _QUICK_CALLS or (name.startswith("__") and name.endswith("__"))


def is_only_cleanup(body: Sequence[ast.stmt]) -> bool:
    """Whether all that the body does is to close, stop or remove something: the way out must not fail."""
    calls = [node for node in own_nodes(*body) if isinstance(node, ast.Call)]
    lasting = any(isinstance(node, ast.For | ast.AsyncFor | ast.While) for node in own_nodes(*body))
    return (
        bool(calls)
        and not lasting
        and all(_is_quick(call) or is_cleanup_name(last_name(call.func).lstrip("_")) for call in calls)
    )


def guards_against_anything(body: Sequence[ast.stmt], scope: Scope) -> bool:
    """Whether catching everything is the purpose: foreign code runs, or the function says so by its name."""
    function = scope.function
    name = (function.name if function is not None else None) or ""
    if function is not None and _is_about_an_exception(function):
        return True
    owner = scope.enclosing_class
    bases = owner.node.bases if owner is not None and isinstance(owner.node, ast.ClassDef) else []
    if any(last_name(base) in _CONSOLES for base in bases):
        return True
    if _GUARDS.search(name) is not None or _TAKES_CARE.search(name) is not None or is_cleanup_name(name):
        return True
    return any(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Call) and last_name(node.func) in _FOREIGN_CODE)
        for node in own_nodes(*body)
    )


def _is_about_an_exception(function: Scope) -> bool:
    """Whether the function is given an exception: the first error is what matters there, not the next one."""
    return any(
        binding.kind is BindingKind.PARAMETER
        and binding.value is not None
        and last_name(binding.value) in ("BaseException", "Exception")
        for bindings in function.bindings.values()
        for binding in bindings
    )


def waits_for_ever(body: Sequence[ast.stmt]) -> bool:
    """Whether the body waits for nothing but its cancellation: then that is the signal to go on."""
    if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Await):
        return False
    waited = body[0].value.value
    if not isinstance(waited, ast.Call):
        return False
    name = last_name(waited.func)
    if name == "wait" and isinstance(waited.func, ast.Attribute):
        return isinstance(waited.func.value, ast.Call) and last_name(waited.func.value.func) == "Event"
    return name in ("Future", "create_future", "sleep_forever")


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
        if isinstance(above, ast.Call) and last_name(above.func) in _LOGGING | {"isinstance"}:
            return False
        in_text = in_text or isinstance(above, ast.Call | ast.JoinedStr | ast.BinOp)
    return False


def is_started_as_task(scope: Scope, module: Module) -> bool:
    """Whether this module starts the coroutine as a task of its own, and never awaits it in place.

    Then nobody takes its end for finished work: who cancels it knows why it ended.
    """
    function = scope.function
    name = function.name if function is not None else None
    if name is None:
        return False
    started = False
    for around in module.scopes:
        for call in around.calls:
            if last_name(call.func) == name:
                if isinstance(module.parent(call), ast.Await):
                    return False
                started = True
            elif last_name(call.func) in _TASK_STARTS:
                started = started or any(last_name(argument) == name for argument in call.args)
    return started


def goes_on_with_work(statements: Sequence[ast.stmt]) -> bool:
    """Whether the statements do more than tidy up: they loop, or wait for something new."""
    return any(
        isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.AsyncWith)
        or (isinstance(node, ast.Await) and not (_is_handle(node.value) or _is_cleanup_call(node.value)))
        for node in own_nodes(*statements)
    )


def _is_cleanup_call(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and is_cleanup_name(last_name(expression.func).lstrip("_"))


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
