"""What is known about a value that a method is called on: an open file, a path, a client, a thread's future."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._blocking_table import POOLS

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("client_of", "is_cursor", "is_open_file", "is_path", "waits_for_thread")

_OPENERS = frozenset({"builtins.open", "io.open", "codecs.open"})
# Methods of a path that give a path: what is known about the one is known about the other.
_PATH_METHODS = frozenset({"absolute", "expanduser", "joinpath", "resolve", "with_name", "with_suffix"})
_PATH_MAKERS = frozenset({"pathlib.Path", "pathlib.Path.cwd", "pathlib.Path.home", "pathlib.PosixPath"})


def is_open_file(expression: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is a file that ``open`` gave: written in place, or a name of this function."""
    call = module.value_of(expression, scope)
    if (
        isinstance(call, ast.Call)
        and call.args
        and any(
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and part.value.startswith(("/proc/", "/sys/"))
            for part in ast.walk(call.args[0])
        )
    ):
        return False  # the kernel answers at once
    if module.made_by(expression, scope) in _OPENERS:
        return True
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "open"
        and is_path(call.func.value, scope, module)
    )


def is_path(expression: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is certainly a ``pathlib.Path``, through ``/``, ``.parent`` and path methods."""
    for _ in range(20):  # a chain is followed, not a cycle
        if module.made_by(expression, scope) in _PATH_MAKERS:
            return True
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Div):
            expression = expression.left
        elif isinstance(expression, ast.Attribute) and expression.attr == "parent":
            expression = expression.value
        elif (
            isinstance(expression, ast.Call)
            and isinstance(expression.func, ast.Attribute)
            and expression.func.attr in _PATH_METHODS
        ):
            expression = expression.func.value
        elif (value := module.value_of(expression, scope)) is not expression:
            expression = value
        else:
            return False
    return False


def is_cursor(expression: ast.expr, scope: Scope, module: Module) -> bool:
    call = module.value_of(expression, scope)
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "cursor"
        and module.made_by(call.func.value, scope) == "sqlite3.connect"
    )


def client_of(expression: ast.expr, scope: Scope, module: Module) -> str | None:
    """Name what made the client that an expression is reached from: `client` in `client.chat.completions`."""
    while (maker := module.made_by(expression, scope)) is None and isinstance(
        expression, ast.Attribute | ast.Subscript
    ):
        expression = expression.value
    return maker


def waits_for_thread(future: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is a future of a thread that nobody has waited for in another way."""
    made = module.value_of(future, scope)
    if not isinstance(made, ast.Call):
        return False
    function = made.func
    from_pool = (
        isinstance(function, ast.Attribute)
        and function.attr == "submit"
        and module.made_by(function.value, scope) in POOLS
    )
    if not from_pool and module.qualified(function, scope) != "asyncio.run_coroutine_threadsafe":
        return False
    if not isinstance(future, ast.Name) or (found := scope.lookup(future.id)) is None:
        return made is future
    above = [module.parent(node) for node, _ in module.uses(future.id, found[0])]
    return all(isinstance(node, ast.Attribute) and node.attr == "result" for node in above)
