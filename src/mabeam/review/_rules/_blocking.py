"""Recognising one blocking call, whatever function it stands in."""

from __future__ import annotations

import ast
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.review._finding import Severity
from mabeam.review._rules._blocking_table import (
    CALLS,
    METHODS,
    WHOLE_FILE_LOADERS,
    WHOLE_FILE_READS,
    Blocking,
    Kind,
)
from mabeam.review._rules._rule import shown
from mabeam.review._scope import BindingKind

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("DISK_IMPACT", "BlockingCall", "blocking_call", "is_open_file")

DISK_IMPACT = (
    "The event loop runs nothing else until the disk has answered: milliseconds for little on a local disk, much longer for "
    "much, for a busy disk or a network share."
)
_TERMINAL_IMPACT = (
    "The event loop runs nothing else until somebody has answered: no timeout fires and no connection is served. It does no "
    "harm only where nothing else has to run."
)
_DISK = frozenset({Kind.FILE, Kind.REMOVAL})

_OPENERS = frozenset({"builtins.open", "io.open", "codecs.open"})
# Methods of a path that give a path: what is known about the one is known about the other.
_PATH_METHODS = frozenset({"absolute", "expanduser", "joinpath", "resolve", "with_name", "with_suffix"})
_PATH_MAKERS = frozenset({"pathlib.Path", "pathlib.Path.cwd", "pathlib.Path.home", "pathlib.PosixPath"})
_NON_BLOCKING = frozenset({"setblocking", "settimeout"})
_STREAM_ONLY = frozenset({"connect", "sendall"})


@dataclass(frozen=True, slots=True)
class BlockingCall:
    """A call that blocks.

    Attributes:
        shown: the call as a sentence shows it.
        why: what it waits for and what to write instead.
        line: where it is.
    """

    shown: str
    why: Blocking
    line: int

    @property
    def severity(self) -> Severity:
        """A file is read in milliseconds as a rule; copies of trees and databases take longer; the rest has no limit."""
        if self.why.kind in _DISK or self.why.kind is Kind.TERMINAL:
            return Severity.MINOR
        return Severity.MAJOR if self.why.kind in (Kind.TREE, Kind.DATABASE) else Severity.CRITICAL

    @property
    def impact(self) -> str | None:
        """What can come of it, where that is less than what the rule says."""
        if self.why.kind is Kind.TERMINAL:
            return _TERMINAL_IMPACT
        return DISK_IMPACT if self.why.kind in _DISK else None


def blocking_call(call: ast.Call, scope: Scope, module: Module) -> BlockingCall | None:
    """Say why ``call`` blocks, or ``None`` when it does not or that is not certain."""
    name = module.qualified(call.func, scope)
    why: Blocking | None = None
    if name is not None:
        if name in CALLS:
            why = None if _is_harmless(name, call) else CALLS[name]
        elif name in WHOLE_FILE_LOADERS and call.args and is_open_file(call.args[0], scope, module):
            why = WHOLE_FILE_READS[1]
    if why is None and isinstance(call.func, ast.Attribute):
        why = _method(call, call.func, scope, module)
    return None if why is None else BlockingCall(shown(call), why, call.lineno)


def _method(call: ast.Call, function: ast.Attribute, scope: Scope, module: Module) -> Blocking | None:
    receiver = function.value
    if function.attr in _ALL_METHODS:
        maker = module.made_by(receiver, scope)
        if maker is None and _is_path(receiver, scope, module):
            maker = "pathlib.Path"
        elif maker is None and _is_cursor(receiver, scope, module):
            maker = "sqlite3.connect"
        names, why = METHODS.get(maker or "", (frozenset(), None))
        if function.attr in names and not _is_harmless_method(maker, call, function, scope, module):
            return why
    names, why = WHOLE_FILE_READS
    if function.attr in names and not call.args and is_open_file(receiver, scope, module):
        return why
    return None


_ALL_METHODS = frozenset(name for names, _ in METHODS.values() for name in names)


# ---------------------------------------------------------------- what is known about a value


def is_open_file(expression: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the expression is a file that ``open`` gave: written in place, or a name of this function."""
    call = _value(expression, scope)
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
        and _is_path(call.func.value, scope, module)
    )


def _is_path(expression: ast.expr, scope: Scope, module: Module) -> bool:
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
        elif isinstance(expression, ast.Name) and (value := _value(expression, scope)) is not expression:
            expression = value
        else:
            return False
    return False


def _is_cursor(expression: ast.expr, scope: Scope, module: Module) -> bool:
    call = _value(expression, scope)
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "cursor"
        and module.made_by(call.func.value, scope) == "sqlite3.connect"
    )


def _value(expression: ast.expr, scope: Scope) -> ast.expr:
    """Return what a name was set to, when it was set once; any other expression as it is."""
    if not isinstance(expression, ast.Name) or (found := scope.lookup(expression.id)) is None:
        return expression
    bindings = found[1]
    if len(bindings) != 1 or bindings[0].kind not in (BindingKind.VALUE, BindingKind.CONTEXT):
        return expression
    return bindings[0].value or expression


# ---------------------------------------------------------------- calls that look like it and do not block


def _is_harmless(name: str, call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    constant = first.value if isinstance(first, ast.Constant) else None
    if name == "time.sleep":
        return constant == 0 and first is not None
    if name == "sqlite3.connect":
        return constant == ":memory:"
    if name.startswith("socket.") and name != "socket.create_connection":
        # A numeric address is not looked up.
        return _is_address(constant) or any(
            "NUMERIC" in ast.dump(argument).upper() for argument in _arguments(call)
        )
    if name == "smtplib.SMTP_SSL":
        return not call.args and not any(keyword.arg == "host" for keyword in call.keywords)
    return False


def _is_harmless_method(
    maker: str | None, call: ast.Call, function: ast.Attribute, scope: Scope, module: Module
) -> bool:
    if maker == "subprocess.Popen":
        # `wait(timeout=0)` is a poll.
        return any(
            keyword.arg == "timeout" and isinstance(keyword.value, ast.Constant) and keyword.value.value == 0
            for keyword in call.keywords
        )
    if maker == "sqlite3.connect":
        return _is_in_memory(function.value, scope)
    if maker == "socket.socket":
        return _is_polite_socket(function, scope, module)
    return False


def _is_in_memory(expression: ast.expr, scope: Scope) -> bool:
    connect = _value(expression, scope)
    if (
        isinstance(connect, ast.Call)
        and isinstance(connect.func, ast.Attribute)
        and connect.func.attr == "cursor"
    ):
        connect = _value(connect.func.value, scope)
    return isinstance(connect, ast.Call) and _is_harmless("sqlite3.connect", connect)


def _is_polite_socket(function: ast.Attribute, scope: Scope, module: Module) -> bool:
    """Whether the socket was told not to block, or is a datagram socket, whose sending does not wait."""
    made = _value(function.value, scope)
    if isinstance(made, ast.Call) and function.attr in _STREAM_ONLY and "SOCK_DGRAM" in ast.dump(made):
        return True
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
