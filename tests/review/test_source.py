"""Reading files: whatever a file holds, the answer is findings or an error, never an exception."""

from __future__ import annotations

import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mabeam.review import ErrorKind, FileError, Finding, analyse_file, analyse_source, select_codes

if TYPE_CHECKING:
    from pathlib import Path

ALL = select_codes()
BLOCKING = b"import time\nasync def f(): time.sleep(1)\n"


def review(path: Path) -> tuple[Finding, ...] | FileError:
    """Review a file under the name x.py."""
    return analyse_file(path, shown_as="x.py", codes=ALL)


@pytest.mark.parametrize(
    "data",
    [
        BLOCKING,
        BLOCKING.replace(b"\n", b"\r\n"),
        BLOCKING.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + BLOCKING,
        b"# -*- coding: latin-1 -*-\n# \xe9\n" + BLOCKING,
        b"# coding: cp1252\n" + BLOCKING + b"x = '\x80'\n",
        b"\x0c" + BLOCKING,
        BLOCKING.rstrip(b"\n"),
        BLOCKING + b"x = '\\d'\nx is 1\n",
        BLOCKING + b"# \x1a",
    ],
    ids=[
        "plain", "windows", "old_mac", "bom", "latin_1", "cp1252", "form_feed", "no_last_line_end", "warnings", "ctrl_z",
    ],
)  # fmt: skip
def test_what_python_reads_is_reviewed(tmp_path: Path, data: bytes) -> None:
    """Encodings, line ends and odd characters do not hide a finding, and nothing warns."""
    path = tmp_path / "x.py"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = review(path)
    assert not isinstance(result, FileError)
    assert [finding.code for finding in result] == ["MB102"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"def f(:\n", "line 1: "),
        (b"x = 1\n\x00y\n", "line 2: holds a null byte"),
        (b"x = '\xff'\n", "cannot be decoded: "),
        (b"# coding: no-such-codec\n", "cannot be decoded: unknown encoding"),
        (b"# coding: hex\n00\n", "cannot be decoded: "),
        (b"\xef\xbb\xbf# coding: latin-1\n", "cannot be decoded: "),
        (b"if x:\n\ty\n        z\n", "line 3: "),
        (b"\xff\xfex\x00", "cannot be decoded: "),
        (b"-" * 100_000 + b"1", "nested too deeply"),
        (b"x" + b"+x" * 100_000, "nested too deeply"),
        (b"(" * 300 + b")" * 300, "line 1: too many nested parentheses"),
    ],
    ids=[
        "syntax", "null", "not_utf_8", "unknown_codec", "no_text_codec", "two_encodings", "tabs", "utf_16", "deep_unary",
        "deep_binary", "deep_parentheses",
    ],
)  # fmt: skip
def test_what_python_cannot_read_is_an_error_of_the_file(data: bytes, message: str) -> None:
    """The message says what is wrong and names no path."""
    result = analyse_source(data, shown_as="x.py", codes=ALL)
    assert isinstance(result, FileError)
    assert (result.file, result.kind) == ("x.py", ErrorKind.UNPARSABLE)
    assert result.message.startswith(message)


@pytest.mark.parametrize(
    "code",
    [
        "x = " + "lambda: " * 80 + "1",
        "x" + ".y" * 800,
        "x" + "()" * 800,
        "import asyncio\nasync def f():\n" + "\n".join(" " * depth + "if x:" for depth in range(1, 90)) + " " * 90 + "\n" + " " * 95 + "pass",
        "if x: pass\n" + "elif x: pass\n" * 300,
        "a = b\nb = a\na.sleep()\nasync def f(): a.sleep()",
        "a = a.b\nasync def f(): a.sleep()",
        "",
        "\n" * 5000,
        "match x:\n  case {'a': [1, *r], **k} | (A(b=c) as d): pass\n",
        "type_ = 1\ndef f(*a, b=1, **k): return [x async for x in y]\n",
        "global x\nnonlocal_ = 1\ndef f():\n  global x, y\n  x = y = 1\n",
        "class A:\n  def f(self):\n    nonlocal x\n    x = 1\n",
        "async def f():\n  (x := await g())\n  return [y := 1 for _ in z]\n",
        "é = 1\nasync def ñ(): open(é).read()\n",
    ],
)  # fmt: skip
def test_odd_code_is_reviewed_without_a_fault(code: str) -> None:
    """Depth, cycles, patterns and names of all kinds go through the pass."""
    assert not isinstance(analyse_source(code, shown_as="x.py", codes=ALL), FileError)


def test_columns_count_characters() -> None:
    """The tree counts bytes; a reader does not."""
    result = analyse_source("async def f(): é = 'ééé'; open(é).read()", shown_as="x.py", codes=ALL)
    assert not isinstance(result, FileError)
    assert [finding.column for finding in result] == [27]


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    """A file may go between listing and reading."""
    assert review(tmp_path / "x.py") == FileError("x.py", ErrorKind.UNREADABLE, "no such file or directory")


def test_a_directory_is_unreadable(tmp_path: Path) -> None:
    """It has no code, whatever it is called."""
    assert review(tmp_path) == FileError("x.py", ErrorKind.UNREADABLE, "not a regular file")


def test_a_pipe_is_unreadable_and_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Reading it would take for ever."""
    os.mkfifo(tmp_path / "x.py")
    assert review(tmp_path / "x.py") == FileError("x.py", ErrorKind.UNREADABLE, "not a regular file")


@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_what_is_no_file_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A device may take that for an order."""
    path = tmp_path / "x.py"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull if kind == "device" else "nowhere")

    def refuse(*_args: object) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "open", refuse)
    error = review(path)
    assert isinstance(error, FileError)
    assert error.kind is ErrorKind.UNREADABLE
    assert error.message == ("no such file or directory" if kind == "link" else "not a regular file")


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    """Unless whoever runs the review may read everything."""
    path = tmp_path / "x.py"
    path.touch(mode=0)
    expected = (
        () if os.access(path, os.R_OK) else FileError("x.py", ErrorKind.UNREADABLE, "permission denied")
    )
    assert review(path) == expected


def test_a_path_with_a_null_byte_is_unreadable() -> None:
    """The operating system refuses it with another error than all others."""
    assert isinstance(analyse_file("x\0.py", shown_as="x.py", codes=ALL), FileError)


def test_reviews_in_many_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Nothing is shared, and the warning filters of the interpreter are left as they were."""
    path = tmp_path / "x.py"
    path.write_bytes(BLOCKING + b"x = '\\d'\n" * 50)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(review, [path] * 64))
    assert results == [results[0]] * 64
    assert list(warnings.filters) == before


def test_results_can_be_pickled(tmp_path: Path) -> None:
    """A reviewer may live in another process."""
    path = tmp_path / "x.py"
    path.write_bytes(BLOCKING)
    for result in (review(path), review(tmp_path / "y.py")):
        assert pickle.loads(pickle.dumps(result)) == result
