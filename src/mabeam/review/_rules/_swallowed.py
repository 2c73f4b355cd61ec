"""MB103: an exception that ends tasks or programs is caught and goes no further."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._rules._bounds import is_cleanup_name, is_lasting_name
from mabeam.review._rules._handling import (
    awaits_handle,
    awaits_something,
    cannot_be_interrupted,
    goes_on_with_work,
    guards_against_anything,
    is_only_cleanup,
    is_started_as_task,
    is_thread_main,
    passes_on,
    passes_on_text,
    reads_outcome,
    stops_others_first,
    waits_for_ever,
)
from mabeam.review._rules._rule import Draft, Rule, last_name, place, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

_CANCELLED = "asyncio.CancelledError"
_BASE = "builtins.BaseException"
_EXITS = frozenset({"builtins.KeyboardInterrupt", "builtins.SystemExit"})
_MAINS = frozenset({"main", "_main"})


@dataclass(frozen=True, slots=True)
class _Catch:
    """What one ``except`` clause, or one ``suppress``, catches of what must not be lost."""

    shown: str
    cancellation: bool
    exits: bool


def _check_try(node: ast.Try | ast.TryStar, scope: Scope, module: Module) -> Iterator[Draft]:
    earlier: set[str] = set()
    for handler in node.handlers:
        names = _caught(handler.type, scope, module)
        catch = _narrowed(_catch(handler, names, star=isinstance(node, ast.TryStar)), earlier)
        earlier |= names
        if catch is None or _ends_the_program(node.finalbody, scope, module):
            continue
        if passes_on(handler, scope, module):
            continue
        yield from _judge(handler, catch, node.body, scope, module)


def _check_with(node: ast.With | ast.AsyncWith, scope: Scope, module: Module) -> Iterator[Draft]:
    for item in node.items:
        call = item.context_expr
        if not isinstance(call, ast.Call) or module.qualified(call.func, scope) != "contextlib.suppress":
            continue
        names = {name for argument in call.args if (name := module.qualified(argument, scope)) is not None}
        base = _BASE in names
        catch = _Catch(
            f"{shown(call.func)}({', '.join(shown(argument) for argument in call.args)})", base, base
        )
        if _CANCELLED in names:
            catch = _Catch(catch.shown, cancellation=True, exits=base)
        if catch.cancellation or catch.exits:
            yield from _judge(call, catch, node.body, scope, module)


def _judge(
    node: ast.AST, catch: _Catch, body: Sequence[ast.stmt], scope: Scope, module: Module
) -> Iterator[Draft]:
    """Report what is lost here, if anything is: cancellation arrives only where a coroutine waits."""
    if _raises_after(node, scope, module):
        return
    if catch.cancellation and module.is_coroutine(scope) and awaits_something(body):
        if not awaits_handle(body) and not waits_for_ever(body) and not stops_others_first(node, body, scope):
            yield from _cancellation(node, catch, scope, module)
        return
    if not catch.cancellation and module.is_coroutine(scope) and awaits_something(body):
        return  # the cancellation was dealt with before, and it is how Ctrl-C arrives in a coroutine
    if catch.exits and not _may_catch_exits(node, body, scope, module):
        yield Draft(
            node=node,
            observation=(
                f"`{catch.shown}` {place(scope)} also catches KeyboardInterrupt and SystemExit, and does not pass them on."
            ),
            severity=Severity.MINOR,
            impact=(
                "Ctrl-C and `sys.exit()` are lost when they arrive here: the program goes on as if nobody had asked it to "
                "stop. Mistakes such as a misspelt name disappear in the same way."
            ),
            recommendation=(
                "Catch `Exception`, or better the errors that are expected here. Where really everything has to be caught, "
                "end the clause with `raise`."
            ),
        )


def _may_catch_exits(node: ast.AST, body: Sequence[ast.stmt], scope: Scope, module: Module) -> bool:
    """Whether losing an exit here is no loss: it cannot arrive, or to lose it is the purpose."""
    if scope.name == "__del__" or cannot_be_interrupted(body) or is_only_cleanup(body):
        return True
    if isinstance(node, ast.ExceptHandler):
        if passes_on_text(node, module):
            return True
        if scope.name in _MAINS and isinstance(node.body[-1], ast.Return):
            return True  # the value becomes the status of the program
    elif stops_others_first(node, (), scope):
        return True
    return reads_outcome(body) or guards_against_anything(body, scope) or is_thread_main(scope, module)


def _cancellation(node: ast.AST, catch: _Catch, scope: Scope, module: Module) -> Iterator[Draft]:
    name = scope.qualified_name
    if _goes_on(node, scope, module):
        yield Draft(
            node=node,
            observation=(
                f"`{catch.shown}` inside a loop of `{name}` catches the cancellation of its own task, and the loop goes on."
            ),
            severity=Severity.CRITICAL,
            impact=(
                "The task cannot be stopped: `cancel()` is eaten and the next turn begins. Whoever cancels it and waits, a "
                "timeout, a task group, the shutdown of the program, waits for ever."
            ),
        )
    elif _ends_coroutine(node, scope, module):
        if _may_end_quietly(scope, module):
            return
        yield Draft(
            node=node,
            observation=f"`{catch.shown}` in `{name}` turns the cancellation of its own task into a normal end.",
            severity=Severity.MINOR,
            impact=(
                "The task ends, and not as cancelled: whoever awaits it takes work that was cut off for work that was done, and "
                "a timeout or task group around it does not learn that its cancellation arrived."
            ),
        )
    elif not is_cleanup_name((scope.name or "").lstrip("_")) and (
        _is_in_loop(node, scope, module) or not is_started_as_task(scope, module)
    ):
        yield Draft(
            node=node,
            observation=(
                f"`{catch.shown}` in `{name}` catches the cancellation of its own task and does not raise it again."
            ),
        )


def _is_in_loop(node: ast.AST, scope: Scope, module: Module) -> bool:
    return any(
        isinstance(above, ast.For | ast.AsyncFor | ast.While)
        for above in module.ancestors_within(node, scope)
    )


def _may_end_quietly(scope: Scope, module: Module) -> bool:
    """Whether nobody misses the cancellation of a coroutine that ends: it is a task of its own, or clean-up."""
    name = (scope.name or "").lstrip("_")
    if isinstance(scope.node, ast.AsyncFunctionDef) and any(
        isinstance(decorator, ast.Call) and last_name(decorator.func) != "wraps"
        for decorator in scope.node.decorator_list
    ):
        return True  # registered with somebody who runs each call as a task of its own
    return is_cleanup_name(name) or is_lasting_name(name) or is_started_as_task(scope, module)


def _ends_coroutine(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether the coroutine is over after the handler: it returns, or only tidies up."""
    if isinstance(node, ast.ExceptHandler) and node.body and isinstance(node.body[-1], ast.Return):
        return True
    leaves_loop = (
        isinstance(node, ast.ExceptHandler) and bool(node.body) and isinstance(node.body[-1], ast.Break)
    )
    below: ast.AST = node
    for above in (*module.ancestors_within(node, scope), (scope.function or scope).node):
        body = getattr(above, "body", None)
        if isinstance(above, ast.For | ast.AsyncFor | ast.While):
            if not leaves_loop:
                return False
            leaves_loop = False
            below = above
            continue
        if isinstance(above, ast.Try | ast.TryStar):
            if above.orelse and below in above.body:
                return False
        else:
            block = above.orelse if isinstance(above, ast.If) and below in above.orelse else body
            after = _after(below, block) if isinstance(block, list) else []
            if not leaves_loop and goes_on_with_work(after):
                return False
        below = above
    return True


