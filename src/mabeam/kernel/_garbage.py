"""The garbage collector under the hand of a Runtime that owns its loop.

Left alone, Python walks over every object each time a quarter more have survived: with a million processes that is seconds in
which nothing runs. Reference counts free what ends here anyway, so the walks can wait: they are short (the young objects
only) until the loop has nothing else to do, and after a bulk start what has just been made is taken out of them altogether.
"""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Final

from mabeam._base import stopwatch_of

if TYPE_CHECKING:
    import asyncio

    from mabeam.kernel._kernel import Kernel

__all__ = ("GarbageKeeper",)

_THRESHOLDS: Final = (5_000, 40, 1_000_000)
"""Objects before a walk over the young, and such walks before one over the middle-aged. The old are left to ``_tend``."""
_PERIOD: Final = 1.0
"""Seconds between two looks."""
_BULK: Final = 10_000
"""By how many processes there must be more than at the last look for that to be a bulk start."""
_LONGEST: Final = 0.05
"""Seconds that a full collection may take; after a longer one what it has walked over is frozen."""
_ENOUGH: Final = 10
"""Walks over the middle-aged after which a full collection is worth while."""
_TOO_MANY: Final = 50
"""Such walks after which it does not wait for an idle loop."""
_PATIENCE: Final = 10
"""Looks for which it waits for one at most."""


class _Collector:
    """The collector of the interpreter, which keepers share: one for each ``mabeam.run``, in whatever threads.

    The first takes it over, and the last gives it back as the first has found it.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._keepers = 0
        self._before: tuple[int, int, int] = (0, 0, 0)
        self._may_unfreeze = True
        """Nothing was frozen before, by a program that forks say: Python can only give all of it back."""
        self._has_frozen = False

    def take(self) -> None:
        """One keeper more."""
        with self._gate:
            self._keepers += 1
            if self._keepers == 1:
                self._before = gc.get_threshold()
                self._may_unfreeze = not gc.get_freeze_count()
                gc.set_threshold(*_THRESHOLDS)

    def give_back(self) -> None:
        """One less."""
        with self._gate:
            self._keepers -= 1
            if self._keepers == 0:
                gc.set_threshold(*self._before)
                self._unfreeze()

    def freeze(self) -> None:
        """Take all that lives out of its sight, that of the other keepers as well."""
        with self._gate:
            gc.freeze()
            self._has_frozen = True

    def unfreeze(self) -> None:
        """Give all of it back, unless some was frozen before."""
        with self._gate:
            self._unfreeze()

    def _unfreeze(self) -> None:
        if self._has_frozen and self._may_unfreeze:
            gc.unfreeze()
        self._has_frozen = False


_collector: Final = _Collector()
"""The interpreter has one, and so it is the one thing here that does not belong to a Runtime."""


class GarbageKeeper:
    """Sees to garbage from its making until :meth:`close`. The last that closes leaves everything as the first has found it.

    Once a second it looks. A full collection is made when it is worth while and the loop is idle, or has not been found so ten
    times in a row: a program that is never idle has garbage, too. After a bulk start, and after a full collection that took too long, all that lives is *frozen*:
    taken out of the collector's sight, since it will live on. Its reference counts still free it; only cycles among it are
    not found, so it is given back when half of the processes that were frozen have ended, and when what is frozen has become
    twice what it was after the last collection that walked over everything: garbage among it is never more than what lives,
    and walking over everything costs no more than making it has. In a program that has frozen something itself it stays frozen: Python cannot tell the two apart.

    Attributes:
        collections: full collections so far.
        longest: the longest of them, in seconds.
        freezes: how often everything was frozen.
    """

    def __init__(self, kernel: Kernel) -> None:
        """Take over."""
        self.collections = 0
        self.longest = 0.0
        self.freezes = 0
        self._kernel = kernel
        self._stopwatch = stopwatch_of(kernel.loop)
        self._living = len(kernel.table)
        self._postponed = 0
        """For how many looks a full collection has waited for an idle loop."""
        self._unfreeze_at: int | None = None
        """How many processes will have ended when what is frozen is given back."""
        self._walked: int | None = None
        """How many objects were frozen after a collection that had walked over all of them."""
        _collector.take()
        self._timer: asyncio.TimerHandle = kernel.loop.call_later(_PERIOD, self._tend)

    def close(self) -> None:
        """Give back what was taken."""
        self._timer.cancel()
        _collector.give_back()

    def _tend(self) -> None:
        kernel = self._kernel
        self._timer = kernel.loop.call_later(_PERIOD, self._tend)
        living = len(kernel.table)
        grown, self._living = living - self._living, living
        if grown >= _BULK:
            self._freeze()
            return
        walks = gc.get_count()[2]
        is_due = self._unfreeze_at is not None and self._ended() >= self._unfreeze_at
        if not is_due and walks < _ENOUGH:
            self._postponed = 0
        elif not kernel.scheduler.is_idle and walks < _TOO_MANY and self._postponed < _PATIENCE:
            self._postponed += 1
        else:
            self._postponed = 0
            if is_due:
                self._unfreeze_at = self._walked = None
                _collector.unfreeze()
            if walks >= _ENOUGH:
                self._collect()

    def _ended(self) -> int:
        return self._kernel.started_count - len(self._kernel.table)

    def _freeze(self) -> None:
        _collector.freeze()
        self.freezes += 1
        self._unfreeze_at = self._ended() + max(_BULK, len(self._kernel.table) // 2)

    def _collect(self) -> None:
        before = self._stopwatch()
        gc.collect()
        seconds = self._stopwatch() - before
        self.collections += 1
        self.longest = max(self.longest, seconds)
        if seconds > _LONGEST:
            self._freeze()
            frozen = gc.get_freeze_count()
            if self._walked is None:
                self._walked = frozen
            elif frozen >= 2 * self._walked:
                self._unfreeze_at = self._ended()
        bus = self._kernel.bus
        if bus.listening:
            bus.emit("gc.collected", {"duration": seconds}, {"runtime": self._kernel.id})
