"""Small changes to a piece of Python, each of which a test should notice: the operators of mutation testing.

A mutant is the source with one part of its text replaced, so that everything else of it is as it was written and its
difference can be read as a line of the module. Left alone is what decides nothing: annotations, type aliases, type
variables, ``__all__``, overloads, docstrings; slots, which are about memory; and prose, which is for people: f-strings, and
strings with a blank in them. A string that is one word is data.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Mutant", "mutants_of")

Change: TypeAlias = tuple[ast.AST, str]
"""A node, and the text to stand in its place."""

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, ...]]] = {
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_ARITHMETIC: Final[dict[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
    ast.BitXor: "|",
    ast.LShift: ">>",
    ast.RShift: "<<",
}
_FOR_TYPES: Final = {"TypeVar", "ParamSpec", "NewType", "cast"}
_BUILT_IN_CHECKS: Final = {"isinstance", "issubclass"}
"""Called with one argument less they raise at once, which shows nothing."""
_NO_EFFECT: Final = {"final", "overload", "override", "runtime_checkable"}
"""Decorators that are notes to type checkers."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed version of a module.

    Attributes:
        where: the function or class that is changed, ``module`` outside of any.
        before: the lines that are changed, on one line.
        after: what stands there instead; with ``#2`` and so on behind it where the same change is made to several.
        line: the first of those lines; for people, since it changes with everything above it.
        source: the whole module.
    """

    where: str
    before: str
    after: str
    line: int
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by as long as these lines stay as they are."""
        return self.where, self.before, self.after


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    text = source.encode()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for where, (node, replacement) in _Walk().changes(tree):
        begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]  # all that is changed has a place
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]  # as above
        changed = text[:begin] + replacement.encode() + text[end:]
        first, last = starts[node.lineno - 1], starts[node.end_lineno]  # type: ignore[attr-defined]  # as above
        before = _one_line(text[first:last])
        after = _one_line(changed[first : last + len(changed) - len(text)])
        seen[where, before, after] += 1
        if (number := seen[where, before, after]) > 1:
            after = f"{after}  #{number}"
        found.append(Mutant(where, before, after, node.lineno, changed.decode()))  # type: ignore[attr-defined]  # as above
    return sorted(found, key=lambda mutant: mutant.line)


def _one_line(text: bytes) -> str:
    return " ".join(text.decode().split())


class _Walk:
    """Goes through a module and remembers in which function it is."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def changes(self, tree: ast.Module) -> Iterator[tuple[str, Change]]:
        yield from self._body(tree.body)

    def _body(self, body: list[ast.stmt]) -> Iterator[tuple[str, Change]]:
        for statement in body:
            if not _is_for_people(statement):
                yield from self._statement(statement)

    def _statement(self, statement: ast.stmt) -> Iterator[tuple[str, Change]]:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._names.append(statement.name)
            yield from self._here(_decorators(statement))
        else:
            yield from self._here(_whole(statement))
        for child in _expressions(statement):
            for node in _walk_code(child):
                yield from self._here(_parts(node))
        for block in _blocks(statement):
            yield from self._body(block)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._names.pop()

    def _here(self, changes: Iterator[Change]) -> Iterator[tuple[str, Change]]:
        where = ".".join(self._names) or "module"
        for change in changes:
            yield where, change


def _is_for_people(statement: ast.stmt) -> bool:
    """Whether it says something to people and type checkers only."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))):
            return name in _FOR_TYPES
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            return any(ast.unparse(each) == "overload" for each in decorators)
        case _:
            return False


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of a statement that are evaluated with it: not its blocks, not its annotations."""
    match statement:
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            yield from arguments.defaults
            yield from (each for each in arguments.kw_defaults if each is not None)
            yield from statement.decorator_list
        case ast.ClassDef(keywords=keywords, decorator_list=decorators):
            yield from keywords
            yield from decorators
        case ast.AnnAssign(target=target, value=value):
            yield target
            if value is not None:
                yield value
        case ast.Try():
            return
        case ast.Match(subject=subject, cases=cases):
            yield subject
            yield from (case.guard for case in cases if case.guard is not None)
        case _:
            for child in ast.iter_child_nodes(statement):
                if not isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                    yield child


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, list):
            yield block
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _walk_code(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but neither f-strings (prose, and their parts have no true places) nor casts."""
    if isinstance(node, ast.JoinedStr):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        is_type = isinstance(node, ast.Call) and ast.unparse(node.func) == "cast" and child is node.args[0]
        is_layout = isinstance(child, ast.keyword) and child.arg == "slots"
        if not (is_type or is_layout):
            yield from _walk_code(child)


