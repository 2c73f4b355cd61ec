"""MB104: as many tasks at once as there are items."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mabeam.review._clues._data import holds_data
from mabeam.review._clues._functions import definition
from mabeam.review._clues._limits import is_bounded, is_cut_by_callers, mentions_limit, needs_no_limit
from mabeam.review._clues._loops import is_left_early, waits_each_turn
from mabeam.review._clues._naming import is_cleanup_name, reaches_out
from mabeam.review._clues._words import place, shown, shown_items
from mabeam.review._finding import Severity
from mabeam.review._rules._mb101_dropped_task import starts_task
from mabeam.review._rules._rule import Draft, Rule
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

_GATHERS = frozenset({"asyncio.gather", "asyncio.wait", "asyncio.as_completed"})
_GROUPS = frozenset({"asyncio.TaskGroup", "anyio.create_task_group", "trio.open_nursery"})
# Calls that hand on an awaitable: what counts is what they are given.
_WRAPPERS = frozenset(
    {
        "asyncio.ensure_future",
        "asyncio.create_task",
        "asyncio.shield",
        "asyncio.wait_for",
        "asyncio.wrap_future",
    }
)
_GROUP_STARTS = frozenset({"create_task", "start_soon"})


@dataclass(frozen=True, slots=True)
class _Fan:
    """What is started, for each item of what, and how much it matters."""

    started: str
    items: str
    severity: Severity


_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.GeneratorExp


def _check(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    function = scope.function
    if function is None or not module.is_coroutine(scope) or is_cleanup_name(function.name or ""):
        return
    name = module.qualified(call.func, scope)
    if name in _GATHERS:
        yield from _check_gather(call, name, scope, module)
    elif starts_task(call, scope, module) or _starts_in_group(call, scope, module):
        yield from _check_loop(call, scope, module)


# ---------------------------------------------------------------- gather(*...), wait(...), as_completed(...)


def _check_gather(call: ast.Call, name: str, scope: Scope, module: Module) -> Iterator[Draft]:
    if mentions_limit(scope) or _is_race(call, module):
        return
    for collection in _collections(call, name):
        fan = _fan(collection, call, scope, module)
        if fan is not None:
            yield Draft(
                node=call,
                observation=(
                    f"`{shown(call.func)}` {place(scope)} starts `{fan.started}` for every item of `{fan.items}` at once."
                ),
                severity=fan.severity,
            )


def _is_race(call: ast.Call, module: Module) -> bool:
    """Whether the first answer is enough: the loop over `as_completed` is left with it."""
    loop = module.parent(call)
    return isinstance(loop, ast.For | ast.AsyncFor) and loop.iter is call and is_left_early(loop)


def _collections(call: ast.Call, name: str) -> Iterator[ast.expr]:
    if name != "asyncio.gather":
        yield from call.args[:1]
        return
    for argument in call.args:
        if isinstance(argument, ast.Starred):
            yield argument.value


def _fan(collection: ast.expr, call: ast.Call, scope: Scope, module: Module) -> _Fan | None:
    """Say what is started for each item of what, if the collection starts anything and its size is open."""
    if isinstance(collection, ast.Name):
        if _was_gathered_before(collection, call, scope, module):
            return None
        appended = _from_appends(collection, scope, module)
        if appended is not None:
            return appended
    collection = _through_name(collection, scope)
    if isinstance(collection, ast.Call):
        return _from_map(collection, scope, module)
    if isinstance(collection, _Comprehension):
        return _from_comprehension(collection, scope, module)
    return None


def _from_appends(name: ast.Name, scope: Scope, module: Module) -> _Fan | None:
    """Look for ``name.append(work(item))`` in a loop of this function; tasks are judged where they are created."""
    for call in scope.calls:
        function = call.func
        if not isinstance(function, ast.Attribute) or function.attr not in ("append", "add") or not call.args:
            continue
        started = call.args[0]
        if (
            not isinstance(function.value, ast.Name)
            or function.value.id != name.id
            or not isinstance(started, ast.Call)
        ):
            continue
        loop = _open_loop(call, scope, module)
        if (
            loop is None
            or not _is_open(loop, started.func, scope, module)
            or starts_task(started, scope, module)
            or module.qualified(started.func, scope) in _WRAPPERS
        ):
            continue
        if not _is_local_coroutine(started.func, scope) or needs_no_limit(started.func, scope, module):
            continue
        return _Fan(shown(started), shown_items(loop.iter), _severity(started.func, loop))
    return None


def _is_local_coroutine(function: ast.expr, scope: Scope) -> bool:
    """Whether an ``async def`` of this module is called: a list may be filled with anything that is awaited later."""
    return isinstance(definition(function, scope), ast.AsyncFunctionDef)


def _was_gathered_before(name: ast.Name, call: ast.Call, scope: Scope, module: Module) -> bool:
    """Whether an earlier call waited for the same collection: then this one starts nothing."""
    found = scope.lookup(name.id)
    for node, reader in module.uses(name.id, found[0]) if found is not None else ():
        above = module.parent(node)
        if isinstance(above, ast.Starred):
            above = module.parent(above)
        if (
            isinstance(above, ast.Call)
            and above is not call
            and above.lineno < call.lineno
            and module.qualified(above.func, reader) in _GATHERS
        ):
            return True
    return False


def _through_name(expression: ast.expr, scope: Scope) -> ast.expr:
    """Follow a name to the comprehension it was set to, when that is all that ever happened to it."""
    if isinstance(expression, ast.Name) and (found := scope.lookup(expression.id)) is not None:
        bindings = found[1]
        if len(bindings) == 1 and bindings[0].kind is BindingKind.VALUE and bindings[0].value is not None:
            return bindings[0].value
    return expression


def _from_map(call: ast.Call, scope: Scope, module: Module) -> _Fan | None:
    if module.qualified(call.func, scope) != "builtins.map" or len(call.args) != 2:
        return None
    function, items = call.args
    if (
        is_bounded(items, scope)
        or not _holds_data(items, function, scope, module)
        or module.qualified(function, scope) in _WRAPPERS
    ):
        return None
    if needs_no_limit(function, scope, module):
        return None
    return _Fan(shown(function), shown_items(items), _severity(function))


def _from_comprehension(node: _Comprehension, scope: Scope, module: Module) -> _Fan | None:
    inner = module.scope_of(node)
    started = node.elt
    if inner is None or not isinstance(started, ast.Call):
        return None  # existing tasks or futures are collected here, none is started
    for _ in range(3):  # a coroutine in a `wait_for` in a `create_task`
        if started.args and (
            starts_task(started, inner, module) or module.qualified(started.func, inner) in _WRAPPERS
        ):
            started = started.args[0]
            if not isinstance(started, ast.Call):
                return None  # the awaitables were there before
    if all(is_bounded(part.iter, scope) for part in node.generators):
        return None
    if needs_no_limit(started.func, inner, module):
        return None
    part = next(part for part in node.generators if not is_bounded(part.iter, scope))
    items = part.iter
    if not part.is_async and not _holds_data(items, started.func, inner, module):
        return None
    return _Fan(shown(started), shown_items(items), _severity(started.func, part))


# ---------------------------------------------------------------- for ...: create_task(...)


def _check_loop(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    if scope.kind is not ScopeKind.COROUTINE:
        return  # a comprehension is judged where it is gathered
    loop = _open_loop(call, scope, module)
    if loop is None:
        return
    started = call.args[0] if call.args else call
    function = started.func if isinstance(started, ast.Call) else started
    if (
        module.qualified(function, scope) == "functools.partial"
        and isinstance(started, ast.Call)
        and started.args
    ):
        function = started = started.args[0]
    if not _is_open(loop, function, scope, module):
        return
    if needs_no_limit(function, scope, module) or mentions_limit(scope):
        return
    if started is function and isinstance(call.func, ast.Attribute) and call.func.attr != "start_soon":
        return  # `create_task(coroutine)`: it was made somewhere else
    yield Draft(
        node=call,
        observation=(
            f"The loop over `{shown_items(loop.iter)}` {place(scope)} starts a task `{shown(started)}` for every item, without "
            "waiting for any to end."
        ),
        severity=_severity(function, loop),
    )


def _open_loop(call: ast.Call, scope: Scope, module: Module) -> ast.For | ast.AsyncFor | None:
    """Return the ``for`` around the call, when nothing bounds its items and it waits for nothing on the way."""
    loops = (ast.For, ast.AsyncFor, ast.While)
    loop = next((above for above in module.ancestors_within(call, scope) if isinstance(above, loops)), None)
    if not isinstance(loop, ast.For | ast.AsyncFor) or is_bounded(loop.iter, scope) or is_left_early(loop):
        return None
    return None if waits_each_turn(loop) else loop


def _is_open(loop: ast.For | ast.AsyncFor, function: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether nobody chose how many there are: a stream, or a collection of data."""
    return isinstance(loop, ast.AsyncFor) or _holds_data(loop.iter, function, scope, module)


