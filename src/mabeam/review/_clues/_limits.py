"""Signs that what is started for each item has a limit."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._data import VIEWS, WRAPPERS, holds_data, is_given, itself
from mabeam.review._clues._functions import definition, is_about_itself, never_waits
from mabeam.review._clues._naming import is_cheap, is_cleanup
from mabeam.review._clues._words import last_name
from mabeam.review._module import dotted, own_nodes
from mabeam.review._scope import BindingKind, FunctionNode, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Binding

__all__ = ("is_bounded", "is_cut_by_callers", "mentions_limit", "needs_no_limit")

_LIMIT = re.compile(
    r"semaphore|(?:^|_)sem(?:$|_)|limit|throttl|bounded|(?:^|_)slots?(?:$|_)|concurren|max_?(?:workers|tasks|parallel|jobs)|"
    r"(?:^|_)max_(?!tokens?|retr|len|length|new|wait|time|delay|attempts|depth|iter|age|size|bytes|chars|score|seconds)\w|"
    r"top_?[kn](?:$|_)|"
    r"parallelism|first_completed|(?:^|_)rate(?:$|_)|bucket|capacity|backpressure|(?:^|_)pool(?:$|_)|batch|chunk",
    re.IGNORECASE,
)
# Collections whose size somebody chose: the parts that a program is made of, or a batch that was cut to size.
_SMALL = re.compile(
    r"batch|chunk|page$|^sub_?\w|worker|shard|replica|window|(?:^|_)(?:few|pair|both|sides)(?:$|_)|_types?$|methods|signals|"
    r"handlers|plugins|listeners|callbacks|hooks|services|servers|mounts|components|modules|extensions|providers|backends|"
    r"middlewares?|observers|subscribers|processors|stages|checks|storages?|(?:^|_)storage_|interfaces|platforms|"
    r"_hooks?$|members$|agent_|checkers|matchers|validators|params|templates|dependencies$|nodes?$|brokers?|agents|models|tools|bots|fields|"
    r"(?:^|_)(?:base|api|server|proxy|broker|bootstrap|seed|webhook|backend|endpoint|config|default|allowed|broadcast)_|endpoints|"
    r"integrations|routers|adapters|loops$|platform|config|guardrails|(?:^|_)entries$|domains|sections",
    re.IGNORECASE,
)
# What somebody wrote into a configuration is a handful.
_CONFIGURED = re.compile(r"(?:^|[._])(?:config|conf|settings|options|args)\.", re.IGNORECASE)
# Here the work has begun already, or belongs to the caller: nothing is started by waiting for it.
_AWAITABLES = re.compile(
    r"(?:^|_)(?:tasks|futures|futs|fs|coros|coroutines|awaitables|aws|pending|procs?|processes)$"
)
_SLICERS = frozenset({"islice", "nlargest", "nsmallest", "sample", "most_common"})
_CONNECTION = re.compile(
    r"(?:^|_)(?:ws|websocket|sock|socket|conn|connection|writer|stream|transport)(?:$|_)"
)
_POOLED = re.compile(r"executor|(?:to|in)_thread|run_sync", re.IGNORECASE)
_THREADED = frozenset({"asyncio.to_thread", "anyio.to_thread.run_sync", "asyncio.sleep"})


def is_bounded(iterable: ast.expr, scope: Scope) -> bool:
    """Whether the number of items is written in the code: a literal, a range, a slice, a batch.

    ``range(n)`` is a number that somebody chose; ``range(len(items))`` is the items again.
    """
    if isinstance(iterable, ast.Tuple | ast.List | ast.Set | ast.Dict):
        return not any(isinstance(part, ast.Starred) for part in ast.iter_child_nodes(iterable))
    if isinstance(iterable, ast.Constant):
        return True
    if isinstance(iterable, ast.Subscript):
        return _is_slice(iterable)
    if isinstance(iterable, ast.Call):
        return _is_bounded_call(iterable, scope)
    if isinstance(iterable, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        return all(is_bounded(part.iter, scope) for part in iterable.generators)
    if isinstance(iterable, ast.Await):
        return is_bounded(iterable.value, scope)
    if _CONFIGURED.search(dotted(iterable) or "") is not None:
        return True
    name = last_name(iterable)
    if _SMALL.search(name) is not None or _AWAITABLES.search(name) is not None:
        return True
    return isinstance(iterable, ast.Name) and _is_bounded_name(iterable, scope)


def is_cut_by_callers(items: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether the items are a parameter, and each call of its function in this module gives it a number that somebody chose.

    Of a private function there are no other calls: then it is enough that none gives it data, nor what it was given itself.
    """
    name = itself(items)
    found = scope.lookup(name.id) if isinstance(name, ast.Name) else None
    function = found[0].node if found is not None else None
    if not isinstance(name, ast.Name) or not isinstance(function, FunctionNode):
        return False
    parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if name.id not in parameters:
        return False
    position = parameters.index(name.id) - (parameters[0] in ("self", "cls"))
    given = [
        (_argument(call, position, name.id), around)
        for around in module.scopes
        for call in around.calls
        if last_name(call.func) == function.name
    ]
    private = function.name.startswith("_")
    return bool(given) and all(
        argument is not None
        and (
            is_bounded(argument, around)
            or (
                private
                and isinstance(argument, ast.Name)
                and not is_given(argument, around)
                and not holds_data(argument, around, module, reaches_out=True)
            )
        )
        for argument, around in given
    )


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    by_name = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return by_name or (call.args[position] if 0 <= position < len(call.args) else None)


