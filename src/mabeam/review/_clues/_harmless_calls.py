"""Calls that look as if they blocked and do not."""

from __future__ import annotations

import ast
import ipaddress
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._module import dotted, own_nodes

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("is_harmless", "is_harmless_method")

_NON_BLOCKING = frozenset({"setblocking", "settimeout"})
_TAKING_TIMEOUTS = frozenset({"wait", "communicate", "join", "get"})
_EMPTY = frozenset({"empty", "qsize"})
# What code asks an object before it waits for it, by the class.
_QUESTIONS = {
    "Queue": _EMPTY,
    "SimpleQueue": _EMPTY,
    "LifoQueue": _EMPTY,
    "PriorityQueue": _EMPTY,
    "Popen": frozenset({"poll"}),
}
_DATA_URL = re.compile(r"data_ur[il](?:$|_|s)")
# What a thread sets as soon as it runs.
_SIGNS_OF_LIFE = re.compile(
    r"ready|start|running|initiali[sz]ed|listening|alive|(?:^|_)(?:up|loaded)$", re.IGNORECASE
)
_STREAM_ONLY = frozenset({"connect", "sendall"})


def is_harmless(name: str, call: ast.Call, scope: Scope, module: Module) -> bool:
    """Whether the function of this name, called like this, does not block."""
    first = call.args[0] if call.args else None
    constant = first.value if isinstance(first, ast.Constant) else None
    if name == "time.sleep":
        return constant == 0 and first is not None
    if name == "sqlite3.connect":
        return constant == ":memory:"
    if name.startswith("socket.") and name != "socket.create_connection":
        # A numeric address is not looked up.
        numeric = any("NUMERIC" in ast.dump(argument).upper() for argument in _arguments(call))
        return _is_address(constant) or numeric or _is_about_localhost(call, module)
    if name == "urllib.request.urlopen":
        return _DATA_URL.search(scope.qualified_name) is not None  # it holds what it stands for
    if name == "smtplib.SMTP_SSL":
        return not call.args and not any(keyword.arg == "host" for keyword in call.keywords)
    return False


def is_harmless_method(
    maker: str | None, call: ast.Call, function: ast.Attribute, scope: Scope, module: Module
) -> bool:
    """Whether the method, of an object that ``maker`` made and called like this, does not block."""
    if function.attr in _TAKING_TIMEOUTS and _is_poll(call):
        return True
    asks = _QUESTIONS.get((maker or "").rpartition(".")[2])
    if asks is not None:
        return _is_asked(function.value, asks, module)
    if maker == "threading.Event":
        return _is_greeting(call, function, scope, module)
    if maker == "threading.Thread":
        return _is_over(call, function, scope, module)
    if maker == "sqlite3.connect":
        return _is_in_memory(function.value, scope, module)
    if maker == "socket.socket":
        return _is_polite_socket(function, scope, module)
    return False


def _is_about_localhost(call: ast.Call, module: Module) -> bool:
    """Whether the code has asked before if it is this machine: no name server knows better."""
    return any(
        isinstance(above, ast.If)
        and any(isinstance(part, ast.Constant) and part.value == "localhost" for part in ast.walk(above.test))
        for above in module.ancestors(call)
    )


def _is_poll(call: ast.Call) -> bool:
    """Whether the call does not wait: `wait(timeout=0)`, `get(block=False)`."""
    first = call.args[0] if call.args else None
    return any(
        isinstance(given, ast.Constant) and given.value in (0, False)
        for given in (
            first,
            *(keyword.value for keyword in call.keywords if keyword.arg in ("timeout", "block")),
        )
    )


def _is_asked(receiver: ast.expr, questions: frozenset[str], module: Module) -> bool:
    """Whether the module asks the same object if there is anything to wait for: then it knows when not to."""
    name = dotted(receiver)
    return name is not None and any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in questions
        and dotted(call.func.value) == name
        for scope in module.scopes
        for call in scope.calls
    )


def _is_over(call: ast.Call, function: ast.Attribute, scope: Scope, module: Module) -> bool:
    """Whether what the thread was given has been awaited before it is joined: then it ends at that moment."""
    made, owner = module.value_of(function.value, scope), scope.function
    if not isinstance(made, ast.Call) or owner is None:
        return False
    given = {
        part.id for argument in _arguments(made) for part in ast.walk(argument) if isinstance(part, ast.Name)
    }
    return any(
        isinstance(node, ast.Await)
        and node.lineno < call.lineno
        and isinstance(node.value, ast.Name)
        and node.value.id in given
        for node in own_nodes(*getattr(owner.node, "body", ()))
    )


def _is_greeting(call: ast.Call, function: ast.Attribute, scope: Scope, module: Module) -> bool:
    """Whether a thread has just been started, and its first sign of life is waited for: that comes at once."""
    return _SIGNS_OF_LIFE.search(last_name(function.value)) is not None and any(
        isinstance(other.func, ast.Attribute)
        and other.func.attr == "start"
        and other.lineno < call.lineno
        and module.made_by(other.func.value, scope) == "threading.Thread"
        for other in scope.calls
    )


def _is_in_memory(expression: ast.expr, scope: Scope, module: Module) -> bool:
    connect = module.value_of(expression, scope)
    if (
        isinstance(connect, ast.Call)
        and isinstance(connect.func, ast.Attribute)
        and connect.func.attr == "cursor"
    ):
        connect = module.value_of(connect.func.value, scope)
    return isinstance(connect, ast.Call) and is_harmless("sqlite3.connect", connect, scope, module)


def _is_polite_socket(function: ast.Attribute, scope: Scope, module: Module) -> bool:
    """Whether the socket was told not to block, or is a datagram socket, whose sending does not wait."""
    made = module.value_of(function.value, scope)
    if isinstance(made, ast.Call) and function.attr in _STREAM_ONLY and "SOCK_DGRAM" in ast.dump(made):
        return True
    if isinstance(function.value, ast.Attribute):
        return True  # how it was set up is to be seen in other methods, or nowhere
    if not isinstance(function.value, ast.Name) or (found := scope.lookup(function.value.id)) is None:
        return False
    if found[0].function is not scope.function or not isinstance(made, ast.Call):
        return True  # made elsewhere, a parameter say: how it was set up cannot be seen
    above = [module.parent(node) for node, _ in module.uses(function.value.id, found[0])]
    # Passed on to somebody else, it may be told there.
    return any(not isinstance(node, ast.Attribute) or node.attr in _NON_BLOCKING for node in above)


def _is_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return value in ("", "localhost")
    return True


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]