def _holds_data(items: ast.expr, function: ast.expr, scope: Scope, module: Module) -> bool:
    return holds_data(items, scope, module, reaches_out=reaches_out(function)) and not is_cut_by_callers(
        items, scope, module
    )


def _severity(function: ast.expr, loop: ast.AST | None = None) -> Severity:
    """Grave where others feel it, or where a stream never ends; else it only grows with the input."""
    endless = isinstance(loop, ast.AsyncFor) or (isinstance(loop, ast.comprehension) and bool(loop.is_async))
    return Severity.MAJOR if endless or reaches_out(function) else Severity.MINOR


def _starts_in_group(call: ast.Call, scope: Scope, module: Module) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _GROUP_STARTS
        and module.made_by(function.value, scope) in _GROUPS
    )


RULE = Rule(
    code="MB104",
    title="Fan-out without a limit",
    severity=Severity.MAJOR,
    impact=(
        "The number of tasks at work grows with the input: ten items in a test, a million in production. Connections, file "
        "handles and memory run out, and the other side gets everything at once."
    ),
    recommendation=(
        "Bound what runs at the same time: an `asyncio.Semaphore(n)` around the work, n workers that read a bounded "
        "`asyncio.Queue`, or batches. Under mabeam, `TaskSupervisor.async_stream` takes the limit and the items."
    ),
    hints=(
        "gather",
        "create_task",
        "ensure_future",
        "start_soon",
        "as_completed",
        "asyncio.wait",
        "import wait",
    ),
    checks={ast.Call: _check},
)
