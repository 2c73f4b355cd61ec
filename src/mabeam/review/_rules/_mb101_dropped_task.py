"""MB101: a task is started and nobody keeps its handle."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._words import place, shown
from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._rules._rule import Draft, Rule
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE", "starts_task")

_STARTERS = frozenset({"asyncio.create_task", "asyncio.ensure_future"})
_LOOP_MAKERS = frozenset({"asyncio.get_event_loop", "asyncio.get_running_loop", "asyncio.new_event_loop"})
_LOOP_TYPES = frozenset({"asyncio.AbstractEventLoop", "asyncio.BaseEventLoop"})
# A receiver that is called a loop is one; a task group or a nursery never is, and keeps what it starts.
_LOOP_NAMES = frozenset({"loop", "_loop", "event_loop", "_event_loop", "asyncio_loop"})
# Methods of a loop that throw away what the callback returns, and where the callback stands.
_CALLBACK_TAKERS = {
    "call_soon": 0,
    "call_soon_threadsafe": 0,
    "call_later": 1,
    "call_at": 1,
    "add_signal_handler": 1,
    "add_reader": 1,
    "add_writer": 1,
    "add_done_callback": 0,
}
# `ensure_future` hands a future back as it came: then no task was started here.
_EXPECTATIONS = frozenset({"raises", "assertRaises", "assertRaisesRegex"})
_FUTURE_MAKERS = frozenset(
    {"gather", "shield", "wrap_future", "run_in_executor", "create_future", "ensure_future"}
)


def starts_task(call: ast.Call, scope: Scope, module: Module) -> bool:
    """Whether ``call`` starts an asyncio task that only its result refers to: not one of a task group."""
    name = module.qualified(call.func, scope)
    if name in _STARTERS:
        return name != "asyncio.ensure_future" or _is_coroutine_call(call)
    return _is_method_of_loop(call.func, scope, module)


def _is_method_of_loop(function: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is `loop.create_task`."""
    if not isinstance(function, ast.Attribute) or function.attr != "create_task":
        return False
    receiver = function.value
    maker = module.made_by(receiver, scope)
    if maker is not None:
        return maker in _LOOP_MAKERS or maker in _LOOP_TYPES
    if isinstance(receiver, ast.Attribute):
        return receiver.attr in _LOOP_NAMES
    if not isinstance(receiver, ast.Name) or receiver.id not in _LOOP_NAMES:
        return False
    found = scope.lookup(receiver.id)
    # The name alone convinces unless the code says what it stands for, and that is something else.
    return found is None or all(
        not isinstance(binding.value, ast.Call) or binding.kind is BindingKind.PARAMETER
        for binding in found[1]
    )


def _is_coroutine_call(call: ast.Call) -> bool:
    if not call.args or not isinstance(call.args[0], ast.Call):
        return False
    function = call.args[0].func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name not in _FUTURE_MAKERS


def _check(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    if starts_task(call, scope, module):
        yield from _check_start(call, scope, module)
    elif (given := _callback(call)) is not None and (
        module.qualified(given, scope) in _STARTERS or _is_method_of_loop(given, scope, module)
    ):
        yield Draft(
            node=call,
            observation=(
                f"`{shown(call)}` {place(scope)} has the loop call `{shown(given)}`, which starts a task, and drops its handle."
            ),
        )


def _callback(call: ast.Call) -> ast.expr | None:
    """Return the callback that is given to the loop, or to a future: what it returns goes nowhere."""
    function = call.func
    position = _CALLBACK_TAKERS.get(function.attr) if isinstance(function, ast.Attribute) else None
    return call.args[position] if position is not None and len(call.args) > position else None


def _check_start(call: ast.Call, scope: Scope, module: Module) -> Iterator[Draft]:
    started = f"`{_shown_start(call)}` {place(scope)}"
    above = module.parent(call)
    if isinstance(above, ast.ListComp | ast.SetComp) and above.elt is call:
        above = module.parent(above)
        started = f"`{_shown_start(call)}` for each item {place(scope)}"
    if isinstance(above, ast.Lambda) and above.body is call:
        taker = module.parent(above)
        if isinstance(taker, ast.Call) and _callback(taker) is above:
            yield Draft(
                node=call,
                observation=f"{started} starts a task, and `{shown(taker.func)}` drops its handle.",
            )
    elif isinstance(above, ast.Expr):
        if not _must_fail(above, module):
            yield Draft(node=call, observation=f"{started} starts a task and drops its handle.")
    elif (name := _single_target(above)) is not None and scope.function is not None:
        # At module and class level the name itself keeps the task for as long as the program runs.
        if name == "_":
            yield Draft(node=call, observation=f"{started} starts a task whose handle goes to `_`.")
        elif _is_local(name, scope) and not module.uses(name, scope):
            lasting = _waits_later(call, scope)
            yield Draft(
                node=call,
                observation=f"{started} starts a task whose handle `{name}` is never used again.",
                severity=Severity.MINOR if lasting else None,
                impact=_IMPACT_WHILE_KEPT if lasting else None,
            )


def _waits_later(call: ast.Call, scope: Scope) -> bool:
    """Whether the function waits for something afterwards, and keeps its variables as long."""
    function = scope.function
    return function is not None and any(
        isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) and node.lineno > call.lineno
        for node in own_nodes(*getattr(function.node, "body", ()))
    )


def _shown_start(call: ast.Call) -> str:
    argument = shown(call.args[0]) if call.args else "..."
    return f"{shown(call.func)}({argument})"


def _single_target(statement: ast.AST | None) -> str | None:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _must_fail(statement: ast.Expr, module: Module) -> bool:
    """Whether a test expects this very statement to raise: then there is no task."""
    block = module.parent(statement)
    return isinstance(block, ast.With | ast.AsyncWith) and any(
        isinstance(item.context_expr, ast.Call)
        and isinstance(item.context_expr.func, ast.Attribute)
        and item.context_expr.func.attr in _EXPECTATIONS
        for item in block.items
    )


def _is_local(name: str, scope: Scope) -> bool:
    """Whether ``name`` is a plain variable of the function: not ``global``, not ``nonlocal``, nothing but assignments."""
    if scope.kind not in (ScopeKind.FUNCTION, ScopeKind.COROUTINE) or name not in scope.bindings:
        return False
    return all(binding.kind is BindingKind.VALUE for binding in scope.bindings[name])


_IMPACT_WHILE_KEPT = (
    "The variable keeps the task only until the function ends; from then on the event loop has nothing but a weak reference "
    "to it. Nothing can cancel it or wait for it, and an exception in it is reported late, if at all."
)

RULE = Rule(
    code="MB101",
    title="Task started without an owner",
    severity=Severity.MAJOR,
    impact=(
        "The event loop keeps only a weak reference to a task: it may be garbage-collected in the middle of its work. "
        "An exception in it is reported when it is collected, if at all, and nothing can cancel it or wait for it at "
        "shutdown."
    ),
    recommendation=(
        "Give the task an owner: start it in an `async with asyncio.TaskGroup()`, await it, or keep the handle (in a set, "
        "with `add_done_callback(tasks.discard)`) and cancel and await what is left at shutdown. Under mabeam, start it "
        "with a TaskSupervisor."
    ),
    hints=("create_task", "ensure_future"),
    known_as=("RUF006", "F841", "asyncio-dangling-task"),
    checks={ast.Call: _check},
)
