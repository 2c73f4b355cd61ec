"""How a thread comes to its end: told to stop, waited for by other means, or never."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._functions import definition
from mabeam.review._clues._lasting import calls_endless, is_inherited, is_kept_loop, runs_kept_server, serves
from mabeam.review._clues._loops import has_endless_loop
from mabeam.review._clues._naming import is_cleanup_name
from mabeam.review._clues._words import last_name
from mabeam.review._module import own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("needs_no_owner", "thread_target")

# A thread that reads, or is given, something of this name can be told to stop, or ends the program itself.
_STOPS = re.compile(
    r"stop(?!(?:async)?iteration)|shut_?down|clos(?:e|ed|ing)|cancel|finish|abort|browser|"
    r"(?:^|_)(?:done|exit|quit|kill|running|alive|is_set)(?:$|_)",
    re.IGNORECASE,
)
_CLOSABLE = re.compile(r"conn|sock|client|websocket|(?:^|_)(?:ws|proc)(?:$|_)|process|channel", re.IGNORECASE)
_STOPPABLE = re.compile(r"stop(?!(?:async)?iteration)|shut_?down|is_set|browser", re.IGNORECASE)
_OBSERVERS = re.compile(r"monitor|watch_?dog|sampler", re.IGNORECASE)
# What a thread fulfils, and somebody else waits for.
_PROMISES = re.compile(r"future|(?:^|_)fut(?:$|_)|event|promise|outcome|done|ready|finished", re.IGNORECASE)
_WAITS = frozenset({"wait", "get", "result", "join", "acquire", "recv"})


def needs_no_owner(call: ast.Call, scope: Scope, module: Module) -> bool:
    """Whether the thread can be told to stop or be waited for by other means, or is there to end something else."""
    if any(
        keyword.arg == "daemon" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        for keyword in call.keywords
    ):
        return True  # the interpreter is to wait for it at exit, and somebody has said so
    target = thread_target(call)
    if target is not None and is_cleanup_name(last_name(target).lstrip("_")):
        return True
    if target is not None and (is_kept_loop(target, scope, module) or _only_looks(call, target)):
        return True
    if target is not None and is_inherited(target, scope, module):
        return True
    bodies = list(_bodies(call, target, scope))
    if any(_STOPS.search(name) is not None for body in bodies for name in _names(body)):
        return True
    if any(_asks_flag(body, module) for body in bodies):
        return True
    if any(_is_pipe(argument) for argument in _arguments(call)):
        return True
    if any(_reads_pipe(body) or _reports_end(body) or runs_kept_server(body) for body in bodies):
        return True
    given = {
        node.id for argument in _arguments(call) for node in ast.walk(argument) if isinstance(node, ast.Name)
    }
    if any(_STOPS.search(name) is not None for name in given) or _is_kept_elsewhere(given, scope):
        return True
    if any(isinstance(a, ast.Dict) and _has_stop_key(a) for a in _arguments(call)):
        return True
    function = scope.function
    if function is not None and any(_STOPPABLE.search(name) is not None for name in _names(function.node)):
        return True
    if function is not None and any(
        module.qualified(other.func, function) == "threading.Event" for other in function.calls
    ):
        return True  # made beside the thread, and for it
    body_of_owner = getattr(function.node, "body", None) if function is not None else None
    if function is None or not isinstance(body_of_owner, list):
        return False
    for body in bodies:
        inner = module.scope_of(body)
        if inner is not None and inner.is_within(function):
            given |= set(_names(body))
    later = [node for node in own_nodes(*body_of_owner) if getattr(node, "lineno", 0) > call.lineno]
    # A thread beside the loop in which a program spends its life ends with it.
    shared = given & set(function.bindings)
    return (
        _is_waited_for(shared, later)
        or _is_handed_on(shared, later)
        or has_endless_loop(later)
        or serves(later)
        or calls_endless(later, scope)
    )


def _only_looks(call: ast.Call, target: ast.expr) -> bool:
    """Whether a daemon thread observes the program and changes nothing: to be cut off at its end does no harm."""
    daemon = any(
        keyword.arg == "daemon" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )
    return daemon and _OBSERVERS.search(last_name(target)) is not None


def _bodies(call: ast.Call, target: ast.expr | None, scope: Scope) -> Iterator[ast.AST]:
    """Give what the thread runs, where the module shows it: its target, what the target is given, or a `run` method."""
    expressions = [target] if target is not None else []
    for argument in _arguments(call):
        expressions.extend(argument.elts if isinstance(argument, ast.Tuple) else [])
    for expression in expressions:
        if (body := definition(expression, scope)) is not None:
            yield body
    found = scope.lookup(call.func.id) if isinstance(call.func, ast.Name) else None
    made = found[1][0].node if found is not None and len(found[1]) == 1 else None
    for method in made.body if isinstance(made, ast.ClassDef) else ():
        if isinstance(method, ast.FunctionDef) and method.name == "run":
            yield method


def _is_kept_elsewhere(names: set[str], scope: Scope) -> bool:
    """Whether a connection or an OS process that the thread is given is put away as well: who has it can close it."""
    connections = {name for name in names if _CLOSABLE.search(name) is not None}
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in ("add", "append")
        and isinstance(call.func.value, ast.Attribute)
        and any(isinstance(given, ast.Name) and given.id in connections for given in call.args)
        for call in (scope.function or scope).calls
    )


def _asks_flag(body: ast.AST, module: Module) -> bool:
    """Whether the function loops while an attribute says so, and another method sets it: that ends the thread."""
    return any(
        isinstance(part, ast.Attribute) and module.sets_attribute(part.attr, outside=body)
        for loop in ast.walk(body)
        if isinstance(loop, ast.While)
        for part in ast.walk(loop.test)
    )


def _reports_end(body: ast.AST) -> bool:
    """Whether the function sets an event that outlives it: somebody waits for that."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "set"
        and not node.args
        and _PROMISES.search(last_name(node.func.value)) is not None
        for node in ast.walk(body)
    )


