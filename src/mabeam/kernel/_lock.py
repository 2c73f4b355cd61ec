"""A lock between processes: it knows who holds it, and does not outlive them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self, final

from mabeam.errors import UsageError
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._calls import waiting_for
from mabeam.kernel._current import current_process
from mabeam.kernel._waits import check_lock_cycle

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process

__all__ = ("Lock",)


@final
class Lock:
    """Mutual exclusion for code of different processes, or of concurrent handlers of one. Used as ``async with lock:``.

    Guarantees:
        First come, first served. A holder whose process ends, even by a kill, gives it up. One who is cancelled while it
        waits leaves the queue. ``why`` names the holder, which ``asyncio.Lock`` cannot.

    Better than a lock is a server that owns what the lock would protect; use one where others' code must be kept apart.

    Args:
        name: how it is called in messages.

    Example:
        lock = mabeam.Lock("printer")

        async def main() -> bool:
            async with lock:
                return lock.holder is not None

        assert mabeam.run(main)
    """

    def __init__(self, name: str = "lock") -> None:
        """A lock that nobody holds."""
        self.name = name
        self._holder: Process | None = None
        self._by: Process | Activation | None = None
        self._waiting: deque[tuple[asyncio.Future[None], Process, Process | Activation]] = deque()

    @property
    def holder(self) -> Pid | None:
        """Whose code holds it."""
        return self._holder.pid if self._holder is not None else None

    async def __aenter__(self) -> Self:
        """Wait for it.

        Raises:
            UsageError: this very code holds it already.
            CallCycle: its holder waits for the one that asks.
        """
        process, owner = current_process(), here.get()
        if self._by is owner:
            msg = f"{process.describe()} holds the {self.name} already; a lock is entered once"
            raise UsageError(msg)
        if self._holder is None:
            self._give(process, owner)
            return self
        check_lock_cycle(owner, self)
        got: asyncio.Future[None] = process.kernel.loop.create_future()
        entry = (got, process, owner)
        self._waiting.append(entry)
        try:
            with waiting_for(self._holder, f"to release the {self.name}", lock=self):
                await got
        except BaseException:
            if self._by is owner:
                self._release()
            elif entry in self._waiting:
                self._waiting.remove(entry)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it to the next."""
        if self._by is here.get(None):
            self._release()

    def process_ended(self, pid: Pid) -> None:
        """Its holder has ended."""
        if self._holder is not None and self._holder.pid is pid:
            self._release()

    def held_by(self) -> tuple[Process, Process | Activation] | None:
        """The process that holds it, and which of its code."""
        return (self._holder, self._by) if self._holder is not None and self._by is not None else None

    def _give(self, process: Process, owner: Process | Activation) -> None:
        self._holder, self._by = process, owner
        if process.registrations is None:
            process.registrations = {}
        process.registrations[self] = None

    def _release(self) -> None:
        if self._holder is not None and self._holder.registrations is not None:
            self._holder.registrations.pop(self, None)
        self._holder = self._by = None
        while self._waiting:
            got, process, owner = self._waiting.popleft()
            if not got.done() and process.is_alive:
                self._give(process, owner)
                got.set_result(None)
                return

    def __repr__(self) -> str:
        """Show who holds it."""
        held = f"held by {self._holder.describe()}" if self._holder is not None else "free"
        return f"<Lock {self.name!r}, {held}, {len(self._waiting)} waiting>"
