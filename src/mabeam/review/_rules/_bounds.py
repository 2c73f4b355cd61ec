"""Signs that a fan-out has a limit, or needs none."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._module import own_nodes
from mabeam.review._rules._rule import last_name
from mabeam.review._scope import BindingKind, FunctionNode, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module

__all__ = (
    "definition",
    "holds_data",
    "is_about_itself",
    "is_bounded",
    "is_cheap",
    "is_cleanup",
    "is_cleanup_name",
    "is_lasting_name",
    "mentions_limit",
    "reaches_out",
    "runs_elsewhere",
)

_LIMIT = re.compile(
    r"semaphore|(?:^|_)sem(?:$|_)|limit|throttl|bounded|(?:^|_)slots?(?:$|_)|concurren|max_?(?:workers|tasks|parallel|jobs)|"
    r"parallelism|first_completed|(?:^|_)rate(?:$|_)|bucket|capacity|backpressure|(?:^|_)pool(?:$|_)|batch|chunk",
    re.IGNORECASE,
)
# Collections whose size somebody chose: the parts that a program is made of, or a batch that was cut to size.
_SMALL = re.compile(
    r"batch|chunk|page$|worker|shard|replica|window|(?:^|_)(?:few|pair|both|sides)(?:$|_)|_types?$|methods|signals|"
    r"handlers|plugins|listeners|callbacks|hooks|services|servers|mounts|components|modules|extensions|providers|backends|"
    r"middlewares?|observers|subscribers|processors|stages|checks|storages?|(?:^|_)storage_|interfaces|platforms|"
    r"_hooks?$|members$|agent_|checkers|matchers|validators|params|templates|dependencies$|nodes?$|brokers?|agents|models|tools|bots|fields|"
    r"integrations|routers|adapters|loops$|platform|config|guardrails|(?:^|_)entries$|domains|sections",
    re.IGNORECASE,
)
# Collections that hold the data of a program: nobody chose how many there are. Others are not reported.
_DATA = re.compile(
    r"(?:^|_)(?:urls?|uris?|links|ids|uuids|users|user_list|items?|rows?|records?|messages|msgs|events|files|filenames|paths|"
    r"docs|documents|jobs|images|pictures|photos|videos|tracks|songs|symbols|tickers|addresses|addrs|hosts|hostnames|ips|"
    r"ip_list|emails|mails|recipients|orders|products|customers|clients|accounts|repos|repositories|issues|posts|comments|"
    r"articles|entit(?:y|ies)|objects|objs|payloads|inputs|prompts|texts|samples|queries|"
    r"chats|dialogs|peers|guilds|channels|rooms|sessions|connections|conns|websockets|sockets|devices|sensors|"
    r"deployments|flow_runs|work|todo|numbers|nums|values|elements|things|names|words|lines|targets|packages|books|"
    r"invoices|payments|transactions|tokens|assets|subreddits|tweets|stocks|cities|countries|locations|keys|resources|"
    r"stream|queue|feed|data|dataset|matches|players|cards|tickets|downloads|notifications|contacts)$|^requests$",
    re.IGNORECASE,
)
# What looks into a cache or checks an argument costs next to nothing, however many there are.
_CHEAP = re.compile(
    r"cache|prepare|register|subscri|invalidate|evict|inflight|authori[sz]e|validate|allowed|permission|(?:^|_)check(?:$|_)|hook|callback|listener|"
    r"(?:handle|emit|dispatch|notify)_?event|render|format|parse|convert|transform|serialize",
    re.IGNORECASE,
)
_OUTWARD = re.compile(
    r"fetch|download|upload|request|crawl|scrape|http|(?:^|_)(?:send|post|put|call|query|embed|ping|probe|publish|push|sync|"
    r"process|handle|work|import|translate|generate|complete|completion)(?:$|_)|embedding",
    re.IGNORECASE,
)
# Here the work has begun already, or belongs to the caller: nothing is started by waiting for it.
_AWAITABLES = re.compile(
    r"(?:^|_)(?:tasks|futures|futs|fs|coros|coroutines|awaitables|aws|pending|procs?|processes)$"
)
_CLEANUP = re.compile(
    r"^_?(?:async_?)?(?:a?close|stop|shutdown|cancel|disconnect|join|wait|terminate|cleanup|clean_up|kill|drain|flush|unsubscribe|"
    r"abort|release|dispose|unload|teardown|tear_down|exit|finali[sz]e|__aexit__|detach|remove_|delete_consumer)",
    re.IGNORECASE,
)
# What is started once for each part of a program and runs until its end: a limit would leave parts out.
_LASTING = re.compile(
    r"^_?a?(?:run|serve|listen|watch|main|run_forever|serve_forever|start|setup|connect|heartbeat|init|initiali[sz]e|startup)$|"
    r"(?:^|_)(?:loop|worker|consumer|producer|monitor|pump|reader|writer|poller|forever)$",
    re.IGNORECASE,
)
_WRAPPERS = frozenset({"enumerate", "zip", "sorted", "reversed", "list", "tuple", "set", "iter"})
_VIEWS = frozenset({"items", "keys", "values"})
_SLICERS = frozenset({"islice", "nlargest", "nsmallest", "sample", "most_common"})
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
        return isinstance(iterable.slice, ast.Slice) and iterable.slice.upper is not None
    if isinstance(iterable, ast.Call):
        return _is_bounded_call(iterable, scope)
    if isinstance(iterable, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        return all(is_bounded(part.iter, scope) for part in iterable.generators)
    name = last_name(iterable)
    if _SMALL.search(name) is not None or _AWAITABLES.search(name) is not None:
        return True
    return isinstance(iterable, ast.Name) and _is_bounded_name(iterable, scope)


def holds_data(iterable: ast.expr) -> bool:
    """Whether the collection is one of a program's data by its name, a stretch of it or a look into it left aside."""
    while True:
        if isinstance(iterable, ast.Await | ast.Subscript):
            iterable = iterable.value
        elif isinstance(iterable, ast.Call):
            if (
                isinstance(iterable.func, ast.Name)
                and iterable.func.id in (*_WRAPPERS, "range", "len")
                and iterable.args
            ):
                iterable = iterable.args[0]
            elif isinstance(iterable.func, ast.Attribute) and iterable.func.attr in (*_VIEWS, "copy"):
                return False  # grouped by something: the groups are fewer than the data
            else:
                iterable = iterable.func
        else:
            return _DATA.search(last_name(iterable)) is not None


