"""PartitionSupervisor: several copies of one child, and a key that says which of them is meant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from mabeam.errors import UsageError
from mabeam.kernel import Addressable, Pid, ViaName, current_kernel
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._handlers import system_call
from mabeam.otp._keys import check_hashable
from mabeam.otp._partition_supervisor_key import partition_of
from mabeam.otp._partition_supervisor_via import PartitionName, not_running, partitions_at
from mabeam.otp._ref import Ref
from mabeam.otp._ref import ref as ref_to
from mabeam.otp._supervisor import Supervisor
from mabeam.otp._supervisor_checks import check_limits, child_problems, raise_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Process, Target
    from mabeam.otp._restart_state import Backoff

__all__ = ("PartitionSupervisor",)

S = TypeVar("S")

Partition: TypeAlias = "ChildSpec[Any] | Callable[[int], ChildSpec[Any]]"


def _problems(
    child: object,
    partitions: object,
    max_restarts: object,
    max_seconds: object,
    backoff: Backoff | None,
) -> list[str]:
    """What is wrong with the arguments of a supervisor of partitions."""
    problems = check_limits(max_restarts, max_seconds, backoff)
    if partitions is not None and (
        not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1
    ):
        problems.append(f"partitions expects a whole number >= 1, got {partitions!r}")
    if not callable(child) or isinstance(child, type):
        problems += child_problems(child)
    if isinstance(child, ChildSpec) and child.name is not None:
        problems.append(
            f"child {child.id!r}: its name {child.name!r} cannot lead to all partitions; leave .named(...) away and find "
            "them by key, or give a function that returns a spec for each"
        )
    return problems


class PartitionSupervisor(Supervisor):
    """A supervisor of several copies of one child, its partitions, so that not all the work goes through one process.

    Whoever uses them has a key, a user's name say, and the key decides which partition: always the same one.
    ``PartitionSupervisor.ref("counters", "ann", Counter)`` is a handle of it, ``PartitionSupervisor.via("counters", "ann")`` a
    name for it. A child may be anything: a server, a DynamicSupervisor, a TaskSupervisor, a Registry.

    Guarantees:
        A key leads to the same partition in every run, as long as their number is the same. Finding it takes no message:
        nobody waits for the supervisor. A partition that ends is restarted alone (``one_for_one``); while it is, its keys
        lead nowhere and those of the others are not affected.

    Example:
        from mabeam import GenServer, PartitionSupervisor, Supervisor, handle_call

        class Counter(GenServer):
            def __init__(self) -> None:
                self.counts: dict[str, int] = {}

            @handle_call
            def add(self, user: str) -> int:
                self.counts[user] = self.counts.get(user, 0) + 1
                return self.counts[user]

        async def main() -> int:
            counters = PartitionSupervisor.child_spec(Counter.child_spec(), partitions=4).named("counters")
            await Supervisor.start_link([counters], strategy="one_for_one")
            await PartitionSupervisor.ref("counters", "ann", Counter).call(Counter.add, "ann")
            return await PartitionSupervisor.ref("counters", "ann", Counter).call(Counter.add, "ann")

        assert mabeam.run(main) == 2
    """

    is_partitioned = True

    @checked_up_front(_problems)
    def __init__(
        self,
        child: Partition,
        /,
        *,
        partitions: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Check everything; nothing has started if anything is wrong.

        Args:
            child: the spec of each partition, which must have no name; or a function that is given the number of a partition,
                from 0, and returns its spec. It runs once for each, in the new process.
            partitions: how many there are; as many as this OS process may use CPU cores unless said otherwise.
            max_restarts: restarts allowed within ``max_seconds``, of all partitions together; 0 allows none.
            max_seconds: length of that window in seconds.
            backoff: wait before restarts; none unless given.

        Raises:
            UsageError: lists all problems.
        """
        raise_problems(type(self).__name__, _problems(child, partitions, max_restarts, max_seconds, backoff))
        count = _cores() if partitions is None else partitions
        self.partition_count = count
        super().__init__(
            lambda: [
                _numbered(child(number) if callable(child) else child, number) for number in range(count)
            ],
            strategy="one_for_one",
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            backoff=backoff,
        )

    # ------------------------------------------------------------------------------------------- finding partitions

    @staticmethod
    def via(supervisor: Target, key: object, /) -> PartitionName:
        """A name for the partition of a key: for ``ref``, ``send``, ``monitor``, TaskSupervisor, ``Registry.at`` and others.

        It may be made before the supervisor runs, and outside of any Runtime.

        Args:
            supervisor: its name; or its pid or handle.
            key: a whole number, text, bytes, a tuple of them, or anything hashable whose ``repr`` is the same in each run.

        Raises:
            UsageError: ``supervisor`` leads to no process, or the key is none of these.
        """
        address: object = supervisor
        while isinstance(address, Addressable):
            address = address.address()
        if not isinstance(address, str | Pid | ViaName) or not address:
            msg = (
                f"PartitionSupervisor.via expects the name of a supervisor, its pid or its ref, and a key, got {supervisor!r}\n"
                "    right:  PartitionSupervisor.via('counters', 'ann')"
            )
            raise UsageError(msg)
        check_hashable("a PartitionSupervisor", key)
        partition_of(key, 1)
        return PartitionName(address, key)

    @staticmethod
    def ref(supervisor: Target, key: object, server: type[S], /) -> Ref[S]:
        """A handle that follows the partition of a key: each call goes to whichever process serves it then.

        Args:
            supervisor: its name; or its pid or handle.
            key: as of :meth:`via`.
            server: the class of the partitions, for types.

        Raises:
            UsageError: as of :meth:`via`; or ``server`` is no class.
        """
        return ref_to(PartitionSupervisor.via(supervisor, key), server)

    @staticmethod
    def partitions(supervisor: Target, /) -> int:
        """How many partitions a supervisor has.

        Raises:
            NoSuchProcess: it does not run.
            UsageError: something else runs there.
        """
        found = partitions_at(current_kernel(), supervisor)
        if found is None:
            raise not_running(supervisor)
        return found.body.partition_count

    def partition(self, number: int) -> Process | None:
        """The process of a partition, while it lives. For names, which look directly."""
        child = self._children.by_id.get(str(number))
        process = child.process if child is not None else None
        return process if process is not None and process.is_alive else None

    # ------------------------------------------------------------------------------------------- calls

    @system_call(raises=(UsageError,))
    def start_child(self, spec: ChildSpec[S], /) -> Ref[S]:
        """Refuse: the partitions are there from the start, and a key must go on leading to the same one.

        Raises:
            UsageError: in any case.
        """
        _fixed("start_child")

    @system_call(raises=(UsageError,))
    def delete_child(self, child_id: str, /) -> None:
        """Refuse, as :meth:`start_child`. A partition may be stopped and started again by its number.

        Raises:
            UsageError: in any case.
        """
        _fixed("delete_child")


def _fixed(what: str) -> NoReturn:
    msg = (
        f"{what}: a PartitionSupervisor has the partitions that it was started with, so that a key leads to the same one; "
        "start it again with another number of partitions"
    )
    raise UsageError(msg)


def _numbered(spec: Any, number: int) -> Any:
    """The spec with the number of its partition as its id; what is no spec is left for the supervisor to refuse."""
    return spec.options(id=str(number)) if isinstance(spec, ChildSpec) else spec


def _cores() -> int:
    """How many CPU cores this OS process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
