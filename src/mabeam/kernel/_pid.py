"""The identity of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, final

if TYPE_CHECKING:
    from mabeam.kernel._process import Process

__all__ = ("Pid",)


@final
class Pid:
    """Identifies one process for ever; a restarted process has a new one.

    A pid is a value: it compares and hashes by the runtime it belongs to and its serial number. One that was
    pickled names its process but no longer reaches it: to signals and calls it is a process that is not there.

    Attributes:
        runtime_id: the Runtime that the process belongs to.
        serial: counts the processes of that Runtime from 0, its root.
    """

    __slots__ = ("_process", "runtime_id", "serial")

    def __init__(self, runtime_id: str, serial: int, process: Process | None = None) -> None:
        """Made by the Runtime only."""
        self.runtime_id = runtime_id
        self.serial = serial
        self._process = process

    @property
    def is_alive(self) -> bool:
        """Whether the process is alive at this moment. It may be dead at the next: prefer a monitor to asking."""
        return self._process is not None and self._process.is_alive

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __getattr__(self, name: str) -> Any:
            """Say what a pid is for: code is asked through handles."""
            msg = f"a Pid has no attribute {name!r}"
            if not name.startswith("__"):
                msg += (
                    ": it says which process is meant, and nothing else. A server is asked through a handle, "
                    "mabeam.ref(pid, Server).call(...); any process takes messages, mabeam.send(pid, message)."
                )
            raise AttributeError(msg, name=name, obj=self)

    def __eq__(self, other: object) -> bool:
        """Equal when they name the same process."""
        if self is other:
            return True
        if not isinstance(other, Pid):
            return NotImplemented
        return self.serial == other.serial and self.runtime_id == other.runtime_id

    def __hash__(self) -> int:
        """Hash by serial number: a program has few runtimes."""
        return hash(self.serial)

    def __repr__(self) -> str:
        """Show the serial number and what the process is."""
        if self._process is None:
            return f"<pid {self.serial}>"
        return f"<pid {self.serial} {self._process.label}>"

    def __copy__(self) -> Self:
        """Itself: what is copied along with what holds it must still reach the process."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """Itself, as above."""
        return self

    def __reduce__(self) -> tuple[type[Pid], tuple[str, int]]:
        """Pickle as a bare identity."""
        return Pid, (self.runtime_id, self.serial)
