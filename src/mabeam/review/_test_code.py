"""Telling tests from the code they test."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("is_test_code",)

# What measures does one thing after the other, so that nothing else disturbs it: in that it is like a test.
_FILE_NAMES = re.compile(
    r"^(?:test_.*|.*_tests?|tests?|conftest|bench_.*|benchmark_.*|.*_bench|.*_benchmark)\.py$"
)
_FOLDERS = frozenset(
    {"test", "tests", "_tests", "testing", "_testing", "stresstest", "bench", "benchmark", "benchmarks"}
)
# What only tests import. `unittest` itself imports its parts relatively.
_PACKAGES = frozenset({"pytest", "unittest", "test", "nose", "hypothesis"})


def is_test_code(tree: ast.Module, shown_as: str, below: str = "") -> bool:
    """Whether a module is a test or a benchmark, or a part of one: by its file, its folder, or by what it imports at its top.

    Args:
        tree: the module.
        shown_as: how the file is called; of its folders none counts, they may belong to who asked for the review.
        below: the way to it from the folder that was to be reviewed; the folders on it count.
    """
    if _FILE_NAMES.match(shown_as.replace("\\", "/").rpartition("/")[2]) is not None:
        return True
    if not _FOLDERS.isdisjoint(below.split("/")[:-1]):
        return True
    return any(name.partition(".")[0] in _PACKAGES for name in _imported(tree))


def _imported(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            yield statement.module or ""
