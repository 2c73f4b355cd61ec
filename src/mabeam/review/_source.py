"""Reading one Python file: from bytes to text to a syntax tree, every failure a :class:`FileError`."""

from __future__ import annotations

import ast
import io
import os
import stat
import threading
import tokenize
import warnings
from dataclasses import dataclass

from mabeam.review._finding import ErrorKind, FileError

__all__ = ("MAX_BYTES", "Source", "parse_source", "read_source")

# A tree takes some fifty times its text. No hand-written file comes near this; generated tables do.
MAX_BYTES = 8 * 1024 * 1024

# `warnings.catch_warnings` swaps a list that belongs to the whole interpreter: two reviewers that did so at once
# could leave the filters of one in place for good. Parsing holds the GIL anyway, so the lock costs nothing.
_PARSING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    r"""A file that was read and parsed.

    Attributes:
        text: the decoded text, with ``\n`` at the end of every line.
        tree: its syntax tree.
    """

    text: str
    tree: ast.Module


def read_source(path: str | os.PathLike[str], *, shown_as: str) -> Source | FileError:
    """Read, decode and parse one file.

    Args:
        path: where the file is.
        shown_as: how it is called in reports.

    Returns:
        The source, or why there is none. No exception leaves this function for anything that a file can hold.
    """
    try:
        data = _read_bytes(path)
    except (OSError, ValueError) as error:
        return FileError(shown_as, ErrorKind.UNREADABLE, _reason(error))
    return parse_source(data, shown_as=shown_as)


def parse_source(data: bytes, *, shown_as: str) -> Source | FileError:
    """Decode and parse what a file holds.

    Args:
        data: the bytes of the file.
        shown_as: how it is called in reports.

    Returns:
        The source, or why there is none.
    """
    if len(data) > MAX_BYTES:
        return FileError(shown_as, ErrorKind.UNREADABLE, f"larger than the limit of {MAX_BYTES:,} bytes")
    text = _decode(data)
    if isinstance(text, Exception):
        return FileError(shown_as, ErrorKind.UNPARSABLE, f"cannot be decoded: {_reason(text)}")
    if "\0" in text:
        # The versions of Python disagree about the error for this one.
        return FileError(shown_as, ErrorKind.UNPARSABLE, f"line {_line_of_null(text)}: holds a null byte")
    try:
        with _PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        return FileError(shown_as, ErrorKind.UNPARSABLE, f"line {error.lineno or 1}: {error.msg}")
    except (RecursionError, MemoryError):
        # The parser says either of the two when its own stack is full; which one depends on the construct.
        return FileError(shown_as, ErrorKind.UNPARSABLE, "nested too deeply for Python's parser")
    except ValueError as error:
        return FileError(shown_as, ErrorKind.UNPARSABLE, _reason(error))
    return Source(text, tree)


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    # What is not a file is not even opened: a device may take that for an order. Something else may have its name by the time
    # it is opened, so it is asked again; a FIFO would wait for its writer for ever, so the flag.
    _check_is_file(os.stat(path))  # noqa: PTH116 - strings throughout, as the listing gives them
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_is_file(os.fstat(descriptor))
        chunks: list[bytes] = []
        size = 0
        while size <= MAX_BYTES and (chunk := os.read(descriptor, MAX_BYTES)):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _check_is_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")


def _decode(data: bytes) -> str | Exception:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, LookupError, ValueError) as error:
        # SyntaxError: a cookie that names no codec; LookupError: one that is no text codec, such as "hex".
        return error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of_null(text: str) -> int:
    return text.count("\n", 0, text.index("\0")) + 1


def _reason(error: Exception) -> str:
    """Say what went wrong without the path, which may differ between machines and between runs."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.object[error.start]:#04x} at offset {error.start} is not {error.encoding}"
    if isinstance(error, SyntaxError):
        return str(error.msg)
    return str(error)