def _after(statement: ast.AST, block: list[ast.stmt]) -> list[ast.stmt]:
    place = next((index for index, other in enumerate(block) if other is statement), len(block))
    return block[place + 1 :]


def _raises_after(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether this happens while another exception is handled that is raised again afterwards, or kept."""
    below: ast.AST = module.statement(node)
    for above in module.ancestors(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return False
        if isinstance(above, ast.Try | ast.TryStar) and below in above.finalbody:
            return True  # whatever ended the block goes on after its `finally`
        below = above
        if isinstance(above, ast.ExceptHandler):
            return isinstance(above.body[-1], ast.Raise) or passes_on(above, scope, module)
    return False


def _goes_on(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether a loop around the place takes its next turn after it."""
    body = node.body if isinstance(node, ast.ExceptHandler) else []
    if any(isinstance(inner, ast.Return | ast.Break) for inner in own_nodes(*body)):
        return False
    if isinstance(node, ast.Call):
        # The block of a `suppress` is left early; leaving the loop from inside it is not looked at.
        return False
    for above in module.ancestors_within(node, scope):
        if isinstance(above, ast.While):
            # `while not self.closed` may well be over; `while True` is not.
            return isinstance(above.test, ast.Constant) and bool(above.test.value)
        if isinstance(above, ast.For | ast.AsyncFor):
            return False
    return False


# ---------------------------------------------------------------- what is caught


def _caught(kind: ast.expr | None, scope: Scope, module: Module) -> set[str]:
    if kind is None:
        return {_BASE}
    parts = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return {name for part in parts if (name := module.qualified(part, scope)) is not None}


def _catch(handler: ast.ExceptHandler, names: set[str], *, star: bool) -> _Catch | None:
    word = "except*" if star else "except"
    if _BASE in names:
        text = "except:" if handler.type is None else f"{word} BaseException:"
        return _Catch(text, cancellation=True, exits=True)
    if _CANCELLED in names and handler.type is not None:
        several = isinstance(handler.type, ast.Tuple)
        text = f"{word} (..., CancelledError):" if several else f"{word} {shown(handler.type)}:"
        return _Catch(text, cancellation=True, exits=False)
    return None


def _narrowed(catch: _Catch | None, earlier: set[str]) -> _Catch | None:
    """Take away what an earlier clause of the same ``try`` has caught already."""
    if catch is None or _BASE in earlier:
        return None
    cancellation = catch.cancellation and _CANCELLED not in earlier
    # One of the two caught apart shows that the author has thought of them.
    exits = catch.exits and _EXITS.isdisjoint(earlier)
    return _Catch(catch.shown, cancellation, exits) if cancellation or exits else None


def _ends_the_program(finalbody: Sequence[ast.stmt], scope: Scope, module: Module) -> bool:
    """Whether the ``finally`` clause raises or exits, so that nothing goes on after the handler."""
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Call) and module.qualified(node.func, scope) in ("os._exit", "sys.exit"))
        for node in own_nodes(*finalbody)
    )


RULE = Rule(
    code="MB103",
    title="Cancellation or exit swallowed",
    severity=Severity.MAJOR,
    impact=(
        "The task ends, or goes on, as if nobody had cancelled it: `asyncio.timeout`, task groups and shutdown rely on the "
        "exception coming out, and take work that was cut off for work that was done."
    ),
    recommendation=(
        "Do the clean-up in `finally`, or end the clause with `raise`. To wait for a task that you cancelled yourself, keep the "
        "`try` around that one `await`, or use `await asyncio.gather(task, return_exceptions=True)`."
    ),
    known_as=(
        "E722",
        "BLE001",
        "B036",
        "ASYNC103",
        "ASYNC104",
        "bare-except",
        "broad-except",
        "broad-exception-caught",
    ),
    hints=("except:", "except :", "except\t", "except\\", "BaseException", "CancelledError"),
    checks={
        ast.Try: _check_try,
        # `except*` cannot be bare and cannot lose what it does not name; it is judged all the same.
        ast.TryStar: _check_try,
        ast.With: _check_with,
        ast.AsyncWith: _check_with,
    },
)
