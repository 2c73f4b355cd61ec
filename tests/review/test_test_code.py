"""Test code is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mabeam.review import FileError, analyse_file, analyse_source, select_codes

if TYPE_CHECKING:
    from pathlib import Path

BAD = "import asyncio\nasync def f(): asyncio.create_task(g())\n"


def codes(code: str, shown_as: str) -> list[str]:
    """Review a snippet under a name of its own."""
    result = analyse_source(code, shown_as=shown_as, codes=select_codes())
    assert not isinstance(result, FileError)
    return [finding.code for finding in result]


@pytest.mark.parametrize(
    "name", ["test_x.py", "a/b/test_x.py", "a\\x_test.py", "conftest.py", "tests.py", "bench_x.py"]
)
def test_a_file_with_the_name_of_a_test_is_left_alone(name: str) -> None:
    """It drops, blocks and swallows on purpose; what measures blocks for the sake of quiet."""
    assert codes(BAD, name) == []


@pytest.mark.parametrize("name", ["x.py", "tests/x.py", "latest.py", "testing.py", "contest.py"])
def test_other_names_are_reviewed(name: str) -> None:
    """Neither a directory nor a part of a word makes a test."""
    assert codes(BAD, name) == ["MB101"]


@pytest.mark.parametrize("line", ["import pytest", "import unittest.mock", "from test.support import x"])
def test_what_imports_a_test_framework_is_a_test(line: str) -> None:
    """Helpers of tests do not always bear the name."""
    assert codes(f"{line}\n{BAD}", "x.py") == []


def test_a_relative_import_of_that_name_is_something_else() -> None:
    """A package may have a module called `test`."""
    assert codes(f"from .test import x\n{BAD}", "x.py") == ["MB101"]


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("tests/x.py", []),
        ("pkg/test/y/x.py", []),
        ("benchmarks/x.py", []),
        ("pkg/contest/x.py", ["MB101"]),
        ("", ["MB101"]),
    ],
)
def test_a_folder_of_tests_below_the_path_is_left_alone(
    tmp_path: Path, below: str, expected: list[str]
) -> None:
    """What lies above the path, or is the path, belongs to who asked for the review."""
    path = tmp_path / "tests" / "x.py"
    path.parent.mkdir()
    path.write_text(BAD)
    result = analyse_file(path, shown_as="tests/x.py", codes=select_codes(), below=below)
    assert not isinstance(result, FileError)
    assert [finding.code for finding in result] == expected
