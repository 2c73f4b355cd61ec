"""Pictures of values, to see later whether they were changed in place.

Not copies: ``copy.deepcopy`` would run code of users, and follow a handle into the whole Runtime. A picture looks into lists,
tuples, dicts, sets, deques, bytearrays and instances of users' classes; anything else it takes for unchangeable, and says so.
"""

from __future__ import annotations

import enum
import sys
import types
from collections import deque
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, Final, final

from mabeam.errors import show
from mabeam.testing._libraries import is_of_library

__all__ = ("Picture", "is_plain")

_MOST_PARTS: Final = 2_000
_DEEPEST: Final = 50
_CLIP: Final = 60

_FUNCTIONS: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
_ATOMS: Final = frozenset(
    (int, float, complex, bool, str, bytes, type(None), type(...), range, type, *_FUNCTIONS)
)

_EXTENSIONS: Final = tuple(EXTENSION_SUFFIXES)

_Parts = dict[tuple[str, Any], Any]


def is_plain(value: object) -> bool:
    """Whether a value cannot be changed, as can be seen at one glance."""
    return type(value) in _ATOMS


@final
class Picture:
    """What a value looked like.

    Args:
        value: the value; the picture refers to it.

    Attributes:
        skipped: how many parts it has that cannot be looked into; they count as unchanged.
    """

    __slots__ = ("_root", "skipped")

    def __init__(self, value: object) -> None:
        painter = _Painter()
        self._root: _Node | None = painter.paint(value, 0)
        self.skipped = painter.skipped
        if painter.too_large:
            self._root = None
            self.skipped += 1

    def difference(self) -> str | None:
        """Compare with what the value looks like now.

        Returns:
            The first part that has changed, in words that go on from the name of the value; ``None`` when none has.
        """
        return None if self._root is None else _difference(self._root.value, self._root, "", set())


class _Node:
    """One object: the parts that it had, or a copy of it if it has none to look into."""

    __slots__ = ("copy", "parts", "shown", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.parts: dict[tuple[str, Any], _Node] | None = None
        self.copy: Any = None


class _Painter:
    """Makes one picture."""

    def __init__(self) -> None:
        self.skipped = 0
        self.too_large = False
        self._seen: dict[int, _Node] = {}
        self._left = _MOST_PARTS

    def paint(self, value: object, depth: int) -> _Node:
        node = self._seen.get(id(value))
        if node is not None:
            return node
        node = _Node(value)
        if type(value) in _ATOMS:
            return node
        self._seen[id(value)] = node
        if isinstance(value, set | bytearray):
            node.copy = type(value)(value)
            return node
        parts = _parts_of(value)
        if parts is None:
            self.skipped += not _is_known(value)
            return node
        self.skipped += _keeps_parts_hidden(type(value))
        self._left -= len(parts)
        if self._left < 0 or depth > _DEEPEST:
            self.too_large = True
            return node
        node.parts = {key: self.paint(part, depth + 1) for key, part in parts.items()}
        return node


def _parts_of(value: Any) -> _Parts | None:
    """What a value consists of; ``None`` when it cannot be looked into."""
    if isinstance(value, list | tuple | deque):
        return {("item", index): part for index, part in enumerate(value)}
    if isinstance(value, dict):
        return {("item", key): part for key, part in value.items()}
    kind = type(value)
    if isinstance(value, type | enum.Enum) or _is_library_class(kind):
        return None
    parts: _Parts = {
        ("attribute", name): part
        for name, part in getattr(value, "__dict__", {}).items()
        if not _is_kept_result(kind, name)
    }
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"} and hasattr(value, name):
                parts["attribute", name] = getattr(value, name)
    return parts


def _keeps_parts_hidden(kind: type) -> bool:
    """Whether a class of the program stands on one that keeps what it holds in C, such as ``array.array`` or ``io.BytesIO``."""
    return any(
        base.__module__ != "builtins"
        and (base.__module__ in sys.builtin_module_names or _file_of(base).endswith(_EXTENSIONS))
        for base in kind.__mro__
    )


def _is_kept_result(kind: type, name: str) -> bool:
    """Whether an attribute is where a ``cached_property`` keeps its result: to read one for the first time changes nothing."""
    defined = next((base.__dict__[name] for base in kind.__mro__ if name in base.__dict__), None)
    return isinstance(defined, cached_property)


def _is_library_class(kind: type) -> bool:
    root = kind.__module__.partition(".")[0]
    return root != "__main__" and (root in sys.stdlib_module_names or is_of_library(_file_of(kind)))


def _file_of(kind: type) -> str:
    """Where the module of a class is; nothing if it is a part of Python itself."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None) or ""


def _is_known(value: object) -> bool:
    """Whether what cannot be looked into is known not to change: handles, classes, members of enumerations, frozensets."""
    return isinstance(value, type | enum.Enum | frozenset) or type(value).__module__.partition(".")[0] in {
        "mabeam",
        "datetime",
        "decimal",
        "fractions",
        "pathlib",
        "uuid",
    }


def _difference(value: Any, node: _Node, path: str, seen: set[int]) -> str | None:
    before = node.value
    if node.copy is not None:
        return (
            None if value == node.copy else f"{path} was {show(node.copy, _CLIP)} and is {show(value, _CLIP)}"
        )
    if node.parts is None:
        same = value is before or (type(value) is type(before) and type(value) in _ATOMS and value == before)
        return None if same else f"{path} was {show(before, _CLIP)} and is {show(value, _CLIP)}"
    if id(node) in seen:
        return None
    seen.add(id(node))
    parts = _parts_of(value) if type(value) is type(before) else None
    if parts is None:
        return f"{path} was {show(before, _CLIP)} and is {show(value, _CLIP)}"
    for key, was in node.parts.items():
        if key not in parts:
            return f"{path} has lost {_step(key)}"
        found = _difference(parts[key], was, path + _step(key), seen)
        if found is not None:
            return found
    for key, part in parts.items():
        if key not in node.parts:
            return f"{path} has got {_step(key)} = {show(part, _CLIP)}"
    return None


def _step(key: tuple[str, Any]) -> str:
    return f".{key[1]}" if key[0] == "attribute" else f"[{show(key[1], _CLIP)}]"
