"""MB103: an exception that ends tasks or programs is caught and goes no further."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.review._clues._endings import (
    ends_coroutine,
    goes_on,
    knows_its_task,
    may_end_quietly,
    raises_next,
    tidies_up,
)
from mabeam.review._clues._exits import may_catch_exits, may_last
from mabeam.review._clues._handlers import passes_on
from mabeam.review._clues._interruptions import awaits_handle, awaits_something, waits_for_ever
from mabeam.review._clues._loops import is_in_loop
from mabeam.review._clues._programs import is_program
from mabeam.review._clues._surroundings import is_started_as_task, is_thread_main, stops_others_first
from mabeam.review._clues._words import place, shown
from mabeam.review._finding import Severity
from mabeam.review._module import own_nodes
from mabeam.review._rules._rule import Draft, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("RULE",)

_CANCELLED = "asyncio.CancelledError"
_BASE = "builtins.BaseException"
_EXITS = frozenset({"builtins.KeyboardInterrupt", "builtins.SystemExit"})


@dataclass(frozen=True, slots=True)
class _Catch:
    """What one ``except`` clause, or one ``suppress``, catches of what must not be lost."""

    shown: str
    cancellation: bool
    exits: bool
    interrupt: bool = False
    """KeyboardInterrupt is named as well: the clause is about somebody who has seen enough."""


def _check_try(node: ast.Try | ast.TryStar, scope: Scope, module: Module) -> Iterator[Draft]:
    yield from _check_finally(node, scope, module)
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


def _check_finally(node: ast.Try | ast.TryStar, scope: Scope, module: Module) -> Iterator[Draft]:
    """Find `return` in a `finally` clause, which takes the place of whatever was on its way out."""
    leaving = next((inner for inner in own_nodes(*node.finalbody) if isinstance(inner, ast.Return)), None)
    if leaving is None or scope.name in ("__exit__", "__aexit__"):
        return  # what these return says whether the exception of the block goes on
    for handler in node.handlers:
        if _BASE in _caught(handler.type, scope, module) and not passes_on(handler, scope, module):
            return  # nothing is on its way any more
    waits = module.is_coroutine(scope) and awaits_something(node.body)
    if may_end_quietly(scope, module) if waits else is_thread_main(scope, module):
        return
    yield Draft(
        node=leaving,
        settled_by=(leaving.lineno, leaving.lineno),
        observation=(
            f"`return` in the `finally` clause {place(scope)} drops every exception that is on its way out there"
            f"{', the cancellation of its own task among them' if waits else ', KeyboardInterrupt and SystemExit among them'}."
        ),
        severity=Severity.MAJOR if waits else Severity.MINOR,
        recommendation="Move the `return` behind the `try` statement: then it runs when nothing was raised, and only then.",
    )


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
        if (
            not awaits_handle(body)
            and not waits_for_ever(body)
            and not stops_others_first(node, body, scope, module)
        ):
            yield from _cancellation(node, catch, scope, module)
        return
    if not catch.cancellation and module.is_coroutine(scope) and awaits_something(body):
        return  # the cancellation was dealt with before, and it is how Ctrl-C arrives in a coroutine
    if catch.exits and not may_catch_exits(node, body, scope, module):
        if _gives_default(node) and not may_last(body):
            return
        yield Draft(
            node=node,
            settled_by=_remark(node),
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


def _gives_default(node: ast.AST) -> bool:
    """Whether the clause names BaseException and puts a value in place: `except:` is a slip as a rule, this was meant."""
    return (
        isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and all(
            isinstance(inner, ast.Assign) or (isinstance(inner, ast.Return) and inner.value is not None)
            for inner in node.body
        )
    )


def _remark(node: ast.AST) -> tuple[int, int] | None:
    """Return the lines on which somebody says why BaseException is caught; without it, `except:` says nothing."""
    if not isinstance(node, ast.ExceptHandler) or node.type is None:
        return None
    return node.lineno, node.body[0].end_lineno or node.lineno


def _cancellation(node: ast.AST, catch: _Catch, scope: Scope, module: Module) -> Iterator[Draft]:
    name = scope.qualified_name
    if goes_on(node, scope, module):
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
    elif ends_coroutine(node, scope, module) and not raises_next(node, module):
        if (
            may_end_quietly(scope, module)
            or catch.interrupt
            or (not catch.exits and knows_its_task(node, scope))
        ):
            return
        yield Draft(
            node=node,
            settled_by=_remark(node) if not catch.exits else None,
            observation=f"`{catch.shown}` in `{name}` turns the cancellation of its own task into a normal end.",
            severity=Severity.MINOR,
            impact=(
                "The task ends, and not as cancelled: whoever awaits it takes work that was cut off for work that was done, and "
                "a timeout or task group around it does not learn that its cancellation arrived."
            ),
        )
    elif not tidies_up(scope) and (
        is_in_loop(node, scope, module)
        or not (is_started_as_task(scope, module) or is_program(scope, module))
    ):
        yield Draft(
            node=node,
            observation=(
                f"`{catch.shown}` in `{name}` catches the cancellation of its own task and does not raise it again."
            ),
            severity=Severity.MINOR if raises_next(node, module) else None,
        )


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
        interrupt = "builtins.KeyboardInterrupt" in names
        return _Catch(text, cancellation=True, exits=False, interrupt=interrupt)
    return None


def _narrowed(catch: _Catch | None, earlier: set[str]) -> _Catch | None:
    """Take away what an earlier clause of the same ``try`` has caught already."""
    if catch is None or _BASE in earlier:
        return None
    cancellation = catch.cancellation and _CANCELLED not in earlier
    # One of the two caught apart shows that the author has thought of them.
    exits = catch.exits and _EXITS.isdisjoint(earlier)
    return _Catch(catch.shown, cancellation, exits, catch.interrupt) if cancellation or exits else None


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
        "blind-except",
        "BLE001",
        "B036",
        "ASYNC103",
        "ASYNC104",
        "bare-except",
        "broad-except",
        "broad-exception-caught",
        "W0702",
        "W0703",
        "W0718",
    ),
    hints=("except:", "except :", "except\t", "except\\", "BaseException", "CancelledError", "finally"),
    checks={
        ast.Try: _check_try,
        # `except*` cannot be bare and cannot lose what it does not name; it is judged all the same.
        ast.TryStar: _check_try,
        ast.With: _check_with,
        ast.AsyncWith: _check_with,
    },
)
