"""Examples take each name from where users do: from ``mabeam``, if it has the name."""

import ast
from collections.abc import Iterator

import pytest

import mabeam
from tests.docs import _blocks
from tests.meta import _project

WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Code of mabeam.testing is for tests, where the packages below it are met by their own names.
ELSEWHERE = "mabeam.testing"


def _examples() -> Iterator[tuple[str, str]]:
    for page in _blocks.pages():
        for block in _blocks.blocks(page.read_text(encoding="utf-8")):
            if block.language == "python":
                yield f"{_project.shown(page)}:{block.line}", block.code
    for module in _project.modules():
        if module.name.startswith(ELSEWHERE):
            continue
        for node in ast.walk(module.tree()):
            if isinstance(node, WITH_DOCSTRING):
                for code in _blocks.examples_of(ast.get_docstring(node) or ""):
                    lines = [line[4:] for line in code.splitlines() if line.startswith((">>> ", "... "))]
                    yield f"{module.name}, {getattr(node, 'name', 'module')}", "\n".join(lines) or code


def _roundabout(code: str) -> Iterator[str]:
    """The names that an example takes from a package although the root has them."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return  # a fragment
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(package), names=names) if package.startswith("mabeam."):
                yield from (alias.name for alias in names if alias.name in mabeam.__all__)
            case ast.Attribute(attr=name, value=ast.Attribute(value=ast.Name(id="mabeam"))):
                if name in mabeam.__all__:
                    yield name


def test_examples_import_from_the_root_what_it_has() -> None:
    found = [
        f"{where}: {', '.join(names)}" for where, code in _examples() if (names := list(_roundabout(code)))
    ]
    if found:
        pytest.fail("take these from mabeam itself:\n" + "\n".join(found), pytrace=False)


def test_a_roundabout_way_is_seen() -> None:
    """However it is written."""
    assert list(_roundabout("from mabeam.kernel import spawn, Kernel")) == ["spawn"]
    assert list(_roundabout("import mabeam\nmabeam.otp.ref('x', X)\nmabeam.ref('x', X)")) == ["ref"]
