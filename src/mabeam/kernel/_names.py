"""Names of processes: one a process, given up when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from mabeam.errors import UsageError
from mabeam.kernel._checks import no_target

if TYPE_CHECKING:
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process

__all__ = ("Name", "Names", "Registration", "ViaName")


@runtime_checkable
class ViaName(Protocol):
    """A name that is kept elsewhere than in the Runtime: in a ``Registry``, say.

    It must be hashable and compare by value. None of its methods waits.
    """

    def register_name(self, pid: Pid) -> Pid:
        """Give the name to ``pid``; answer who has it now: ``pid``, or the process that had it already."""
        ...

    def whereis_name(self) -> Pid | None:
        """Answer who has the name."""
        ...

    def unregister_name(self, pid: Pid) -> None:
        """Take the name from ``pid``."""
        ...


Name: TypeAlias = "str | ViaName"


class Registration(Protocol):
    """Something to be undone when a process ends, in the same step and before anybody hears of the end."""

    def process_ended(self, pid: Pid) -> None:
        """Forget the process. Must not wait or raise."""
        ...


class Names:
    """The names of one Runtime."""

    def __init__(self) -> None:
        """No names yet."""
        self._processes: dict[str, Process] = {}

    def find(self, name: Name) -> Process | None:
        """The living process of that name.

        Raises:
            UsageError: it is no name.
        """
        if isinstance(name, str):
            return self._processes.get(name)
        whereis = getattr(name, "whereis_name", None)
        if whereis is None or isinstance(name, type):
            raise no_target(name)
        pid: Pid | None = whereis()
        return pid._process if pid is not None else None

    def give(self, name: Name, process: Process) -> Process:
        """Register; answer the process that has the name now.

        Raises:
            UsageError: the process has a name already, or the name is none.
        """
        # A registry that has ended has taken its names along.
        if process.name is not None and self.find(process.name) is process:
            msg = f"{process.describe()} cannot be called {name!r} as well: a process has one name. Use a Registry for more."
            raise UsageError(msg)
        if isinstance(name, str):
            if not name:
                msg = "a process name must be a non-empty string, got ''"
                raise UsageError(msg)
            holder = self._processes.setdefault(name, process)
        elif isinstance(name, ViaName):
            pid = name.register_name(process.pid)
            holder = pid._process or process
        else:
            msg = f"a process name must be a string or a via name such as registry.via(key), got {name!r}"
            raise UsageError(msg)
        if holder is process:
            process.name = name
        return holder

    def unregister(self, name: Name, process: Process) -> None:
        """Take a name from the process that it leads to, and no other: a process may have many in registries."""
        if process.name == name:
            self.take(process)
        elif not isinstance(name, str):
            name.unregister_name(process.pid)

    def take(self, process: Process) -> None:
        """Take from a process the name that it is called by, if it has one."""
        name, process.name = process.name, None
        if isinstance(name, str):
            if self._processes.get(name) is process:
                del self._processes[name]
        elif name is not None:
            name.unregister_name(process.pid)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._processes)
