"""What decides and does not wait is judged by mutants: such a module is in the table of those."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.meta._project import PACKAGE, ROOT
from tests.proof._table import TABLE

if TYPE_CHECKING:
    from pathlib import Path


def says_it_is_pure(path: Path) -> bool:
    """Whether its name or its docstring says that it only decides."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return path.name.endswith("_state.py") or re.search(r"\bpure\b", said, re.IGNORECASE) is not None


def test_what_says_that_it_is_pure_is_mutated() -> None:
    """Called ``*_state.py``, or pure by its own words."""
    pure = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("_*.py")
        if path.name != "__init__.py" and says_it_is_pure(path)
    }
    assert len(pure) > 20
    assert pure <= TABLE.keys()


@pytest.mark.parametrize("module", TABLE)
def test_a_mutated_module_and_its_tests_are_there(module: str) -> None:
    """And each only once."""
    assert (PACKAGE / module).is_file()
    tests = TABLE[module]
    assert tests
    assert len(set(tests)) == len(tests)
    for test in tests:
        assert (ROOT / test).is_file(), test
