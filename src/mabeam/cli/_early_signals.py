"""What SIGINT and SIGTERM do before a command is at work, and after it: a line, and the exit code that the shell expects.

Until a command has something to put in order there is nothing to wind up, and an exception would come out of whatever is
being imported. So the OS process just ends.
"""

from __future__ import annotations

import os
import signal

__all__ = ("end_at_once_on_signals",)

_WORDS = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"terminated"}


def end_at_once_on_signals() -> None:
    """Handle both signals from now on; what the one who started us has told to be ignored is ignored."""
    for number in _WORDS:
        try:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)
        except ValueError:
            return  # not in the main thread: then signals are somebody else's


def _end(number: int, _frame: object) -> None:
    try:
        os.write(2, b"mabeam: %s\n" % _WORDS[signal.Signals(number)])
    except OSError:
        pass  # nobody reads it
    os._exit(128 + number)
