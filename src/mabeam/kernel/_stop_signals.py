"""SIGINT and SIGTERM for a whole program: the first asks, the second insists, also while a handler blocks the loop."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn

from mabeam._base import stopwatch_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

__all__ = ("StopSignals",)

_PATIENCE: Final = 0.1
"""Seconds that the loop has to take a signal. One that has not by then is blocked."""


class StopSignals:
    """Hands signals to the loop; raises them where the main thread is when the loop does not take them.

    Python runs a signal handler between two steps of whatever the main thread does, the loop's callbacks only when the
    loop has its turn. The first is therefore left to the loop, which can stop everything in order. If another comes and the
    loop has still not taken the one before, some code blocks it, and an exception is all that can end that code.

    Attributes:
        taken: the signals that the loop has taken, in order.
        first: the first signal that came, taken or not.
    """

    def __init__(self, on_signal: Callable[[], None]) -> None:
        """``on_signal`` runs in the loop, once for each signal, when ``taken`` has grown."""
        self._on_signal = on_signal
        self._stopwatch: Callable[[], float] | None = None
        self._arrived = 0
        self._waiting_since = 0.0
        self.taken: list[signal.Signals] = []
        self.first: signal.Signals | None = None

    @property
    def insisted(self) -> bool:
        """Whether there was more than one: everything is to end at once."""
        return self._arrived > 1

    @contextlib.contextmanager
    def handled_in(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Handle both signals while the block runs. Elsewhere than in the main thread there are none to be had."""
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in handled}
        self._stopwatch = stopwatch_of(loop)
        for number in handled:
            # The loop's way wakes it even if the signal comes just before it waits; ours runs besides.
            loop.add_signal_handler(number, self._take, number)
            signal.signal(number, self._arrive)
        try:
            yield
        finally:
            # Removing a handler of the loop restores Python's own, which ends the program. What comes meanwhile waits for the
            # one that was there before.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
            try:
                for number in handled:
                    loop.remove_signal_handler(number)
                    signal.signal(number, before[number])
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _arrive(self, number: int, _frame: object) -> None:
        """Run by Python in the main thread, whatever it is doing."""
        now = self._stopwatch() if self._stopwatch is not None else 0.0
        if self.first is None:
            self.first = signal.Signals(number)
        if self._arrived == len(self.taken):
            self._waiting_since = now
        self._arrived += 1
        if self._arrived - len(self.taken) > 1 and now - self._waiting_since > _PATIENCE:
            self.raise_first()

    def _take(self, number: signal.Signals) -> None:
        """Run by the loop."""
        self.taken.append(number)
        self._on_signal()

    def raise_first(self) -> NoReturn:
        """Raise what the first signal stands for.

        Raises:
            KeyboardInterrupt: it was SIGINT.
            SystemExit: it was SIGTERM; with 143, as the shell has it.
        """
        if self.first is signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt
