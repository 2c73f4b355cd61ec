"""Processes that want to be told: bounded, and forgotten in the step in which they die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from mabeam.errors import NoSuchProcess, RejectedError
from mabeam.kernel import DEAD, NoProcess

if TYPE_CHECKING:
    from mabeam.kernel import Pid, Process

__all__ = ("Subscribers",)


@final
class Subscribers:
    """The subscribers of one service. Each is told once, however often it has subscribed."""

    __slots__ = ("_owner", "_processes", "limit")

    def __init__(self, owner: Process, limit: int) -> None:
        """Nobody yet; ``owner`` is the service, with which they go."""
        self._owner = owner
        self.limit = limit
        self._processes: dict[Pid, Process] = {}
        _remember(owner, self)

    def add(self, process: Process) -> None:
        """Tell this one, too.

        Raises:
            RejectedError: there are too many already.
            NoSuchProcess: it is dead; nobody would ever forget it.
        """
        if process.pid in self._processes:
            return
        if process.status & DEAD:
            raise NoSuchProcess(process.describe(), NoProcess(), operation="link", pid=process.pid)
        if len(self._processes) >= self.limit:
            msg = (
                f"{self._owner.describe()} has {self.limit} subscribers, and max_subscribers allows no more. Subscribe one process "
                "that passes on what it is told, or start the service with a higher limit."
            )
            raise RejectedError(msg)
        self._processes[process.pid] = process
        _remember(process, self)

    def remove(self, process: Process) -> None:
        """Do not tell it any more; no matter if it was not told before."""
        if self._processes.pop(process.pid, None) is not None and process is not self._owner:
            _forget(process, self)

    def tell(self, message: Any) -> None:
        """Send a message to each. What a full mailbox does not take becomes a dead letter there."""
        for process in tuple(self._processes.values()):
            self._owner.kernel.send(process, message)

    def process_ended(self, pid: Pid) -> None:
        """Called by the kernel in the step in which a subscriber dies, or the service."""
        if pid == self._owner.pid:
            for process in self._processes.values():
                if process is not self._owner:
                    _forget(process, self)
            self._processes.clear()
        else:
            self._processes.pop(pid, None)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._processes)


def _remember(process: Process, subscribers: Subscribers) -> None:
    if process.registrations is None:
        process.registrations = {}
    process.registrations[subscribers] = None


def _forget(process: Process, subscribers: Subscribers) -> None:
    if process.registrations is not None:
        process.registrations.pop(subscribers, None)
