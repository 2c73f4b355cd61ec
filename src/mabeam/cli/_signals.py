"""What SIGINT and SIGTERM do to a command: it ends, says so in a line, and with the exit code that the shell expects."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from mabeam.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ending_on_signals",)

_EXIT_SIGINT = 128 + signal.SIGINT
_EXIT_SIGTERM = 128 + signal.SIGTERM


@contextmanager
def ending_on_signals(what_is_left: str) -> Iterator[None]:
    """End the command when one of the two comes while the block runs, its ``finally`` blocks included.

    A Runtime in the block handles them itself and raises what they stand for. Further ones, from impatient users, change
    nothing any more.

    Args:
        what_is_left: what the user is told besides.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        _end("interrupted", what_is_left, _EXIT_SIGINT)
    except SystemExit as error:
        if error.code != _EXIT_SIGTERM:
            signal.signal(signal.SIGTERM, before)
            raise
        _end("terminated", what_is_left, _EXIT_SIGTERM)
    except BaseException:
        signal.signal(signal.SIGTERM, before)
        raise
    signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(_EXIT_SIGTERM)


def _end(word: str, what_is_left: str, code: int) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    say(f"mabeam review: {word}, {what_is_left}")
    raise typer.Exit(code) from None
