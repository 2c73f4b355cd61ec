"""MB105: a thread, or a pool of threads, is started and nobody can wait for it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._functions import definition
from mabeam.review._clues._loops import has_endless_loop
from mabeam.review._clues._thread_ends import needs_no_owner, thread_target
from mabeam.review._clues._words import last_name, place, shown
from mabeam.review._finding import Severity
from mabeam.review._module import dotted, own_nodes
from mabeam.review._rules._rule import Draft, Rule
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_RESULT_WAITS = frozenset({"wait", "as_completed", "result"})
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
        if needs_no_owner(call, scope, module):
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
    if kind is None or needs_no_owner(call, scope, module):
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
    if _is_told_to_be_waited_for(variable, scope, module):
        return
    attributes = [module.parent(node) for node, _ in uses]
    seen = {node.attr for node in attributes if isinstance(node, ast.Attribute)}
    if any(
        isinstance(above := module.parent(node), ast.Call) and above.func is not node
        for node in attributes
        if node
    ):
        return  # `run(func=thread.start)`: somebody else starts it
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


def _is_told_to_be_waited_for(variable: str, scope: Scope, module: Module) -> bool:
    """Whether it says `thread.daemon = False`: the interpreter is to wait for it at exit."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "daemon"
        and isinstance(statement := module.parent(node), ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value is False
        for node in (module.parent(use) for use, _ in module.uses(variable, scope))
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
    target = thread_target(call)
    body = definition(target, scope) if target is not None else None
    if body is not None:
        return Severity.MAJOR if has_endless_loop(own_nodes(*body.body)) else Severity.MINOR
    # What is defined elsewhere may run for ever; in a coroutine nobody looks for a thread.
    return Severity.MAJOR if module.is_coroutine(scope) else Severity.MINOR


def _is_daemon(call: ast.Call, scope: Scope, module: Module) -> bool:
    for keyword in call.keywords:
        if keyword.arg == "daemon":
            return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    variable = _variable(call, scope, module)
    above = [module.parent(node) for node, _ in module.uses(variable, scope)] if variable is not None else []
    return any(isinstance(node, ast.Attribute) and node.attr in ("daemon", "setDaemon") for node in above)


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
        if _is_waited_for(above, module):
            return
        how = f"is used for one `{above.attr}` and dropped"
    elif isinstance(above, ast.Call) and _runs_in(above, call):
        how = f"is made for one `{shown(above.func)}` and dropped"
    elif isinstance(above, ast.Expr):
        how = "is made and dropped"
    else:
        variable = _variable(call, scope, module)
        uses = module.uses(variable, scope) if variable is not None else []
        if variable is None or not all(_only_uses(node, module) for node, _ in uses):
            return
        if any(reader.function is not scope.function for _, reader in uses):
            return  # a function that is handed on keeps it
        if any(last_name(other.func) in _RESULT_WAITS for other in module.calls_in(scope)):
            return  # its work is waited for, and then it is idle
        how = f"stays in the variable `{variable}` and is never shut down"
    yield Draft(
        node=call,
        observation=f"The pool `{shown(call)}` {place(scope)} {how}.",
        severity=Severity.MINOR,
        impact=_POOL_IMPACT,
        recommendation=_POOL_RECOMMENDATION,
    )


def _is_waited_for(use: ast.Attribute, module: Module) -> bool:
    """Whether the one result is waited for in place: `Pool().submit(...).result()`."""
    result = module.parent(module.parent(use) or use)
    return isinstance(result, ast.Attribute) and result.attr in ("result", "exception")


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
