"""The catalogue and the code agree, both ways: what is emitted is described, and what is described is emitted."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.telemetry import CATALOGUE
from tests.meta import _project

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What emits an event whose name it is given, besides functions that have it as a parameter called ``event``.
SPAN_FILE = "src/mabeam/telemetry/_span.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """One place that emits: where, and the names of its events, as far as they can be read there."""

    place: str
    names: tuple[str, ...]
    readable: bool


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr.lstrip("_")
    return node.func.id.lstrip("_") if isinstance(node.func, ast.Name) else ""


def _names(argument: ast.expr) -> tuple[str, ...]:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return (argument.value,)
    if isinstance(argument, ast.IfExp):
        chosen = (_names(argument.body), _names(argument.orelse))
        return (*chosen[0], *chosen[1]) if all(chosen) else ()
    return ()


def _emissions() -> Iterator[Emission]:
    for module in _project.modules():
        shown = _project.shown(module.path)
        if shown == SPAN_FILE:
            continue
        tree = module.tree()
        passing_on = {
            id(call)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            and any(each.arg == "event" for each in (*function.args.posonlyargs, *function.args.args))
            for call in ast.walk(function)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args or _called(node) not in {"emit", "span"}:
                continue
            first, place = node.args[0], f"{shown}:{node.lineno}"
            if isinstance(first, ast.Name) and first.id == "event" and id(node) in passing_on:
                continue
            if _called(node) == "emit" and isinstance(first, ast.Dict):
                continue  # the measurements of the one event that a helper of its own emits
            names = _names(first)
            if _called(node) == "span":
                ends = ("start", "stop", "exception")
                names = tuple(f"{name}.{end}" for name in names for end in ends)
            yield Emission(place=place, names=names, readable=bool(names) or isinstance(first, ast.Call))


def test_every_emitted_event_is_in_the_catalogue() -> None:
    missing = [
        f"{emission.place}: {name}"
        for emission in _emissions()
        for name in emission.names
        if name not in CATALOGUE
    ]
    assert not missing, f"events that are emitted and not described in telemetry/_catalogue.py: {missing}"


def test_every_event_is_emitted_under_a_name_that_can_be_read() -> None:
    """A name that is put together could be any, and its number unbounded."""
    unreadable = [emission.place for emission in _emissions() if not emission.readable]
    assert not unreadable, f"write the name of the event where it is emitted: {unreadable}"


def test_every_entry_of_the_catalogue_is_emitted() -> None:
    emitted = {name for emission in _emissions() for name in emission.names}
    never = [name for name in CATALOGUE if name not in emitted]
    assert not never, f"described in telemetry/_catalogue.py and emitted nowhere: {never}"