def _decorators(definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[Change]:
    for each in definition.decorator_list:
        if ast.unparse(each).partition("(")[0] not in _NO_EFFECT:
            yield each, "(lambda same: same)"


def _whole(statement: ast.stmt) -> Iterator[Change]:
    """Changes of a statement as such: left out, or its value replaced, or its condition decided."""
    match statement:
        case ast.Expr() | ast.Delete() | ast.Break() | ast.Raise():
            yield statement, "pass"
        case ast.AugAssign(target=target, op=operator, value=value):
            yield statement, "pass"
            if type(operator) in _ARITHMETIC:
                yield statement, f"{ast.unparse(target)} {_ARITHMETIC[type(operator)]}= {ast.unparse(value)}"
        case ast.Continue():
            yield statement, "break"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple()]):
            yield statement, "pass"
        case ast.Assign(value=value) if not _is_none(value):
            yield value, "None"
        case ast.AnnAssign(value=value) if value is not None and not _is_none(value):
            yield value, "None"
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield value, "None"
        case ast.If(test=test):
            yield test, "True"
            yield test, "False"
        case ast.While(test=test) if not isinstance(test, ast.Constant):
            yield test, "False"
        case ast.For(iter=items) | ast.AsyncFor(iter=items):
            yield items, "()"
        case ast.Match(cases=cases) if len(cases) > 1:
            for case in cases:
                if case.guard is not None:
                    yield case.guard, "True"
                    yield case.guard, "False"
                else:
                    yield case.pattern, "None if False"
        case _:
            return


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _parts(node: ast.AST) -> Iterator[Change]:
    """Changes of an expression."""
    match node:
        case ast.Compare(ops=operators):
            for index, operator in enumerate(operators):
                for other in _COMPARISONS[type(operator)]:
                    yield node, _with_operator(node, index, other)
        case ast.BoolOp(op=operator, values=values):
            word = "or" if isinstance(operator, ast.And) else "and"
            yield node, "(" + f" {word} ".join(f"({ast.unparse(value)})" for value in values) + ")"
            for index in range(len(values)):
                rest = [f"({ast.unparse(value)})" for value in (*values[:index], *values[index + 1 :])]
                own = "and" if isinstance(operator, ast.And) else "or"
                yield node, "(" + f" {own} ".join(rest) + ")"
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _ARITHMETIC:
            other = _ARITHMETIC[type(operator)]
            yield node, f"(({ast.unparse(left)}) {other} ({ast.unparse(right)}))"
        case ast.IfExp(body=one, orelse=other):
            yield node, f"({ast.unparse(one)})"
            yield node, f"({ast.unparse(other)})"
        case ast.Lambda(args=arguments, body=body) if not _is_none(body):
            yield node, f"(lambda {ast.unparse(arguments)}: None)"
        case ast.Constant():
            yield from _constants(node)
        case ast.Slice(lower=lower, upper=upper):
            for bound in (lower, upper):
                if bound is not None:
                    yield bound, "None"
        case ast.Call():
            yield from _calls(node)
        case ast.comprehension(ifs=conditions):
            for condition in conditions:
                yield condition, "True"
        case _:
            return


def _with_operator(node: ast.Compare, changed: int, operator: str) -> str:
    words = [ast.unparse(node.left)]
    for index, right in enumerate(node.comparators):
        # Only the operators have to be told apart, so the others are taken from the whole as it is written.
        own = ast.unparse(ast.Compare(ast.Name("x"), [node.ops[index]], [ast.Name("y")]))
        words += [
            operator if index == changed else own.removeprefix("x ").removesuffix(" y"),
            ast.unparse(right),
        ]
    return f"({' '.join(words)})"


def _constants(node: ast.Constant) -> Iterator[Change]:
    match node.value:
        case bool(value):
            yield node, repr(not value)
        case int(value) | float(value):
            yield node, repr(value + 1)
            yield node, f"({value - 1!r})"
        case str(value) if " " not in value:
            yield node, repr(f"not {value}")
        case _:
            return


def _calls(node: ast.Call) -> Iterator[Change]:
    """Left-out arguments: one given by keyword, and the last of several given by position."""
    function = ast.unparse(node.func)
    if function.split(".")[-1] in _FOR_TYPES:
        return
    arguments = [ast.unparse(each) for each in node.args]
    keywords = [ast.unparse(each) for each in node.keywords]
    for index, keyword in enumerate(node.keywords):
        # A switch that is turned is as good as one left out.
        is_switch = isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)
        if not is_switch:
            yield node, f"{function}({', '.join([*arguments, *keywords[:index], *keywords[index + 1 :]])})"
    if len(arguments) > 1 and function not in _BUILT_IN_CHECKS:
        yield node, f"{function}({', '.join([*arguments[:-1], *keywords])})"
