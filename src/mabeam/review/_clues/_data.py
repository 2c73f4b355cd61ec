"""Whether a collection holds data, whose amount nobody chose."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._scope import BindingKind, ScopeKind

if TYPE_CHECKING:
    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = ("VIEWS", "WRAPPERS", "holds_data", "is_given", "itself")

# What a program works on: nobody chose how many there are.
_DATA = re.compile(
    r"(?:^|_)(?:urls?|uris?|links|users|user_ids|doc_ids|document_ids|message_ids|file_ids|job_ids|order_ids|product_ids|"
    r"video_ids|post_ids|record_ids|rows|messages|msgs|docs|documents|symbols|tickers|emails|mails|recipients|orders|"
    r"products|customers|repos|repositories|posts|comments|articles|tweets|subreddits|stocks|invoices|payments|transactions|"
    r"stream|feed|dataset|contacts)$",
    re.IGNORECASE,
)
# The same, or the handful that a function has chosen itself: what tells is that its caller hands them over.
_GIVEN_DATA = re.compile(
    r"^ids$|(?:^|_)(?:records?|files|filenames|paths|jobs|images|pictures|photos|videos|tracks|songs|payloads|inputs|prompts|texts|samples|"
    r"queries|questions|pages|lines|issues|downloads|notifications|tickets|flow_runs|todo|requests)$",
    re.IGNORECASE,
)
# The same, or the parts that a program deals with: here the work has to go over a network besides.
_MAYBE_DATA = re.compile(
    r"(?:^|_)(?:\w+_ids|items?|events|addresses|addrs|hosts|hostnames|ips|ip_list|accounts|clients|entit(?:y|ies)|objects|objs|"
    r"chats|dialogs|peers|guilds|channels|rooms|sessions|connections|conns|websockets|sockets|devices|sensors|deployments|"
    r"work|numbers|nums|values|elements|things|names|words|targets|packages|books|assets|tokens|cities|countries|locations|"
    r"keys|resources|queue|matches|players|cards)$|^data$",
    re.IGNORECASE,
)
# What these give is as long as a file, a folder or a table is.
_LOADERS = frozenset(
    {
        *("readlines", "splitlines", "glob", "rglob", "iglob", "iterdir", "listdir", "scandir"),
        *(
            "fetchall",
            "fetch_all",
            "fetchmany",
            "scalars",
            "smembers",
            "zrange",
            "lrange",
            "hgetall",
            "scan_iter",
        ),
    }
)
WRAPPERS = frozenset({"enumerate", "zip", "sorted", "reversed", "list", "tuple", "set", "iter"})
"""Functions that give the same items again."""
VIEWS = frozenset({"items", "keys", "values"})
"""Methods that give what a dictionary holds."""


def holds_data(iterable: ast.expr, scope: Scope, module: Module, *, reaches_out: bool) -> bool:
    """Whether the collection is one of a program's data, by its name or by where it comes from.

    Args:
        iterable: the collection; a stretch of it, or a look into it, counts as the collection itself.
        scope: where it is read.
        module: the module.
        reaches_out: whether the work for each item goes over a network: then the items of a caller are enough.
    """
    collection = itself(iterable)
    if collection is None:
        return False
    name = last_name(collection)
    if _DATA.search(name) is not None or _is_loaded(collection, scope, module):
        return True
    return is_given(collection, scope) and (
        _GIVEN_DATA.search(name) is not None or (reaches_out and _MAYBE_DATA.search(name) is not None)
    )


def itself(iterable: ast.expr) -> ast.expr | None:
    """Take away what only wraps or looks into a collection; ``None`` for the groups of a dictionary."""
    while True:
        if isinstance(iterable, ast.Await | ast.Subscript):
            iterable = iterable.value
        elif not isinstance(iterable, ast.Call):
            return iterable
        elif (
            isinstance(iterable.func, ast.Name)
            and iterable.func.id in (*WRAPPERS, "range", "len")
            and iterable.args
        ):
            iterable = iterable.args[0]
        elif (
            isinstance(iterable.func, ast.Attribute)
            and iterable.func.attr in (*VIEWS, "copy")
            and not iterable.args
        ):
            return None  # grouped by something: the groups are fewer than the data
        else:
            iterable = iterable.func


def _is_loaded(collection: ast.expr, scope: Scope, module: Module) -> bool:
    if last_name(collection) in _LOADERS:
        return True
    value = module.value_of(collection, scope)
    if value is collection:
        return _comes_from_walk(collection, scope)
    source = itself(value)
    if source is None or isinstance(source, ast.Name):
        return False
    name = last_name(source)
    # `keys(pattern)` is a look into a database; without an argument it is a dictionary's.
    return name in _LOADERS or name == "keys"


def _comes_from_walk(collection: ast.expr, scope: Scope) -> bool:
    """Whether the name is one of the three of `for root, dirs, files in os.walk(...)`."""
    found = scope.lookup(collection.id) if isinstance(collection, ast.Name) else None
    return found is not None and any(
        isinstance(binding.node, ast.For)
        and isinstance(binding.node.iter, ast.Call)
        and last_name(binding.node.iter.func) in ("walk", "fwalk")
        for binding in found[1]
    )


def is_given(collection: ast.expr, scope: Scope) -> bool:
    """Whether the name is a parameter of a function around: then its caller knows how many there are."""
    found = scope.lookup(collection.id) if isinstance(collection, ast.Name) else None
    return (
        found is not None
        and found[0].kind in (ScopeKind.FUNCTION, ScopeKind.COROUTINE)
        and any(
            binding.kind is BindingKind.PARAMETER and isinstance(binding.node, ast.arg)
            for binding in found[1]
        )
    )
