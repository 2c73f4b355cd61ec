"""A module under review: what its names mean and where its values go."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from mabeam.review._scope import BindingKind, FunctionNode, Scope, ScopeKind
from mabeam.review._walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mabeam.review._scope import AttributeBinding

__all__ = ("Module", "dotted", "own_nodes")

_BUILTINS = frozenset(dir(builtins))
# An alias of an alias of an alias ...: deeper chains than this are cycles.
_ALIAS_DEPTH = 6
# Where the standard library's packages keep what they export: the same function under a longer name.
_INNER = {
    "asyncio": frozenset(
        {"tasks", "exceptions", "events", "taskgroups", "futures", "locks", "threads", "timeouts"}
    ),
    "concurrent.futures": frozenset({"thread", "process"}),
}
_OPENING_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.GeneratorExp)


class Module:
    """One parsed module with its scopes, handed to every rule.

    Attributes:
        root: the module's scope.
        scopes: every scope, the root first.
        shown_as: how its file is called in reports.
    """

    def __init__(self, tree: ast.Module, wanted: Iterable[type[ast.AST]], shown_as: str = "") -> None:
        """Make the pass over ``tree``, collecting the nodes of the kinds ``wanted``."""
        walked = walk(tree, wanted)
        self.shown_as = shown_as
        self.root = walked.root
        self.scopes = walked.scopes
        self._scope_of = walked.scope_of
        self._parents = walked.parents
        self._wanted = walked.wanted
        self._stars = walked.stars
        self._attributes: dict[str, list[AttributeBinding]] = {}
        for bound in walked.attributes:
            self._attributes.setdefault(bound.name, []).append(bound)

    # ---------------------------------------------------------------- nodes

    def nodes(self, kind: type[ast.AST]) -> list[tuple[ast.AST, Scope]]:
        """Return the nodes of one wanted kind, each with the scope it is evaluated in."""
        return self._wanted.get(kind, [])

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that ``node`` is a part of; wrappers without meaning of their own are left out."""
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Walk from the parent of ``node`` up to the module."""
        above = self._parents.get(node)
        while above is not None:
            yield above
            above = self._parents.get(above)

    def ancestors_within(self, node: ast.AST, scope: Scope) -> Iterator[ast.AST]:
        """As :meth:`ancestors`, up to the function or module that runs ``node``."""
        stop = (scope.function or scope).node
        for above in self.ancestors(node):
            if above is stop:
                return
            yield above

    def statement(self, node: ast.AST) -> ast.AST:
        """Return the statement that ``node`` stands in; an ``except`` clause counts as one."""
        while not isinstance(node, ast.stmt | ast.ExceptHandler):
            above = self._parents.get(node)
            if above is None:
                break
            node = above
        return node

    def scope_of(self, node: ast.AST) -> Scope | None:
        """Return the scope that a function, class, lambda or comprehension opens."""
        return self._scope_of.get(node)

    # ---------------------------------------------------------------- names

    def qualified(self, expression: ast.expr, scope: Scope, *, depth: int = _ALIAS_DEPTH) -> str | None:
        """Resolve a dotted expression to the absolute name that it was imported from.

        Args:
            expression: ``name`` or ``name.attribute...``; anything else resolves to nothing.
            scope: where it is read.
            depth: how many aliases (``pause = time.sleep``) may still be followed.

        Returns:
            For example ``"time.sleep"``, or ``"builtins.open"``. ``None`` when the name is local, comes from a
            relative import, has several meanings, or is unknown.
        """
        parts: list[str] = []
        while isinstance(expression, ast.Attribute):
            parts.append(expression.attr)
            expression = expression.value
        if not isinstance(expression, ast.Name):
            return None
        base = self._name(expression.id, scope, depth)
        return None if base is None else _canonical(".".join((base, *reversed(parts))))

    def _name(self, name: str, scope: Scope, depth: int) -> str | None:
        if name not in scope.resolved:
            # Taken as unknown while it is being resolved: `x = x.y` must not go round.
            scope.resolved[name] = None
            scope.resolved[name] = self._resolve(name, scope, depth)
        return scope.resolved[name]

    def _resolve(self, name: str, scope: Scope, depth: int) -> str | None:
        found = scope.lookup(name)
        if found is None:
            return self._unbound(name)
        owner, bindings = found
        targets: set[str] = set()
        for binding in bindings:
            if binding.kind is BindingKind.IMPORT:
                targets.add(binding.target)
                continue
            if binding.kind is not BindingKind.VALUE or binding.value is None or depth == 0:
                return None
            if isinstance(binding.value, ast.Constant) and binding.value.value is None:
                continue  # the fallback of an optional import: when it is None it is not called
            aliased = self.qualified(binding.value, owner, depth=depth - 1)
            if aliased is None:
                return None
            targets.add(aliased)
        return targets.pop() if len(targets) == 1 else None

    def _unbound(self, name: str) -> str | None:
        if not self._stars:
            return f"builtins.{name}" if name in _BUILTINS else None
        # A star may bring anything, a builtin's name too. Only a single absolute one leaves no doubt.
        if len(self._stars) == 1 and self._stars[0] and name not in _BUILTINS:
            return f"{self._stars[0]}.{name}"
        return None

    # ---------------------------------------------------------------- values

    def made_by(self, expression: ast.expr, scope: Scope, *, depth: int = _ALIAS_DEPTH) -> str | None:
        """Name the class or function whose result ``expression`` is, where that is certain.

        ``session`` after ``session = requests.Session()`` is made by ``requests.Session``; so are the name of a
        ``with`` block, a parameter with that annotation, and ``self.session`` when the class sets it to nothing else.

        Returns:
            The absolute name, or ``None``.
        """
        if isinstance(expression, ast.Call):
            return self._of_type(expression.func, scope)
        makers: set[str | None] = set()
        for kind, value, owner in self._bindings(expression, scope):
            if kind is BindingKind.PARAMETER:
                makers.add(self._of_type(value, owner))
            elif kind not in (BindingKind.VALUE, BindingKind.CONTEXT) or value is None or depth == 0:
                makers.add(None)
            elif isinstance(value, ast.Call):
                makers.add(self._of_type(value.func, owner))
            elif isinstance(expression, ast.Attribute) and isinstance(value, ast.Name):
                makers.add(self.made_by(value, owner, depth=depth - 1))
            elif not (isinstance(expression, ast.Attribute) and _is_none(value)):
                makers.add(None)
        return makers.pop() if len(makers) == 1 else None

    def value_of(self, expression: ast.expr, scope: Scope) -> ast.expr:
        """Return what a name, or an attribute of ``self``, was set to when it was set once; else the expression itself."""
        values = [
            (kind, value)
            for kind, value, _ in self._bindings(expression, scope)
            if kind is not BindingKind.PARAMETER
            and not (isinstance(expression, ast.Attribute) and _is_none(value))
        ]
        if len(values) != 1 or values[0][0] not in (BindingKind.VALUE, BindingKind.CONTEXT):
            return expression
        return values[0][1] or expression

    def is_set(self, expression: ast.expr, scope: Scope) -> bool:
        """Whether the module shows where a name, or an attribute of ``self``, gets its value."""
        return bool(self._bindings(expression, scope))

    def sets_attribute(self, name: str, *, outside: ast.AST) -> bool:
        """Whether a method sets an attribute of this name: not ``__init__``, and not the function ``outside``."""
        return any(
            bound.scope.name != "__init__" and bound.scope.node is not outside
            for bound in self._attributes.get(name, [])
        )

    def _bindings(
        self, expression: ast.expr, scope: Scope
    ) -> list[tuple[BindingKind, ast.expr | None, Scope]]:
        """List the places where a name, or an attribute of ``self``, gets its value; nothing for what is unknown."""
        if isinstance(expression, ast.Name):
            found = scope.lookup(expression.id)
            return [(each.kind, each.value, found[0]) for each in found[1]] if found is not None else []
        if not isinstance(expression, ast.Attribute) or not isinstance(expression.value, ast.Name):
            return []
        owner = self.class_of(expression.value.id, scope)
        if owner is None:
            return []
        declared = [(each.kind, each.value, owner) for each in owner.bindings.get(expression.attr, [])]
        assigned = [
            (each.kind, each.value, each.scope)
            for each in self._attributes.get(expression.attr, [])
            if self.class_of(each.owner, each.scope) is owner
        ]
        return declared + assigned

    def class_of(self, name: str, scope: Scope) -> Scope | None:
        """Return the class whose method has ``name`` as its first parameter, when ``name`` means that here."""
        found = scope.lookup(name)
        if found is None or len(found[1]) != 1 or found[1][0].kind is not BindingKind.PARAMETER:
            return None
        method = found[0]
        node, owner = method.node, method.parent
        if not isinstance(node, FunctionNode) or owner is None or owner.kind is not ScopeKind.CLASS:
            return None
        parameters = [*node.args.posonlyargs, *node.args.args]
        static = any(
            isinstance(decorator, ast.Name) and decorator.id == "staticmethod"
            for decorator in node.decorator_list
        )
        return owner if parameters and parameters[0].arg == name and not static else None

    def _of_type(self, kind: ast.expr | None, scope: Scope) -> str | None:
        """Resolve a class as it is called or written in an annotation: ``X``, ``X[int]``, ``X | None``."""
        if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr):
            kind = kind.left if _is_none(kind.right) else kind.right if _is_none(kind.left) else None
        if isinstance(kind, ast.Subscript):
            outer = self.qualified(kind.value, scope)
            return self.qualified(kind.slice, scope) if outer == "typing.Optional" else outer
        return self.qualified(kind, scope) if kind is not None else None

    def uses(self, name: str, scope: Scope) -> list[tuple[ast.Name, Scope]]:
        """Return every read of a variable of ``scope``, in nested scopes too."""
        return [
            (node, reader)
            for reader in self.scopes
            if name in reader.loads and reader.is_within(scope)
            for node in reader.loads[name]
            if (owner := reader.lookup(name)) is not None and owner[0] is scope
        ]

    def calls_in(self, function: Scope) -> Iterator[ast.Call]:
        """Give every call that runs when ``function`` does: comprehensions run where they stand."""
        for scope in self.scopes:
            if scope is function or (scope.kind is ScopeKind.COMPREHENSION and scope.function is function):
                yield from scope.calls

    def is_coroutine(self, scope: Scope) -> bool:
        """Whether code evaluated in ``scope`` runs in an ``async def``."""
        function = scope.function
        return function is not None and function.kind is ScopeKind.COROUTINE


def _is_none(expression: ast.expr | None) -> bool:
    return isinstance(expression, ast.Constant) and expression.value is None


def dotted(expression: ast.expr) -> str | None:
    """Write ``a.b.c`` as the source does; ``None`` for anything that is not names and dots."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return None
    return ".".join((expression.id, *reversed(parts)))


def own_nodes(*roots: ast.AST) -> Iterator[ast.AST]:
    """Walk ``roots`` and what is below, leaving out code that runs at another time: functions, lambdas, classes."""
    stack: list[ast.AST] = list(reversed(roots))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _OPENING_SCOPES):
            stack.extend(ast.iter_child_nodes(node))


def _canonical(name: str) -> str:
    for package, inner in _INNER.items():
        if name.startswith(package):
            head, _, rest = name[len(package) + 1 :].partition(".")
            if rest and head in inner:
                return f"{package}.{rest}"
    return name
