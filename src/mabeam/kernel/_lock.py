"""A lock between processes: it knows who holds it, and does not outlive them."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Self, TypeAlias, final

from mabeam.errors import UsageError
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._calls import waiting_for
from mabeam.kernel._current import current_process
from mabeam.kernel._cycles import check_lock_cycle
from mabeam.kernel._ending import LIFESPAN
from mabeam.kernel._waits import blockers

if TYPE_CHECKING:
    from types import TracebackType

    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process

__all__ = ("Lock",)

_Code: TypeAlias = "Process | Activation | asyncio.Future[Any]"
"""What holds a lock or waits for it: an activation, the code of a process that has none, a task of a Runtime's block."""


@final
class Lock:
    """Mutual exclusion for code of different processes, or of concurrent handlers of one. Used as ``async with lock:``.

    Guarantees:
        First come, first served. A holder whose process ends, even by a kill, gives it up. One who is cancelled while it
        waits leaves the queue. ``why`` names the holder, which ``asyncio.Lock`` cannot.

    Better than a lock is a server that owns what the lock would protect; use one where others' code must be kept apart.
    While somebody holds it, it belongs to the event loop of the holder; processes of other loops are refused.

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
        """A lock that nobody holds.

        Raises:
            UsageError: the name is no text.
        """
        if not isinstance(name, str):
            raise UsageError(
                f"Lock expects a name that messages call it by, got {name!r}. It has no number of places."
            )
        self.name = name
        self._holder: Process | None = None
        self._by: _Code | None = None
        self._waiting: OrderedDict[asyncio.Future[None], tuple[Process, _Code]] = OrderedDict()
        """In the order in which they came. Whoever gives up leaves at once, however many there are."""
        self._changing = threading.RLock()
        """Processes of two event loops may come at the same moment, and one of them is to be refused. Reentrant, since the garbage
        collector may come in between, and close a coroutine that gives the lock up."""

    @property
    def holder(self) -> Pid | None:
        """Whose code holds it."""
        return self._holder.pid if self._holder is not None else None

    async def __aenter__(self) -> Self:
        """Wait for it.

        Raises:
            UsageError: this very code holds it already; or a process of another event loop does.
            CallCycle: its holder waits for the one that asks.
        """
        process, owner = current_process(), here.get()
        # The tasks of a Runtime's block are not of ours: there is nothing else to tell them apart.
        code = asyncio.current_task() or owner if process.parent is None else owner
        if self._by is code:
            msg = f"{process.describe()} holds the {self.name} already; a lock is entered once"
            raise UsageError(msg)
        with self._changing:
            holder = self._holder
            if holder is None:
                self._give(process, code)
                return self
        if holder.kernel.loop is not process.kernel.loop:
            raise self._belongs_elsewhere(process, holder)
        check_lock_cycle(owner, self)
        got: asyncio.Future[None] = process.kernel.loop.create_future()
        self._waiting[got] = process, code
        try:
            with waiting_for(holder, f"to release the {self.name}", lock=self):
                await got
        except BaseException:
            if self._by is code:
                self._release()
            else:
                self._waiting.pop(got, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it to the next. Also from other code of the process that holds it, which may keep it in an exit stack."""
        owner = here.get(None)
        if owner is not None and self._holder is owner.process:
            self._release()

    def process_ended(self, pid: Pid) -> None:
        """Its holder has ended."""
        if self._holder is not None and self._holder.pid is pid:
            self._release()

    def held_by(self) -> tuple[Process, Process | Activation] | None:
        """The process that holds it, and which of its code must go on before it is free; the process itself if that is open."""
        process, code = self._holder, self._by
        if process is None:
            return None
        if isinstance(code, Activation) and _is_at_work(code):
            return process, code
        # It is kept: the handler that took it has returned, or ``lifespan`` took it for as long as the process lives. Whatever
        # runs beside may give it up; if nothing does, what the process does next, or its end.
        keeping = tuple(blockers(process))
        is_alone = len(keeping) == 1 and all(each in {keeping[0], process.hold} for each in process.running())
        return process, keeping[0] if is_alone else process

    def is_held_by(self, code: Activation) -> bool:
        """Whether it was given to this very code."""
        return self._by is code

    def _give(self, process: Process, code: _Code) -> None:
        self._holder, self._by = process, code
        if process.registrations is None:
            process.registrations = {}
        process.registrations[self] = None

    def _release(self) -> None:
        with self._changing:
            if self._holder is not None and self._holder.registrations is not None:
                self._holder.registrations.pop(self, None)
            self._holder = self._by = None
            while self._waiting:
                got, (process, code) = self._waiting.popitem(last=False)
                if not got.done() and process.is_alive:
                    self._give(process, code)
                    got.set_result(None)
                    return

    def _belongs_elsewhere(self, process: Process, holder: Process) -> UsageError:
        return UsageError(
            f"expected the {self.name} to be used in one event loop, but {holder.describe()} of another one holds it, and "
            f"{process.describe()} asks for it: a mabeam.Lock is bound to the event loop of its holder. Have a server own what "
            "it protects and reach that through a portal, or give each Runtime a Lock of its own."
        )

    def __repr__(self) -> str:
        """Show who holds it."""
        held = f"held by {self._holder.describe()}" if self._holder is not None else "free"
        return f"<Lock {self.name!r}, {held}, {len(self._waiting)} waiting>"


def _is_at_work(code: Activation) -> bool:
    """Whether it may go on by itself: it has not ended, and is no ``lifespan`` that rests at its ``yield``."""
    process = code.process
    if code is process.hold:
        return process.ending is not None and process.ending.stage == LIFESPAN
    return code.coroutine is not None and not code.over
