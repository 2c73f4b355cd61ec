"""Recognising one blocking call, whatever function it stands in."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.review._clues._blocking_table import (
    CALLS,
    CLIENTS,
    FUTURE,
    METHODS,
    WHOLE_FILE_LOADERS,
    WHOLE_FILE_READS,
    Blocking,
    Kind,
)
from mabeam.review._clues._blocking_values import (
    client_of,
    is_at_hand,
    is_cursor,
    is_open_file,
    is_path,
    waits_for_thread,
)
from mabeam.review._clues._harmless_calls import is_harmless, is_harmless_method
from mabeam.review._clues._words import shown
from mabeam.review._finding import Severity

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
            why = None if is_harmless(name, call, scope, module) else CALLS[name]
        elif name in WHOLE_FILE_LOADERS and call.args and is_open_file(call.args[0], scope, module):
            why = WHOLE_FILE_READS[1]
    if why is None and isinstance(call.func, ast.Attribute):
        why = _method(call, call.func, scope, module)
    return None if why is None else BlockingCall(shown(call), why, call.lineno)


def _method(call: ast.Call, function: ast.Attribute, scope: Scope, module: Module) -> Blocking | None:
    receiver = function.value
    if function.attr in _ALL_METHODS:
        maker = module.made_by(receiver, scope)
        if maker is None and is_path(receiver, scope, module):
            maker = "pathlib.Path"
        elif maker is None and is_cursor(receiver, scope, module):
            maker = "sqlite3.connect"
        if maker == "pathlib.Path" and function.attr.startswith("read_") and is_at_hand(receiver, scope):
            return None
        names, why = METHODS.get(maker or "", (frozenset(), None))
        if function.attr in names and not is_harmless_method(maker, call, function, scope, module):
            return why
    if function.attr in _ALL_CLIENT_METHODS:
        names, why = CLIENTS.get(client_of(receiver, scope, module) or "", (frozenset(), None))
        if function.attr in names:
            return why
    if function.attr == "result" and waits_for_thread(receiver, scope, module):
        return FUTURE
    names, why = WHOLE_FILE_READS
    if function.attr in names and not call.args and is_open_file(receiver, scope, module):
        return why
    return None


_ALL_METHODS = frozenset(name for names, _ in METHODS.values() for name in names)
_ALL_CLIENT_METHODS = frozenset(name for names, _ in CLIENTS.values() for name in names)