def _is_handed_on(names: set[str], later: Sequence[ast.AST]) -> bool:
    """Whether what the thread will fulfil is given to somebody else."""
    promises = {name for name in names if _PROMISES.search(name) is not None}
    return any(isinstance(node, ast.Call) and not promises.isdisjoint(_given_names(node)) for node in later)


def _reads_pipe(body: ast.AST) -> bool:
    """Whether the function reads what an OS process writes: it ends with the process."""
    return any(
        (isinstance(node, ast.For) and _is_pipe(node.iter))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("read", "readline", "readlines", "read1")
            and _is_pipe(node.func.value)
        )
        for node in ast.walk(body)
    )


def _is_pipe(expression: ast.expr) -> bool:
    return any(
        last_name(part) in ("stdout", "stderr") for part in ast.walk(expression) if isinstance(part, ast.expr)
    )


def _is_waited_for(names: set[str], later: Sequence[ast.AST]) -> bool:
    """Whether what the thread works with is waited for or returned afterwards: a future, a queue, an event."""
    for node in later:
        if isinstance(node, ast.Attribute) and node.attr in _WAITS:
            if any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node.value)):
                return True
        elif isinstance(node, ast.Await) and isinstance(node.value, ast.Name):
            return True  # a future, which the thread sets by a way that is not followed
        elif (
            isinstance(node, ast.Return | ast.Await | ast.Yield)
            and node.value is not None
            and not names.isdisjoint(_given_names(node.value))
        ):
            return True
    return False


def _given_names(expression: ast.expr) -> Iterator[str]:
    """Name what an expression is or is given: not what a method is called on, which may be about anything."""
    waiting: list[ast.AST] = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Call):
            waiting.extend(_arguments(node))
        elif not isinstance(node, ast.Attribute):
            waiting.extend(ast.iter_child_nodes(node))


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


def thread_target(call: ast.Call) -> ast.expr | None:
    """Return what the thread runs, where the call says it."""
    for keyword in call.keywords:
        if keyword.arg in ("target", "function"):
            return keyword.value
    name = last_name(call.func)
    position = 0 if name.startswith("start_") else 1
    return call.args[position] if len(call.args) > position else None
