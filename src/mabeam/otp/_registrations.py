"""The registrations of one running registry, tied to the processes they are of.

A registered process carries its registrations with it: when it dies, the kernel has them removed in the same step as its
name, before anybody hears of the death. No message is involved, so neither the registry's mailbox nor what its process
does at the moment can delay it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

from mabeam.errors import NoSuchProcess
from mabeam.kernel import DEAD, NoProcess, Pid, Shutdown, add_link, are_linked, find, remove_link
from mabeam.otp._registry_state import Entry, Table

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from mabeam.kernel import Kernel, Name, Process

__all__ = ("Registrations", "registrations_at")


@final
class Registrations:
    """A table of processes, and what it means for them to be in it.

    A registered process is linked with the registry's process: it must not go on unregistered when that ends. The
    other way round the link says nothing, and nobody is to see it: it is cut before a dying process tells its links.

    Attributes:
        process: the registry's process.
        table: the entries. To be changed by the methods below only.
    """

    __slots__ = ("_linked_before", "process", "table")

    def __init__(self, process: Process, *, unique: bool) -> None:
        """The registrations of the registry that ``process`` is; they go with it."""
        self.process = process
        self.table: Table[Pid] = Table(unique=unique)
        # Those whose link is not ours to cut: the registry's own supervisor may be registered.
        self._linked_before: dict[Pid, None] = {}
        _remember(process, self)

    def add(self, process: Process, key: Hashable, value: Any) -> Pid | None:
        """Register a process.

        Returns:
            Who has the unique key already, the process itself perhaps; ``None`` when it is registered now.

        Raises:
            NoSuchProcess: it is dead; nobody would ever remove its entry.
        """
        if process.status & DEAD:
            raise NoSuchProcess(process.describe(), NoProcess(), operation="link", pid=process.pid)
        is_first = not self.table.has_holder(process.pid)
        taken = self.table.add(key, process.pid, value)
        if taken is not None:
            return taken.holder
        if is_first:
            _remember(process, self)
            if are_linked(process, self.process):
                self._linked_before[process.pid] = None
            else:
                add_link(process, self.process)
        self._emit("registry.registered", ((key, process.pid),))
        return None

    def remove(self, process: Process, entries: Iterable[Entry[Pid]]) -> None:
        """Remove entries of a process; those that are gone already do not matter."""
        gone = [(entry.key, entry.holder) for entry in entries if self.table.remove(entry)]
        if gone and process is not self.process and not self.table.has_holder(process.pid):
            _forget(process, self)
            self._unlink(process)
        self._emit("registry.unregistered", gone)

    def shut_down(self) -> None:
        """The registry ends in an orderly way: so do those who are registered, whatever its reason is.

        In Elixir they are linked with processes below the registry, which are shut down before it ends.
        """
        for holder in dict.fromkeys(entry.holder for entry in self.table):
            if holder not in self._linked_before:
                registered = _process_of(holder)
                remove_link(registered, self.process)  # or one that traps exits would be told twice
                self.process.kernel.signal(registered, self.process, Shutdown())

    def process_ended(self, pid: Pid) -> None:
        """Called by the kernel in the step in which a registered process dies, or the registry's own."""
        if pid == self.process.pid:
            gone = self.table.clear()
            for entry in gone:
                _forget(_process_of(entry.holder), self)
        else:
            gone = self.table.remove_holder(pid)
            self._unlink(_process_of(pid))
        self._emit("registry.unregistered", [(entry.key, entry.holder) for entry in gone])

    def _unlink(self, process: Process) -> None:
        if process.pid in self._linked_before:
            del self._linked_before[process.pid]
        else:
            remove_link(process, self.process)

    def _emit(self, event: str, entries: Iterable[tuple[Hashable, Pid]]) -> None:
        bus = self.process.kernel.bus
        if bus.listening:
            for key, pid in entries:
                metadata = {"registry": self.process.pid.serial, "key": key, "pid": pid.serial}
                bus.emit(event, {}, metadata)


def _remember(process: Process, registrations: Registrations) -> None:
    if process.registrations is None:
        process.registrations = {}
    process.registrations[registrations] = None


def _forget(process: Process, registrations: Registrations) -> None:
    # It has been remembered; with several keys it may have been forgotten already.
    cast("dict[Any, None]", process.registrations).pop(registrations, None)


def _process_of(holder: Pid) -> Process:
    """Who is registered; only a pid that was pickled is nobody's, and none such is."""
    return cast("Process", holder._process)


def registrations_at(kernel: Kernel, address: Pid | Name) -> Registrations | None:
    """The registrations of the registry that is there; ``None`` when there is none that lives and has begun to serve."""
    process = find(kernel, address)
    if process is None or process.kernel is not kernel:
        return None
    registrations = getattr(process.body, "registrations", None)  # the dead have no body
    return registrations if isinstance(registrations, Registrations) else None
