"""What is known about a value that a method is called on: an open file, a path, a client, a thread's future."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mabeam.review._clues._blocking_table import POOLS
from mabeam.review._scope import BindingKind

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("client_of", "is_at_hand", "is_cursor", "is_open_file", "is_path", "waits_for_thread")

_OPENERS = frozenset({"builtins.open", "io.open", "codecs.open"})
# Methods of a path that give a path: what is known about the one is known about the other.
_PATH_METHODS = frozenset({"absolute", "expanduser", "joinpath", "resolve", "with_name", "with_suffix"})
_PATH_MAKERS = frozenset({"pathlib.Path", "pathlib.Path.cwd", "pathlib.Path.home", "pathlib.PosixPath"})

_SYSTEM = ("/proc/", "/sys/", "/etc/", "/var/", "/run/")
_RESOURCES = ("importlib.resources", "importlib_resources", "pkg_resources")


def is_open_file(expression: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is a file that ``open`` gave: written in place, or a name of this function."""
    call = module.value_of(expression, scope)
    opening = call if isinstance(call, ast.Call) else _last_opening(expression, scope)
    if opening is not None and opening.args and is_at_hand(opening.args[0], scope):
        return False
    if module.made_by(expression, scope) in _OPENERS:
        return True
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "open"
        and is_path(call.func.value, scope, module)
    )


def _last_opening(expression: ast.expr, scope: Scope) -> ast.Call | None:
    """Return the call that opened the file last, where one name stands for several files in turn."""
    found = scope.lookup(expression.id) if isinstance(expression, ast.Name) else None
    calls = [binding.value for binding in (found[1] if found is not None else ())]
    before = [call for call in calls if isinstance(call, ast.Call) and call.lineno <= expression.lineno]
    return max(before, key=lambda call: call.lineno, default=None)


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


def is_at_hand(path: ast.expr, scope: Scope) -> bool:
    """Whether the path leads to a small file that is in memory as a rule: one of the system, or of the program itself."""
    waiting, seen = [path], set[str]()
    while waiting:
        for part in ast.walk(waiting.pop()):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                if part.value.startswith(_SYSTEM):
                    return True
            elif isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                if part.id == "__file__":
                    return True
                found = scope.lookup(part.id)
                for binding in found[1] if found is not None else ():
                    if binding.kind is BindingKind.IMPORT and binding.target.startswith(_RESOURCES):
                        return True
                    if binding.kind in (BindingKind.VALUE, BindingKind.CONTEXT) and binding.value is not None:
                        waiting.append(binding.value)
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
