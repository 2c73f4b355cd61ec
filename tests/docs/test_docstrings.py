"""Every ``Example:`` in a docstring of the package runs, as a script of its own."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import _blocks
from tests.meta import _project

WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _examples() -> Iterator[tuple[_project.Module, int, str, str]]:
    for module in _project.modules():
        for node in ast.walk(module.tree()):
            if not isinstance(node, WITH_DOCSTRING):
                continue
            docstring = ast.get_docstring(node) or ""
            name = getattr(node, "name", "module")
            line = getattr(node, "lineno", 1)
            for code in _blocks.examples_of(docstring):
                yield module, line, f"{module.name}-{name}-{line}", code


@pytest.mark.parametrize(
    ("module", "line", "code"),
    [pytest.param(module, line, code, id=name) for module, line, name, code in _examples()],
)
def test_example_runs(
    module: _project.Module, line: int, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may use what its module defines or imports, and ``mabeam``; anything else it imports itself."""
    monkeypatch.chdir(tmp_path)
    script = _blocks.Script(module.path, monkeypatch)
    script.know({"mabeam": importlib.import_module("mabeam"), **vars(module.load())})
    try:
        if code.startswith(">>>"):
            script.check(code, line=line)
        else:
            script.run(code, line=line)
    finally:
        script.close()
