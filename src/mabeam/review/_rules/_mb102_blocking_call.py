"""MB102: a call that blocks, made by a coroutine: directly, or through one plain function of the same module."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._blocking import DISK_IMPACT, BlockingCall, blocking_call, is_open_file
from mabeam.review._clues._blocking_table import WHOLE_FILE_READS, Kind
from mabeam.review._clues._programs import (
    is_before_all_else,
    is_command,
    is_dialogue,
    is_for_both_worlds,
    is_start,
    runs_alone,
    runs_in_thread,
)
from mabeam.review._clues._words import place, shown
from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._rules._rule import Draft, Rule
from mabeam.review._scope import BindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

# What a decorator of another kind makes of a function is unknown: it may well move it to a thread.
_HARMLESS_DECORATORS = frozenset({"builtins.staticmethod", "builtins.classmethod", "typing.override"})
# What takes milliseconds does no harm where nothing else runs.
_QUICK = frozenset({Kind.FILE, Kind.REMOVAL})
# What a command line is there to do: nobody waits besides who called it.
_COMMANDED = _QUICK | {Kind.PROCESS, Kind.TREE, Kind.RESOLVER, Kind.DATABASE, Kind.NETWORK}
# What a start may take its time for: to open a database, to learn one's own name.
_STARTING = frozenset({Kind.RESOLVER, Kind.DATABASE})
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
    if is_before_all_else(call, scope, module):
        return
    if (blocking := blocking_call(call, scope, module)) is not None:
        if _is_harmless_here(blocking.why.kind, scope, module) or is_for_both_worlds(call, scope, module):
            return
        yield Draft(
            node=call,
            also_at=_opening(call, module),
            observation=f"`{blocking.shown}` {_coroutine(scope)} {blocking.why.kind.value} without awaiting.",
            severity=blocking.severity,
            impact=blocking.impact,
            recommendation=f"{blocking.why.instead} {_RECOMMENDATION}",
        )
        return
    helper = _called_function(call, scope, module)
    if helper is None or (inner := _first_blocking(helper, module)) is None:
        return
    if _is_harmless_here(inner.why.kind, scope, module) or _is_harmless_here(inner.why.kind, helper, module):
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
    if (
        module.is_coroutine(scope)
        and is_open_file(loop.iter, scope, module)
        and not runs_alone(scope, module)
    ):
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


def _opening(call: ast.Call, module: Module) -> int | None:
    """Return the line of the `with open(...)` around: that is where others look for comments about it."""
    block = next((above for above in module.ancestors(call) if isinstance(above, ast.With)), None)
    return block.lineno if block is not None else None


def _is_harmless_here(kind: Kind, scope: Scope, module: Module) -> bool:
    """Whether waiting like this holds nobody up, because nothing else runs or because it is what everybody waits for."""
    if kind is Kind.TERMINAL:
        return is_dialogue(scope, module)
    if runs_in_thread(scope, module) or (kind in _STARTING and is_start(scope, module)):
        return True
    return (kind in _QUICK and runs_alone(scope, module)) or (
        kind in _COMMANDED and is_command(scope, module)
    )


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
        owner = module.class_of(function.value.id, scope)
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


def _first_blocking(helper: Scope, module: Module) -> BlockingCall | None:
    """Return the first call in the function's own body that blocks, if calling the function runs it."""
    node = helper.node
    if not isinstance(node, ast.FunctionDef):
        return None
    found = [inner for call in helper.calls if (inner := blocking_call(call, helper, module)) is not None]
    if not found or not _LOOP_QUESTIONS.isdisjoint(_called_names(helper)) or _is_generator(node):
        return None
    if any(isinstance(inner, ast.AsyncFunctionDef) for inner in own_nodes(*node.body)):
        return None  # it has a coroutine for those who can await one
    return min(found, key=lambda inner: inner.line)


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