def _is_bounded_call(call: ast.Call, scope: Scope) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute):
        if function.attr in _SLICERS:
            return True
        if function.attr in VIEWS and not call.args:
            return is_bounded(function.value, scope)
        return _SMALL.search(function.attr) is not None
    if not isinstance(function, ast.Name):
        return False
    if function.id == "range":
        return not any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
            for argument in call.args
            for node in ast.walk(argument)
        )
    if function.id == "zip":
        return any(is_bounded(argument, scope) for argument in call.args)
    if function.id in WRAPPERS:
        return bool(call.args) and is_bounded(call.args[0], scope)
    return function.id in _SLICERS or _SMALL.search(function.id) is not None


def _is_bounded_name(name: ast.Name, scope: Scope) -> bool:
    found = scope.lookup(name.id)
    if found is None or (binding := _last_before(name, found[1])) is None:
        return False
    if len(found[1]) > 1:
        # Of several, only the one that cuts it to size tells anything: `items = items[:10]`.
        return binding.kind is BindingKind.VALUE and (
            _is_slice(binding.value) or _is_fresh_literal(binding, name, found[0])
        )
    if isinstance(binding.node, ast.arg) and binding.kind is BindingKind.OPAQUE:
        return True  # `*names`: what a caller wrote out, as a rule
    value = binding.value
    if binding.kind is not BindingKind.VALUE or value is None or isinstance(value, ast.Name):
        return False
    if isinstance(value, ast.List | ast.Set | ast.Dict) and _grows(name.id, scope):
        return False
    return is_bounded(value, found[0])


def _is_fresh_literal(binding: Binding, name: ast.Name, scope: Scope) -> bool:
    """Whether the name was set to a collection that is written out, whatever it stood for before."""
    return (
        isinstance(binding.value, ast.Tuple | ast.List | ast.Set)
        and bool(binding.value.elts)
        and binding.node in getattr(scope.node, "body", ())  # on all ways, not only on one
        and not any(isinstance(part, ast.Starred) for part in binding.value.elts)
        and not _grows(name.id, scope)
    )


def _last_before(name: ast.Name, bindings: list[Binding]) -> Binding | None:
    before = [binding for binding in bindings if getattr(binding.node, "lineno", 0) <= name.lineno]
    return max(before, key=lambda binding: getattr(binding.node, "lineno", 0), default=None)


def _is_slice(value: ast.expr | None) -> bool:
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.slice, ast.Slice)
        and value.slice.upper is not None
    )


def _grows(name: str, scope: Scope) -> bool:
    """Whether something is put into the collection after it was written down."""
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in ("append", "add", "extend", "update", "insert", "setdefault")
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == name
        for call in scope.calls
    )


def needs_no_limit(function: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether any number of these calls does no harm: they cost little, or something else bounds them."""
    return (
        is_cleanup(function)
        or is_cheap(function)
        or is_about_itself(function, scope)
        or never_waits(function, scope)
        or _shares_connection(function)
        or _runs_elsewhere(function, scope, module)
    )


def _shares_connection(function: ast.expr) -> bool:
    """Whether each item is sent over one and the same connection, which takes one after the other."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr.startswith(("send", "write"))
        and _CONNECTION.search(last_name(function.value)) is not None
    )


def _runs_elsewhere(function: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether a thread pool bounds what is started, or the coroutine takes a limiter itself."""
    if module.qualified(function, scope) in _THREADED or _POOLED.search(last_name(function)) is not None:
        return True
    node = definition(function, scope)
    if node is None:
        return False
    inner = module.scope_of(node)
    return inner is not None and (mentions_limit(inner) or _only_awaits_threads(node))


def _only_awaits_threads(node: FunctionNode) -> bool:
    """Whether all that the coroutine waits for is done by threads of a pool, of which there are so many."""
    waits = [
        inner
        for inner in own_nodes(*node.body)
        if isinstance(inner, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield)
    ]
    return bool(waits) and all(
        isinstance(inner, ast.Await)
        and isinstance(inner.value, ast.Call)
        and _POOLED.search(last_name(inner.value.func)) is not None
        for inner in waits
    )


def mentions_limit(scope: Scope) -> bool:
    """Whether the function around names anything that sounds like a limiter: then it has been thought of."""
    function: Scope | None = scope
    while function is not None and not isinstance(function.node, FunctionNode):
        function = function.parent
    if function is None or not isinstance(function.node, FunctionNode):
        return False
    return any(_LIMIT.search(name) is not None for name in _names(function.node))


def _names(node: FunctionNode) -> Iterator[str]:
    yield node.name
    for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        yield argument.arg
    for inner in own_nodes(*node.decorator_list, *node.body):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.keyword):
            yield inner.arg or ""
        elif isinstance(inner, ast.GeneratorExp):
            # Runs elsewhere by definition, and yet its names belong to this function for our purpose.
            yield from (part.id for part in ast.walk(inner) if isinstance(part, ast.Name))
