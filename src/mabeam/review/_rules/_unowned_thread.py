"""MB105: a thread, or a pool of threads, is started and nobody can wait for it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._finding import Severity
from mabeam.review._module import dotted, own_nodes
from mabeam.review._rules._bounds import definition, is_cleanup_name
from mabeam.review._rules._rule import Draft, Rule, last_name, place, shown
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

_THREADS = frozenset({"threading.Thread", "threading.Timer"})
_RAW_STARTS = frozenset({"_thread.start_new_thread", "_thread.start_new", "_thread.start_joinable_thread"})
_POOLS = frozenset(
    {
        "concurrent.futures.ThreadPoolExecutor",
        "concurrent.futures.ProcessPoolExecutor",
        "concurrent.futures.InterpreterPoolExecutor",
    }
)
# What can be done with a thread without owning it: nobody waits for it, stops it, or hands it on.
_SETTINGS = frozenset(
    {"start", "setDaemon", "setName", "daemon", "name", "ident", "native_id", "isDaemon", "getName"}
)
# A thread that reads, or is given, something of this name can be told to stop, or ends the program itself.
_STOPS = re.compile(
    r"stop|shut_?down|clos(?:e|ed|ing)|cancel|finish|(?:^|_)(?:done|exit|quit|kill|running|alive|is_set)(?:$|_)",
    re.IGNORECASE,
)
_STOPPABLE = re.compile(r"stop|shut_?down|is_set|browser", re.IGNORECASE)
_WAITS = frozenset({"wait", "get", "result", "join", "acquire", "recv"})
_POOL_USES = frozenset({"submit", "map"})

_POOL_IMPACT = (
    "The pool's workers outlive the code that made them: they end when the pool happens to be collected, or hold up the "
    "exit of the interpreter. Each call makes a new pool, so the number of workers has no limit."
)
_POOL_RECOMMENDATION = (
    "Open the pool in a `with` block, or make it once, keep it on the object that owns it, and call `shutdown()` when that "
    "object ends."
)


def _check(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    name = module.qualified(call.func, scope)
    if name in _RAW_STARTS:
        if _needs_no_owner(call, scope, module):
            return
        yield Draft(
            node=call,
            observation=f"`{shown(call.func)}` {place(scope)} starts a thread that has no handle at all.",
            severity=_severity(call, scope, module),
            recommendation=f"Use `threading.Thread` instead of the raw call. {_RECOMMENDATION}",
        )
    elif name in _POOLS:
        yield from _check_pool(call, scope, module)
    else:
        yield from _check_thread(call, scope, module)


# ---------------------------------------------------------------- threads


def _check_thread(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    kind = _thread_kind(call, scope, module)
    if kind is None or _needs_no_owner(call, scope, module):
        return
    severity = _severity(call, scope, module)
    above = module.parent(call)
    if isinstance(above, ast.Attribute) and above.attr == "start":
        start = module.parent(above)
        if isinstance(start, ast.Call) and isinstance(module.parent(start), ast.Expr):
            yield Draft(
                node=call,
                observation=f"`{_shown_thread(call)}.start()` {place(scope)} starts a {kind} and drops its handle.",
                severity=severity,
            )
        return
    variable = _variable(call, scope, module)
    if variable is None:
        return
    uses = module.uses(variable, scope)
    attributes = [module.parent(node) for node, _ in uses]
    seen = {node.attr for node in attributes if isinstance(node, ast.Attribute)}
    if (
        all(isinstance(node, ast.Attribute) and node.attr in _SETTINGS for node in attributes)
        and "start" in seen
    ):
        yield Draft(
            node=call,
            observation=(
                f"`{variable} = {_shown_thread(call)}` {place(scope)} is started and then neither joined, kept nor "
                f"handed on: the {kind} has no owner."
            ),
            severity=severity,
        )


def _thread_kind(call: ast.Call, scope: Scope, module: Module) -> str | None:
    """Say what the call makes, if that is a thread: a class of this module may derive from it."""
    name = module.qualified(call.func, scope)
    if name == "threading.Timer":
        return "timer thread"
    if name != "threading.Thread" and not _derives_from_thread(call.func, scope, module):
        return None
    daemon = next((keyword.value for keyword in call.keywords if keyword.arg == "daemon"), None)
    return "daemon thread" if isinstance(daemon, ast.Constant) and daemon.value is True else "thread"


def _severity(call: ast.Call, scope: Scope, module: Module) -> Severity:
    """Say how grave it is: the interpreter waits at exit for what is no daemon, which may never end."""
    if module.qualified(call.func, scope) != "threading.Thread" or _is_daemon(call, scope, module):
        return Severity.MINOR
    target = _target(call)
    body = definition(target, scope) if target is not None else None
    if body is not None:
        return Severity.MAJOR if _has_endless_loop(own_nodes(*body.body)) else Severity.MINOR
    # What is defined elsewhere may run for ever; in a coroutine nobody looks for a thread.
    return Severity.MAJOR if module.is_coroutine(scope) else Severity.MINOR


def _is_daemon(call: ast.Call, scope: Scope, module: Module) -> bool:
    for keyword in call.keywords:
        if keyword.arg == "daemon":
            return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    variable = _variable(call, scope, module)
    above = [module.parent(node) for node, _ in module.uses(variable, scope)] if variable is not None else []
    return any(isinstance(node, ast.Attribute) and node.attr in ("daemon", "setDaemon") for node in above)


def _has_endless_loop(nodes: Iterable[ast.AST]) -> bool:
    return any(
        isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        for node in nodes
    )


def _needs_no_owner(call: ast.Call, scope: Scope, module: Module) -> bool:
    """Whether the thread can be told to stop or be waited for by other means, or is there to end something else."""
    if any(
        keyword.arg == "daemon" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        for keyword in call.keywords
    ):
        return True  # the interpreter is to wait for it at exit, and somebody has said so
    target = _target(call)
    if target is not None:
        if is_cleanup_name(last_name(target).lstrip("_")):
            return True
        body = definition(target, scope)
        if body is not None and any(_STOPS.search(name) is not None for name in _names(body)):
            return True
    given = {
        node.id for argument in _arguments(call) for node in ast.walk(argument) if isinstance(node, ast.Name)
    }
    if any(_STOPS.search(name) is not None for name in given):
        return True
    if any(isinstance(a, ast.Dict) and _has_stop_key(a) for a in _arguments(call)):
        return True
    function = scope.function
    if function is not None and any(_STOPPABLE.search(name) is not None for name in _names(function.node)):
        return True
    body_of_owner = getattr(function.node, "body", None) if function is not None else None
    if function is None or not isinstance(body_of_owner, list):
        return False
    nested = definition(target, scope) if isinstance(target, ast.Name) else None
    if nested is not None and module.scope_of(nested) is not None:
        given |= set(_names(nested))
    later = [node for node in own_nodes(*body_of_owner) if getattr(node, "lineno", 0) > call.lineno]
    # A thread beside the loop in which a program spends its life ends with it.
    return _is_waited_for(given & set(function.bindings), later) or _has_endless_loop(later)


def _is_waited_for(names: set[str], later: Sequence[ast.AST]) -> bool:
    """Whether what the thread works with is waited for or returned afterwards: a future, a queue, an event."""
    for node in later:
        if isinstance(node, ast.Attribute) and node.attr in _WAITS:
            waited: ast.AST | None = node.value
        elif isinstance(node, ast.Await) and isinstance(node.value, ast.Name):
            return True  # a future, which the thread sets by a way that is not followed
        elif isinstance(node, ast.Return | ast.Await | ast.Yield):
            waited = node.value
        else:
            continue
        if waited is not None and any(
            isinstance(part, ast.Name) and part.id in names for part in ast.walk(waited)
        ):
            return True
    return False


def _has_stop_key(arguments: ast.Dict) -> bool:
    return any(
        isinstance(key, ast.Constant) and isinstance(key.value, str) and _STOPS.search(key.value) is not None
        for key in arguments.keys
    )


def _names(body: ast.AST) -> Iterator[str]:
    for node in ast.walk(body):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _target(call: ast.Call) -> ast.expr | None:
    """Return what the thread runs, where the call says it."""
    for keyword in call.keywords:
        if keyword.arg in ("target", "function"):
            return keyword.value
    name = last_name(call.func)
    position = 0 if name.startswith("start_") else 1
    return call.args[position] if len(call.args) > position else None


def _derives_from_thread(function: ast.expr, scope: Scope, module: Module) -> bool:
    if not isinstance(function, ast.Name) or (found := scope.lookup(function.id)) is None:
        return False
    owner, bindings = found
    if len(bindings) != 1 or not isinstance(bindings[0].node, ast.ClassDef):
        return False
    return any(module.qualified(base, owner) in _THREADS for base in bindings[0].node.bases)


def _shown_thread(call: ast.Call) -> str:
    target = next((keyword.value for keyword in call.keywords if keyword.arg == "target"), None)
    if target is not None and (name := dotted(target)) is not None:
        return f"{shown(call.func)}(target={name})"
    return shown(call)


# ---------------------------------------------------------------- pools


def _check_pool(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    above = module.parent(call)
    if isinstance(above, ast.Attribute) and above.attr in _POOL_USES:
        how = f"is used for one `{above.attr}` and dropped"
    elif isinstance(above, ast.Call) and _runs_in(above, call):
        how = f"is made for one `{shown(above.func)}` and dropped"
    elif isinstance(above, ast.Expr):
        how = "is made and dropped"
    else:
        variable = _variable(call, scope, module)
        if variable is None or not all(_only_uses(node, module) for node, _ in module.uses(variable, scope)):
            return
        how = f"stays in the variable `{variable}` and is never shut down"
    yield Draft(
        node=call,
        observation=f"The pool `{shown(call)}` {place(scope)} {how}.",
        severity=Severity.MINOR,
        impact=_POOL_IMPACT,
        recommendation=_POOL_RECOMMENDATION,
    )


def _only_uses(node: ast.AST, module: Module) -> bool:
    above = module.parent(node)
    if isinstance(above, ast.Attribute):
        return above.attr in _POOL_USES
    return isinstance(above, ast.Call) and _runs_in(above, node)


def _runs_in(call: ast.Call, pool: ast.AST) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "run_in_executor"
        and bool(call.args)
        and call.args[0] is pool
    )


def _variable(call: ast.Call, scope: Scope, module: Module) -> str | None:
    """Return the local variable that the call is assigned to, if that is all that happens to it and to the name."""
    statement = module.parent(call)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    if not isinstance(target, ast.Name) or scope.kind not in (ScopeKind.FUNCTION, ScopeKind.COROUTINE):
        return None
    # A name with several values may be anything by the time it is joined.
    bindings = scope.bindings.get(target.id, [])
    return target.id if len(bindings) == 1 and bindings[0].kind is BindingKind.VALUE else None


_RECOMMENDATION = (
    "Keep the thread and `join()` it where its owner ends, with a way to tell it to stop (an event, a sentinel in its queue). "
    "From asyncio, `await asyncio.to_thread(...)` owns the wait; a pool belongs in a `with` block."
)

RULE = Rule(
    code="MB105",
    title="Thread started without an owner",
    severity=Severity.MAJOR,
    impact=(
        "Nobody can tell the thread to stop, wait for it, or learn that it failed. It outlives what started it, uses what "
        "may be closed by then, and at exit is either waited for without end or cut off in the middle of its work."
    ),
    recommendation=_RECOMMENDATION,
    hints=("hread", "PoolExecutor"),
    checks={ast.Call: _check},
)
