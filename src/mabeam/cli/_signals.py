"""What SIGINT and SIGTERM do to a command: it ends, says so in a line, and with the exit code that the shell expects."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import typer

from mabeam.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

__all__ = ("ending_on_signals",)

_Handler: TypeAlias = "Callable[[int, FrameType | None], object] | int | signal.Handlers | None"

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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminate)
        yield
        _restore(before)
    except KeyboardInterrupt:
        _end("interrupted", what_is_left, _EXIT_SIGINT)
    except SystemExit as error:
        if error.code == _EXIT_SIGTERM:
            _end("terminated", what_is_left, _EXIT_SIGTERM)
        _restore(before)
        raise
    except BaseException:
        _restore(before)
        raise


def _restore(before: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in before.items():
        if handler is not None:  # it was set by something that is not Python
            signal.signal(number, handler)


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(_EXIT_SIGTERM)


def _end(word: str, what_is_left: str, code: int) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    say(f"mabeam review: {word}, {what_is_left}")
    raise typer.Exit(code) from None
