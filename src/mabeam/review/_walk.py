"""The one pass over a tree: scopes, bindings, and the nodes that rules asked for."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

from mabeam.review._scope import AttributeBinding, Binding, BindingKind, FunctionNode, Scope, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("Walk", "walk")

_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

# What holds no names and no nodes that any rule looks at. Leaving them out saves a third of the time.
_SKIPPED = frozenset({ast.Constant, ast.Load, ast.Store, ast.Del, ast.Pass, ast.Break, ast.Continue})
_OPERATORS = frozenset(
    kind for base in (ast.operator, ast.unaryop, ast.boolop, ast.cmpop) for kind in base.__subclasses__()
)
_IGNORED = _SKIPPED | _OPERATORS


class Walk:
    """What the pass collects.

    It keeps its own stack instead of recursing, so that no tree that the parser accepts is too deep for it.

    Attributes:
        root: the module's scope.
        scopes: every scope, the root first.
        parents: the parent of each node that was visited.
        wanted: the nodes of the wanted kinds, each with the scope that it is evaluated in.
        attributes: what was bound to an attribute of a plain name, ``self`` mostly.
        stars: the modules imported with ``*``; an empty name for a relative one.
    """

    def __init__(self, tree: ast.Module, wanted: Iterable[type[ast.AST]]) -> None:
        """Prepare a pass over ``tree``."""
        self.root = Scope(ScopeKind.MODULE, tree, None)
        self.scopes = [self.root]
        self.scope_of: dict[ast.AST, Scope] = {tree: self.root}
        self.parents: dict[ast.AST, ast.AST] = {}
        self.wanted: dict[type[ast.AST], list[tuple[ast.AST, Scope]]] = {kind: [] for kind in wanted}
        self.attributes: list[AttributeBinding] = []
        self.stars: list[str] = []
        self._stack: list[tuple[ast.AST, Scope]] = []

    def run(self) -> None:
        """Visit every node once."""
        stack, parents, wanted = self._stack, self.parents, self.wanted
        pop, push = stack.pop, stack.append
        stack.append((self.root.node, self.root))
        while stack:
            node, scope = pop()
            kind = node.__class__
            if isinstance(node, ast.Name):
                self._name(node, scope)
                continue
            if isinstance(node, ast.Attribute):
                parents[node.value] = node
                push((node.value, scope))
                continue
            if (found := wanted.get(kind)) is not None:
                found.append((node, scope))
            if (special := _SPECIAL.get(kind)) is not None:
                special(self, node, scope)
                continue
            for value in node.__dict__.values():
                if value.__class__ is list:
                    for item in value:
                        if isinstance(item, ast.AST) and item.__class__ not in _IGNORED:
                            parents[item] = node
                            push((item, scope))
                elif isinstance(value, ast.AST) and value.__class__ not in _IGNORED:
                    parents[value] = node
                    push((value, scope))
        self._settle()

    def _settle(self) -> None:
        """Move what was bound under ``global`` and ``nonlocal`` to the scope that owns it.

        Only after the pass: the statement may come after the binding in a scope that is visited in any order.
        """
        for scope in self.scopes:
            for name in scope.global_names:
                if scope is not self.root and name in scope.bindings:
                    self.root.bindings.setdefault(name, []).extend(scope.bindings.pop(name))
            for name in scope.nonlocal_names:
                moved = scope.bindings.pop(name, None)
                owner = scope.parent.lookup(name) if scope.parent is not None else None
                if moved and owner is not None:
                    owner[0].bindings[name].extend(moved)

    def _open(self, kind: ScopeKind, node: ast.AST, parent: Scope) -> Scope:
        scope = Scope(kind, node, parent)
        self.scopes.append(scope)
        self.scope_of[node] = scope
        return scope

    def _push(self, parent: ast.AST, scope: Scope, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None and node.__class__ not in _IGNORED:
                self.parents[node] = parent
                self._stack.append((node, scope))

    def _name(self, node: ast.Name, scope: Scope) -> None:
        if node.ctx.__class__ is ast.Load:
            scope.loads.setdefault(node.id, []).append(node)
        else:
            # The targets of assignments, loops and blocks were bound by `_target`: this is `x += 1` or `del x`.
            scope.bind(node.id, Binding(BindingKind.OPAQUE, node))

    # ---------------------------------------------------------------- scopes

    def _function(self, node: FunctionNode, scope: Scope) -> None:
        scope.bind(node.name, Binding(BindingKind.FUNCTION, node))
        kind = ScopeKind.COROUTINE if isinstance(node, ast.AsyncFunctionDef) else ScopeKind.FUNCTION
        inner = self._open(kind, node, scope)
        self._parameters(node.args, node, scope, inner)
        self._push(node, scope, *node.decorator_list, node.returns)
        self._push(node, inner, *node.body)

    def _lambda(self, node: ast.Lambda, scope: Scope) -> None:
        inner = self._open(ScopeKind.LAMBDA, node, scope)
        self._parameters(node.args, node, scope, inner)
        self._push(node, inner, node.body)

    def _parameters(self, arguments: ast.arguments, owner: ast.AST, scope: Scope, inner: Scope) -> None:
        extra = (arguments.vararg, arguments.kwarg)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            inner.bind(argument.arg, Binding(BindingKind.PARAMETER, argument, value=argument.annotation))
            self._push(owner, scope, argument.annotation)
        for starred in extra:
            if starred is not None:
                inner.bind(starred.arg, Binding(BindingKind.OPAQUE, starred))
                self._push(owner, scope, starred.annotation)
        self._push(owner, scope, *arguments.defaults, *arguments.kw_defaults)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        scope.bind(node.name, Binding(BindingKind.CLASS, node))
        inner = self._open(ScopeKind.CLASS, node, scope)
        self._push(
            node, scope, *node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)
        )
        self._push(node, inner, *node.body)

    def _comprehension(self, node: _Comprehension, scope: Scope) -> None:
        kind = ScopeKind.GENERATOR if isinstance(node, ast.GeneratorExp) else ScopeKind.COMPREHENSION
        inner = self._open(kind, node, scope)
        for index, generator in enumerate(node.generators):
            # The first iterable is evaluated outside, before the comprehension's scope exists.
            self._push(node, inner if index else scope, generator.iter)
            self._target(node, generator.target, inner, BindingKind.ITEM, generator.iter)
            self._push(node, inner, *generator.ifs)
        if isinstance(node, ast.DictComp):
            self._push(node, inner, node.key, node.value)
        else:
            self._push(node, inner, node.elt)

    # ---------------------------------------------------------------- bindings

    def _target(
        self, owner: ast.AST, target: ast.expr, scope: Scope, kind: BindingKind, value: ast.expr | None
    ) -> None:
        if isinstance(target, ast.Name):
            scope.bind(target.id, Binding(kind, owner, value=value))
            return
        unpacked = [target]
        while unpacked:
            part = unpacked.pop()
            if isinstance(part, ast.Tuple | ast.List):
                unpacked.extend(part.elts)
            elif isinstance(part, ast.Starred):
                unpacked.append(part.value)
            elif isinstance(part, ast.Name):
                scope.bind(part.id, Binding(BindingKind.OPAQUE, owner))
            else:
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                    known = value if part is target else None
                    self.attributes.append(AttributeBinding(part.value.id, part.attr, kind, known, scope))
                self._push(owner, scope, part)

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        for target in node.targets:
            self._target(node, target, scope, BindingKind.VALUE, node.value)
        self._push(node, scope, node.value)

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is None:
            # A declaration binds nothing, yet makes the name local; its annotation says what it will be.
            kind, value = BindingKind.PARAMETER, node.annotation
        else:
            kind, value = BindingKind.VALUE, node.value
        self._target(node, node.target, scope, kind, value)
        self._push(node, scope, node.annotation, node.value)

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> None:
        self._target(node, node.target, _bound_in(scope), BindingKind.VALUE, node.value)
        self._push(node, scope, node.value)

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        self._target(node, node.target, scope, BindingKind.ITEM, node.iter)
        self._push(node, scope, node.iter, *node.body, *node.orelse)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._target(node, item.optional_vars, scope, BindingKind.CONTEXT, item.context_expr)
            self._push(node, scope, item.context_expr)
        self._push(node, scope, *node.body)

    def _handler(self, node: ast.ExceptHandler, scope: Scope) -> None:
        if node.name is not None:
            scope.bind(node.name, Binding(BindingKind.OPAQUE, node))
        self._push(node, scope, node.type, *node.body)

    def _import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            scope.bind(
                alias.asname or top,
                Binding(BindingKind.IMPORT, node, target=alias.name if alias.asname else top),
            )

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.stars.append("" if node.level else node.module or "")
            elif node.level:
                scope.bind(alias.asname or alias.name, Binding(BindingKind.OPAQUE, node))
            else:
                target = f"{node.module}.{alias.name}"
                scope.bind(alias.asname or alias.name, Binding(BindingKind.IMPORT, node, target=target))

    def _global(self, node: ast.Global, scope: Scope) -> None:
        scope.global_names.update(node.names)

    def _nonlocal(self, node: ast.Nonlocal, scope: Scope) -> None:
        scope.nonlocal_names.update(node.names)

    def _pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping, scope: Scope) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            scope.bind(name, Binding(BindingKind.OPAQUE, node))
        if isinstance(node, ast.MatchAs):
            self._push(node, scope, node.pattern)
        elif isinstance(node, ast.MatchMapping):
            self._push(node, scope, *node.keys, *node.patterns)

    def _call(self, node: ast.Call, scope: Scope) -> None:
        scope.calls.append(node)
        self._push(node, scope, node.func, *node.args)
        for keyword in node.keywords:
            # A keyword's value hangs below its call: rules ask where a value goes, not how it is spelled.
            self._push(node, scope, keyword.value)


def walk(tree: ast.Module, wanted: Iterable[type[ast.AST]]) -> Walk:
    """Make the pass over ``tree``.

    Args:
        tree: the module.
        wanted: the kinds of nodes to collect.
    """
    done = Walk(tree, wanted)
    done.run()
    return done


def _bound_in(scope: Scope) -> Scope:
    """Return the scope that a walrus binds in: comprehensions hand it on."""
    while scope.kind in (ScopeKind.COMPREHENSION, ScopeKind.GENERATOR) and scope.parent is not None:
        scope = scope.parent
    return scope


# Each entry takes the node kind that it stands under; the table's type cannot say so.
_SPECIAL: dict[type[ast.AST], Callable[..., None]] = {
    ast.FunctionDef: Walk._function,
    ast.AsyncFunctionDef: Walk._function,
    ast.Lambda: Walk._lambda,
    ast.ClassDef: Walk._class,
    ast.ListComp: Walk._comprehension,
    ast.SetComp: Walk._comprehension,
    ast.DictComp: Walk._comprehension,
    ast.GeneratorExp: Walk._comprehension,
    ast.Assign: Walk._assign,
    ast.AnnAssign: Walk._annotated,
    ast.NamedExpr: Walk._walrus,
    ast.For: Walk._for,
    ast.AsyncFor: Walk._for,
    ast.With: Walk._with,
    ast.AsyncWith: Walk._with,
    ast.ExceptHandler: Walk._handler,
    ast.Import: Walk._import,
    ast.ImportFrom: Walk._import_from,
    ast.Global: Walk._global,
    ast.Nonlocal: Walk._nonlocal,
    ast.MatchAs: Walk._pattern,
    ast.MatchStar: Walk._pattern,
    ast.MatchMapping: Walk._pattern,
    ast.Call: Walk._call,
}