def _is_bounded_call(call: ast.Call, scope: Scope) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute):
        if function.attr in _SLICERS:
            return True
        return function.attr in _VIEWS and not call.args and is_bounded(function.value, scope)
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
    if function.id in _WRAPPERS:
        return bool(call.args) and is_bounded(call.args[0], scope)
    return function.id in _SLICERS


def _is_bounded_name(name: ast.Name, scope: Scope) -> bool:
    found = scope.lookup(name.id)
    if found is None or len(found[1]) != 1:
        return False
    binding = found[1][0]
    if isinstance(binding.node, ast.arg) and binding.kind is BindingKind.OPAQUE:
        return True  # `*names`: what a caller wrote out, as a rule
    value = binding.value
    if binding.kind is not BindingKind.VALUE or value is None or isinstance(value, ast.Name):
        return False
    if isinstance(value, ast.List | ast.Set | ast.Dict) and _grows(name.id, scope):
        return False
    return is_bounded(value, found[0])


def _grows(name: str, scope: Scope) -> bool:
    """Whether something is put into the collection after it was written down."""
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in ("append", "add", "extend", "update", "insert", "setdefault")
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == name
        for call in scope.calls
    )


def is_cheap(function: ast.expr) -> bool:
    """Whether what is started hardly costs anything, by its name."""
    return _CHEAP.search(last_name(function)) is not None


def reaches_out(function: ast.expr) -> bool:
    """Whether what is started loads something outside of the program, by its name."""
    return _OUTWARD.search(last_name(function)) is not None


def is_cleanup(function: ast.expr) -> bool:
    """Whether what is started ends something that lives already, or is one of the lasting parts of a program."""
    name = last_name(function)
    return is_cleanup_name(name) or is_lasting_name(name)


def is_cleanup_name(name: str) -> bool:
    """Whether a function of this name ends something that lives already."""
    return _CLEANUP.search(name) is not None


def is_lasting_name(name: str) -> bool:
    """Whether a function of this name is one of the lasting parts of a program, or the program itself."""
    return _LASTING.search(name) is not None


def runs_elsewhere(function: ast.expr, scope: Scope, module: Module) -> bool:
    """Whether a thread pool bounds what is started, or the coroutine takes a limiter itself."""
    if module.qualified(function, scope) in _THREADED or _POOLED.search(last_name(function)) is not None:
        return True
    node = definition(function, scope)
    if node is None:
        return False
    inner = module.scope_of(node)
    return inner is not None and mentions_limit(inner)


def definition(function: ast.expr, scope: Scope) -> FunctionNode | None:
    """Find the function of this module that is called, by name or as a method of the class at hand."""
    if isinstance(function, ast.Name):
        found = scope.lookup(function.id)
        bindings = found[1] if found is not None else []
    elif isinstance(function, ast.Attribute):
        owner = scope.enclosing_class
        bindings = owner.bindings.get(function.attr, []) if owner is not None else []
    else:
        return None
    node = bindings[0].node if len(bindings) == 1 else None
    return node if isinstance(node, FunctionNode) else None


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


def is_about_itself(function: ast.expr, scope: Scope) -> bool:
    """Whether each item does something itself (``item.refresh()``, ``item()``): then the items are already at work."""
    while isinstance(function, ast.Attribute | ast.Call):
        function = function.value if isinstance(function, ast.Attribute) else function.func
    if not isinstance(function, ast.Name) or (found := scope.lookup(function.id)) is None:
        return False
    return any(
        isinstance(binding.node, ast.For | ast.AsyncFor | ast.ListComp | ast.SetComp | ast.GeneratorExp)
        for binding in found[1]
    )
