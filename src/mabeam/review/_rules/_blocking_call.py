"""MB102: a call that blocks, made by a coroutine: directly, or through one plain function of the same module."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._rules._blocking import DISK_IMPACT, BlockingCall, blocking_call, is_open_file
from mabeam.review._rules._blocking_table import WHOLE_FILE_READS, Kind
from mabeam.review._rules._rule import Draft, Rule, last_name, place, shown
from mabeam.review._scope import BindingKind, FunctionNode, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

# What a decorator of another kind makes of a function is unknown: it may well move it to a thread.
_HARMLESS_DECORATORS = frozenset({"builtins.staticmethod", "builtins.classmethod", "typing.override"})
# What takes milliseconds, or waits for the one who started the program, does no harm where nothing else runs.
_HARMLESS_ALONE = frozenset({Kind.FILE, Kind.REMOVAL, Kind.TERMINAL})
_COMMANDS = frozenset({"command", "callback"})
_BEGINNINGS = re.compile(
    r"^_?(?:async_|a)?(?:main|cli|run_cli|start|startup|on_startup|on_start|setup|set_up|init|initiali[sz]e|lifespan|bootstrap)$|"
    r"^__aenter__$|^_?(?:async_)?load_(?:config|settings)|^_?(?:setup|init)_|^(?:async_)?setup",
)
# A function that asks whether a loop is running is written for both worlds; what it does in which cannot be seen.
_LOOP_QUESTIONS = frozenset(
    {
        "get_running_loop",
        "_get_running_loop",
        "current_task",
        "get_event_loop",
        "current_async_library",
        "in_async_context",
    }
)


def _check(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    if not module.is_coroutine(scope) or isinstance(module.parent(call), ast.Await):
        # What is awaited is a coroutine of the same name, or fails at once.
        return
    if (blocking := blocking_call(call, scope, module)) is not None:
        if blocking.why.kind in _HARMLESS_ALONE and _runs_alone(scope):
            return
        yield Draft(
            node=call,
            observation=f"`{blocking.shown}` {_coroutine(scope)} {blocking.why.kind.value} without awaiting.",
            severity=blocking.severity,
            impact=blocking.impact,
            recommendation=f"{blocking.why.instead} {_RECOMMENDATION}",
        )
        return
    helper = _called_function(call, scope, module)
    if helper is None or (inner := _first_blocking(helper, module)) is None:
        return
    if inner.why.kind in _HARMLESS_ALONE and _runs_alone(scope):
        return
    yield Draft(
        node=call,
        observation=(
            f"`{shown(call)}` {_coroutine(scope)} calls the plain function `{helper.qualified_name}`, and its "
            f"`{inner.shown}` (line {inner.line}) {inner.why.kind.value}."
        ),
        severity=inner.severity,
        impact=inner.impact,
        recommendation=(
            f"Call it as `await asyncio.to_thread({shown(call.func)}, ...)`, or make `{helper.name}` a coroutine: "
            f"{_uncapitalised(inner.why.instead)}"
        ),
    )


def _check_for(loop: ast.For, scope: Scope, module: Module) -> Iterator[Draft]:
    """Find ``for line in file``, which reads all of it as ``read()`` does."""
    if module.is_coroutine(scope) and not _runs_alone(scope) and is_open_file(loop.iter, scope, module):
        why = WHOLE_FILE_READS[1]
        yield Draft(
            node=loop.iter,
            observation=(
                f"The loop over the lines of `{shown(loop.iter)}` {_coroutine(scope)} {why.kind.value} without awaiting."
            ),
            severity=Severity.MINOR,
            impact=DISK_IMPACT,
            recommendation=f"{why.instead} {_RECOMMENDATION}",
        )


def _runs_alone(scope: Scope) -> bool:
    """Whether the coroutine is a program or a command of its own, or a start: then hardly anything else runs yet."""
    function = scope.function
    node = function.node if function is not None else None
    if not isinstance(node, FunctionNode):
        return False
    if _BEGINNINGS.search(node.name) is not None:
        return True
    decorators = (part.func if isinstance(part, ast.Call) else part for part in node.decorator_list)
    return any(last_name(part) in _COMMANDS for part in decorators)


def _coroutine(scope: Scope) -> str:
    function = scope.function
    return place(function if function is not None else scope)


def _called_function(call: ast.Call, scope: Scope, module: Module) -> Scope | None:
    """Return the plain function of this module that ``call`` certainly runs, by name or as ``self.method()``."""
    function = call.func
    if isinstance(function, ast.Name):
        found = scope.lookup(function.id)
        bindings = found[1] if found is not None else []
    elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        owner = _class_of_self(function.value.id, scope)
        bindings = owner.bindings.get(function.attr, []) if owner is not None else []
    else:
        return None
    if len(bindings) != 1 or bindings[0].kind is not BindingKind.FUNCTION:
        return None
    node = bindings[0].node
    if not isinstance(node, ast.FunctionDef):
        return None
    helper = module.scope_of(node)
    if helper is None or helper.parent is None:
        return None
    plain = all(
        module.qualified(decorator, helper.parent) in _HARMLESS_DECORATORS
        for decorator in node.decorator_list
    )
    return helper if plain else None


def _class_of_self(name: str, scope: Scope) -> Scope | None:
    """Return the class whose method has ``name`` as its first parameter, when ``name`` means that here."""
    found = scope.lookup(name)
    if found is None or len(found[1]) != 1 or found[1][0].kind is not BindingKind.PARAMETER:
        return None
    method = found[0]
    node = method.node
    if (
        not isinstance(node, FunctionNode)
        or method.parent is None
        or method.parent.kind is not ScopeKind.CLASS
    ):
        return None
    parameters = [*node.args.posonlyargs, *node.args.args]
    static = any(
        isinstance(decorator, ast.Name) and decorator.id == "staticmethod"
        for decorator in node.decorator_list
    )
    return method.parent if parameters and parameters[0].arg == name and not static else None


def _first_blocking(helper: Scope, module: Module) -> BlockingCall | None:
    """Return the first call in the function's own body that blocks, if calling the function runs it."""
    node = helper.node
    if not isinstance(node, ast.FunctionDef):
        return None
    if not _LOOP_QUESTIONS.isdisjoint(_called_names(helper)) or _is_generator(node):
        return None
    blocking = [found for call in helper.calls if (found := blocking_call(call, helper, module)) is not None]
    return min(blocking, key=lambda found: found.line, default=None)


def _called_names(helper: Scope) -> Iterator[str]:
    for call in helper.calls:
        function = call.func
        if isinstance(function, ast.Attribute):
            yield function.attr
        elif isinstance(function, ast.Name):
            yield function.id


def _is_generator(node: ast.FunctionDef) -> bool:
    # Calling a generator function runs none of its body.
    return any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in own_nodes(*node.body))


def _uncapitalised(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


_RECOMMENDATION = (
    "Anything in a coroutine that waits has to be awaited, or to run in a thread that is awaited."
)

RULE = Rule(
    code="MB102",
    title="Blocking call in a coroutine",
    severity=Severity.CRITICAL,
    impact=(
        "The event loop runs nothing else meanwhile: every other task, timer and connection of the program stands still, "
        "timeouts fire late, and a call that hangs hangs everything."
    ),
    recommendation=_RECOMMENDATION,
    hints=("async def",),
    known_as=("ASYNC1", "ASYNC2"),
    checks={ast.Call: _check, ast.For: _check_for},
)
