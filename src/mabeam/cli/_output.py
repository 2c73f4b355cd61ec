"""Where a command's words and its report go: never half a file, and no traceback when nobody reads."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

import typer

from mabeam.review import printable

__all__ = ("check_writable", "open_standard_streams", "say", "write_report")


def open_standard_streams() -> None:
    """Open the standard streams that whoever started us has closed (``>&-``), so that no other file gets their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, and all lower ones are open by now.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115 - a number, open for good


def say(text: str) -> None:
    """Write a line for the user to standard error, if anybody reads it."""
    with contextlib.suppress(OSError):
        typer.echo("\n".join(printable(line) for line in text.split("\n")), err=True)


def check_writable(output: Path) -> str | None:
    """Say why a report could not be written to ``output``, before the work for it is done."""
    if output.is_dir():
        return "it is a directory"
    if output.exists() and not output.is_file():
        return None  # a device or a pipe: it will show
    if output.exists() and not os.access(output, os.W_OK):
        return "it is read-only"
    folder = _real(output).parent
    if not folder.is_dir():
        return f"there is no directory {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the directory {folder} cannot be written to"
    return None


def write_report(data: bytes, output: Path | None) -> None:
    """Write a report; a file is replaced in one step, so that nobody ever sees half of one.

    Raises:
        OSError: it cannot be written. A file that was there is as it was.
    """
    if output is None:
        _write_to_stdout(data)
    elif output.exists() and not output.is_file():
        output.write_bytes(data)  # a device or a pipe is written to, not replaced
    else:
        _replace(_real(output), data)


def _write_to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer would be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader had enough, `| head` say
            raise


def _replace(output: Path, data: bytes) -> None:
    new = output.with_name(f".{output.name}.{os.getpid()}.new")
    mode = stat.S_IMODE(output.stat().st_mode) if output.exists() else None
    try:
        # Created with the permissions that the user's umask gives to any new file.
        with new.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
        new.replace(output)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _real(output: Path) -> Path:
    """The file itself, if ``output`` is a link to it: a link is kept."""
    return Path(os.path.realpath(output))
