"""Scopes and what is bound in them: enough of Python's name rules to tell a module from its shadow."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

__all__ = ("AttributeBinding", "Binding", "BindingKind", "FunctionNode", "Scope", "ScopeKind")

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class ScopeKind(Enum):
    """What a scope belongs to."""

    MODULE = auto()
    CLASS = auto()
    FUNCTION = auto()
    COROUTINE = auto()
    LAMBDA = auto()
    COMPREHENSION = auto()
    GENERATOR = auto()


class BindingKind(Enum):
    """How a name got its value."""

    IMPORT = auto()
    """An absolute import; ``target`` is the dotted name."""
    PARAMETER = auto()
    """A parameter; ``value`` is its annotation."""
    FUNCTION = auto()
    CLASS = auto()
    VALUE = auto()
    """``name = value`` and nothing more complicated."""
    CONTEXT = auto()
    """``with value as name``."""
    ITEM = auto()
    """``for name in value``."""
    OPAQUE = auto()
    """Anything else, relative imports among it: nothing is known about the value."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a name is bound.

    Attributes:
        kind: how.
        node: the statement or expression that binds it.
        target: the dotted name, for imports.
        value: the expression behind it, as :class:`BindingKind` says.
    """

    kind: BindingKind
    node: ast.AST
    target: str = ""
    value: ast.expr | None = None


@dataclass(frozen=True, slots=True)
class AttributeBinding:
    """One place where an attribute of a name is bound: ``self.session = Session()``.

    Attributes:
        owner: the name, ``self`` mostly.
        name: the attribute.
        kind: how, as for names.
        value: the expression behind it, ``None`` when it cannot be told.
        scope: where.
    """

    owner: str
    name: str
    kind: BindingKind
    value: ast.expr | None
    scope: Scope


class Scope:
    """One scope: its bindings, the names read in it, the calls made in it.

    Scopes know their parent and not their children, so that a reviewed tree is freed as soon as it is let go and
    does not wait for the garbage collector.
    """

    __slots__ = (
        "bindings",
        "calls",
        "global_names",
        "kind",
        "loads",
        "node",
        "nonlocal_names",
        "parent",
        "resolved",
    )

    def __init__(self, kind: ScopeKind, node: ast.AST, parent: Scope | None) -> None:
        """Open a scope below ``parent``."""
        self.kind = kind
        self.node = node
        self.parent = parent
        self.bindings: dict[str, list[Binding]] = {}
        self.loads: dict[str, list[ast.Name]] = {}
        self.calls: list[ast.Call] = []
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.resolved: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"<Scope {self.kind.name} {self.name or ''} {sorted(self.bindings)}>"

    @property
    def name(self) -> str | None:
        """The name of the function or class, if it has one."""
        return self.node.name if isinstance(self.node, FunctionNode | ast.ClassDef) else None

    @property
    def function(self) -> Scope | None:
        """The function, coroutine or lambda whose call runs this code: comprehensions run where they stand.

        A generator expression runs where it is consumed, which may be elsewhere: it has no function.
        """
        scope = self
        while scope.kind is ScopeKind.COMPREHENSION and scope.parent is not None:
            scope = scope.parent
        return scope if scope.kind in _FUNCTIONS else None

    @property
    def enclosing_class(self) -> Scope | None:
        """The class whose body holds this scope, looking through functions."""
        scope: Scope | None = self
        while scope is not None and scope.kind is not ScopeKind.CLASS:
            scope = scope.parent
        return scope

    @property
    def qualified_name(self) -> str:
        """The dotted path of named scopes down to this one; empty at module level."""
        parts: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            if scope.name is not None:
                parts.append(scope.name)
            scope = scope.parent
        return ".".join(reversed(parts))

    def is_within(self, other: Scope) -> bool:
        """Whether this is ``other`` or nested in it."""
        scope: Scope | None = self
        while scope is not None:
            if scope is other:
                return True
            scope = scope.parent
        return False

    def bind(self, name: str, binding: Binding) -> None:
        """Add one place where ``name`` gets a value in this scope."""
        self.bindings.setdefault(name, []).append(binding)

    def lookup(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """Find the scope that a name read here belongs to, by Python's rules.

        Returns:
            The scope and all bindings of the name in it, or ``None`` for builtins and unknown names.
        """
        scope: Scope | None = self
        while scope is not None:
            # A class body's names are seen by the body itself and by nothing nested in it.
            if (scope is self or scope.kind is not ScopeKind.CLASS) and (found := scope.bindings.get(name)):
                return scope, found
            scope = scope.parent
        return None


_FUNCTIONS = (ScopeKind.FUNCTION, ScopeKind.COROUTINE, ScopeKind.LAMBDA)
