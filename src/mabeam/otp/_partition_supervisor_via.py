"""The name of a partition: a supervisor and a key, looked up without a message to anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import DEAD, NoProcess, current_kernel, find, name_target
from mabeam.otp._partition_supervisor_key import partition_of

if TYPE_CHECKING:
    from mabeam.kernel import Kernel, Name, Pid, Process, Target

__all__ = ("PartitionName", "Partitioned", "partitions_at")


class Partitioned(Protocol):
    """What a name needs of a PartitionSupervisor."""

    is_partitioned: bool
    partition_count: int

    def partition(self, number: int) -> Process | None:
        """The process of a partition, while it has one."""
        ...


class Found(NamedTuple):
    """A PartitionSupervisor that runs."""

    process: Process
    body: Partitioned


def partitions_at(kernel: Kernel, target: Target) -> Found | None:
    """The PartitionSupervisor that is there; ``None`` when nobody is, or it has not begun to serve.

    Raises:
        UsageError: something else is there.
    """
    process = find(kernel, target)
    if process is None or process.status & DEAD or process.kernel is not kernel:
        return None
    cls: Any = getattr(process.behaviour, "cls", None)
    if not getattr(cls, "is_partitioned", False):
        msg = f"expected the handle or the name of a PartitionSupervisor, got {name_target(target)}: {process.describe()}"
        raise UsageError(msg)
    body = process.body
    # Before ``__init__`` has run it is what that will be given.
    return Found(process, body) if isinstance(body, cls) else None


def not_running(target: Target) -> NoSuchProcess:
    """The error for a supervisor that is not there, with the way to have it there."""
    name = name_target(target)
    hint = (
        "There is no PartitionSupervisor running there. Start it before those who use it, as a child of their supervisor: "
        f"PartitionSupervisor.child_spec(Worker.child_spec(), partitions=4).named({name})."
    )
    return NoSuchProcess(f"partition supervisor {name}", NoProcess(), operation="call", hint=hint)


@final
@dataclass(frozen=True, slots=True, repr=False)
class PartitionName:
    """A partition of a PartitionSupervisor by a key, used as the name of a process. Made by ``PartitionSupervisor.via``.

    It is a value, and follows its partition across restarts.

    Attributes:
        supervisor: the name or the pid of the supervisor.
        key: the key.
    """

    supervisor: Pid | Name
    key: Any

    def whereis_name(self) -> Pid | None:
        """Answer who serves the key; nobody does while the partition is being restarted, or its supervisor does not run.

        Raises:
            UsageError: something else runs there; or there is no Runtime here.
        """
        found = partitions_at(current_kernel(), self.supervisor)
        if found is None:
            return None
        process = found.body.partition(partition_of(self.key, found.body.partition_count))
        return process.pid if process is not None else None

    def register_name(self, pid: Pid) -> Pid:
        """Refuse: only the supervisor starts partitions.

        Raises:
            UsageError: in any case.
        """
        msg = f"{self!r} is a partition, which leads to a process and cannot be given to one; {pid!r} needs a name of its own"
        raise UsageError(msg)

    def unregister_name(self, pid: Pid) -> None:
        """Refuse: no process has it as its own name.

        Raises:
            UsageError: in any case.
        """
        msg = (
            f"{self!r} is a partition, which leads to a process and cannot be taken from it; {pid!r} may have a name of its own: "
            "unregister that"
        )
        raise UsageError(msg)

    def __repr__(self) -> str:
        """Show supervisor and key."""
        supervisor = self.supervisor if isinstance(self.supervisor, str) else repr(self.supervisor)
        return f"{supervisor}[partition of {self.key!r}]"
