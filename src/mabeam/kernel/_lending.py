"""How a thread that looks at a busy event loop now and then comes to the interpreter's lock.

CPython gives the lock to whoever is there first. A loop that is never idle lets go of it in each turn, for as long as it asks
the operating system for events: that wakes the thread that waits for the lock, and the loop has it again before the thread is
awake. A loop that turns every 70 us does that thousands of times until the thread is lucky, and runs a quarter slower
meanwhile. (The interpreter's switch interval does not help: a thread that is woken begins to wait anew.) So a loop that turns
wakes the thread itself, shortly before it would wake by itself, and waits until it has looked.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mabeam.kernel._scheduler import Scheduler

__all__ = ("Lending",)

_TURNS: Final = 16
"""After how many turns of the loop the time is looked at. A loop that turns less often lets the thread in by waiting."""
_EARLY: Final = 0.8
"""When the loop wakes the thread, as a share of what it sleeps."""
_PATIENCE: Final = 0.002
"""Seconds that the loop waits for the thread: the machine may give it no core, or it may be busy with something else."""


class Lending:
    """Wakes one thread for the looks that it takes at one event loop.

    Guarantees:
        The thread never sleeps longer than ``pause`` seconds. The loop waits for it at most 2 ms in each pause.
    """

    def __init__(self, scheduler: Scheduler, pause: float) -> None:
        """Made in the loop's thread, for the thread that looks at it."""
        self._scheduler = scheduler
        self._stopwatch = scheduler.stopwatch
        self._pause = pause
        self._wake = threading.Event()
        self._has_looked = threading.Event()
        self._is_over = False
        self._looked_at = self._stopwatch()
        scheduler.each_so_often(_TURNS, self._lend_if_due)

    def sleep(self) -> bool:
        """In the thread: sleep until the next look; false when there is to be none."""
        self._looked_at = self._stopwatch()
        self._has_looked.set()
        self._wake.wait(self._pause)
        self._wake.clear()
        return not self._is_over

    def stop(self) -> None:
        """In the loop: have the thread come to its end."""
        self._is_over = True
        self._scheduler.each_so_often(None, self._lend_if_due)
        self._wake.set()

    def _lend_if_due(self) -> None:
        now = self._stopwatch()
        if now - self._looked_at > _EARLY * self._pause:
            self._has_looked.clear()
            self._wake.set()
            if not self._has_looked.wait(_PATIENCE):
                self._looked_at = now  # not again before the next look is due
