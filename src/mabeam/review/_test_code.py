"""Telling tests from the code they test."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("is_test_code",)

_FILE_NAMES = re.compile(r"^(?:test_.*|.*_tests?|tests?|conftest)\.py$")
# What only tests import. `unittest` itself imports its parts relatively.
_PACKAGES = frozenset({"pytest", "unittest", "test", "nose", "hypothesis"})


def is_test_code(tree: ast.Module, shown_as: str) -> bool:
    """Whether a module is a test, or a part of one: by the name of its file, or by what it imports at its top.

    The directories do not count: what lies below somebody's ``tests`` may be anything.
    """
    if _FILE_NAMES.match(shown_as.replace("\\", "/").rpartition("/")[2]) is not None:
        return True
    return any(name.partition(".")[0] in _PACKAGES for name in _imported(tree))


def _imported(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            yield statement.module or ""
