"""The handle of a registry: register, look up, dispatch, all of it direct."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, final

from mabeam.errors import AlreadyRegistered, NotRegistered, UsageError
from mabeam.kernel import STARTING, Pid, current_process, find, name_target
from mabeam.otp._keys import check_hashable
from mabeam.otp._registrations import registrations_at
from mabeam.otp._via import RegistryName, not_running, refuse_duplicate

if TYPE_CHECKING:
    from mabeam.kernel import Name, Process, Target
    from mabeam.otp._registrations import Registrations

__all__ = ("RegistryRef", "RegistryStatistics")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStatistics:
    """A registry in numbers.

    Attributes:
        entries: registrations.
        keys: keys that have at least one.
        processes: processes that have at least one.
    """

    entries: int
    keys: int
    processes: int


@final
class RegistryRef(Generic[K, V]):
    """The handle of a registry, made by ``Registry.at``.

    Nothing here waits, and nothing passes through the registry's process: each method is one step on its table, made by
    the caller, who must be a process of the same Runtime. Functions that are passed in run in the caller, must be plain
    ones, and what they raise reaches the caller.

    What is found leads to processes that live at that moment. One may have ended by the time it is used: sending and
    casting to it makes a dead letter, calling it raises ``NoSuchProcess``.

    Every method raises ``NoSuchProcess`` when the registry is not running, and ``UsageError`` when the caller is no
    process (a thread, say), when there is something else in its place, or when a key is not hashable. Keys are compared
    as those of a dict are: ``1`` and ``1.0`` are the same one.
    """

    __slots__ = ("_address",)

    def __init__(self, address: Pid | Name) -> None:
        """Made by ``Registry.at`` only."""
        self._address = address

    # ------------------------------------------------------------------------------------------- registering

    def register(self, key: K, value: V | None = None) -> None:
        """Register the calling process under a key.

        Guarantees:
            The registration lasts until it is taken back or the process ends, whichever way. The process is linked with
            the registry from its first registration until its last one is gone; a process that traps exits sees nothing
            of that, unless the registry itself ends. Two processes have one link at most: ``link(registry)`` meanwhile makes
            no other, and it goes with the last registration, as in Elixir. One that was there before stays.

        Args:
            key: anything hashable. A process may have many. With duplicate keys it may have the same one several times.
            value: what others find beside the process.

        Raises:
            AlreadyRegistered: keys are unique and this one is taken, by the caller itself perhaps; ``pid`` says by whom.
        """
        registrations, process = self._reach(key)
        holder = registrations.add(process, key, value)
        if holder is not None:
            raise AlreadyRegistered(name_target(self._address), key, holder)

    def unregister(self, key: K) -> None:
        """Take back everything that the calling process has registered under a key; no matter if that is nothing."""
        registrations, process = self._reach(key)
        registrations.remove(process, registrations.table.both(key, process.pid))
        _forget_name(process, registrations, key)

    def unregister_match(self, key: K, predicate: Callable[[V], object]) -> None:
        """As :meth:`unregister`, but only what has a value that the predicate accepts.

        Guarantees:
            Nothing is taken back when the predicate raises.
        """
        _check_plain("unregister_match", predicate)
        registrations, process = self._reach(key)
        mine = registrations.table.both(key, process.pid)
        registrations.remove(process, [entry for entry in mine if predicate(entry.value)])
        _forget_name(process, registrations, key)

    def update_value(self, key: K, function: Callable[[V], V]) -> tuple[V, V]:
        """Give a registration of the calling process another value; for unique keys.

        Args:
            key: a key that the calling process has.
            function: is given the value and returns the new one.

        Returns:
            The new value and the old one.

        Raises:
            NotRegistered: the calling process does not have the key; or not any more, when ``function`` has returned.
            UsageError: keys are not unique; or ``function`` is not a plain one.
        """
        _check_plain("update_value", function)
        registrations, process = self._reach(key)
        refuse_duplicate(registrations, "update_value")
        for entry in registrations.table.both(key, process.pid):
            old = entry.value
            new = function(old)
            if entry in registrations.table:
                entry.value = new
                return new, old
        raise NotRegistered(name_target(self._address), key)

    # ------------------------------------------------------------------------------------------- looking up

    def lookup(self, key: K) -> list[tuple[Pid, V]]:
        """The processes registered under a key, each with its value, in the order of registration."""
        return [(entry.holder, entry.value) for entry in self._reach(key)[0].table.under(key)]

    def match(self, key: K, predicate: Callable[[V], object]) -> list[tuple[Pid, V]]:
        """As :meth:`lookup`, but only what has a value that the predicate accepts."""
        _check_plain("match", predicate)
        return [(pid, value) for pid, value in self.lookup(key) if predicate(value)]

    def count_match(self, key: K, predicate: Callable[[V], object]) -> int:
        """How many :meth:`match` finds."""
        _check_plain("count_match", predicate)
        return len(self.match(key, predicate))

    def whereis(self, key: K) -> Pid | None:
        """The process that has a key; for unique keys.

        Raises:
            UsageError: keys are not unique.
        """
        registrations, _ = self._reach(key)
        refuse_duplicate(registrations, "whereis")
        entries = registrations.table.under(key)
        return entries[0].holder if entries else None

    def keys(self, pid: Target | None = None) -> list[K]:
        """The keys of a process, the calling one unless said otherwise, in the order of registration. A name will do, too.

        One that it has registered several times is there several times.
        """
        registrations, process = self._reach()
        holder = _pid_of(pid, process)
        return [] if holder is None else [entry.key for entry in registrations.table.of(holder)]

    def values(self, key: K, pid: Target | None = None) -> list[V]:
        """What a process, the calling one unless said otherwise, has registered under a key. A name will do, too."""
        registrations, process = self._reach(key)
        holder = _pid_of(pid, process)
        return [] if holder is None else [entry.value for entry in registrations.table.both(key, holder)]

    def entries(self) -> list[tuple[K, Pid, V]]:
        """Everything: keys in the order in which they were first taken, each with its processes and values."""
        return [(entry.key, entry.holder, entry.value) for entry in self._reach()[0].table]

    def count(self) -> int:
        """How many registrations there are."""
        return len(self._reach()[0].table)

    def statistics(self) -> RegistryStatistics:
        """The registry in numbers."""
        table = self._reach()[0].table
        return RegistryStatistics(entries=len(table), keys=table.keys, processes=table.holders)

    # ------------------------------------------------------------------------------------------- using

    def dispatch(self, key: K, function: Callable[[list[tuple[Pid, V]]], object]) -> None:
        """Call a function with what :meth:`lookup` finds, if that is anything.

        Guarantees:
            It runs in the caller, once, with a list of its own: registering and unregistering meanwhile does not change it.

        Example:
            from mabeam import Registry

            async def main() -> str:
                rooms = Registry.at(await Registry.start_link(keys="duplicate"))
                rooms.register("lobby")
                rooms.dispatch("lobby", lambda guests: [mabeam.send(pid, "hello") for pid, _ in guests])
                return await mabeam.receive(timeout=1.0)

            assert mabeam.run(main) == "hello"
        """
        _check_plain("dispatch", function)
        found = self.lookup(key)
        if found:
            function(found)

    def via(self, key: K, value: V | None = None) -> RegistryName:
        """A name for a process, kept as a key of this registry: for ``named``, ``ref``, ``register``, ``send`` and others.

        A process that is started under it has the key before its ``__init__`` runs, and a restarted one again. It works for
        unique keys; under others the start fails.

        Args:
            key: the key.
            value: what a process that is given the name is registered with; finding it by the name needs none.
        """
        check_hashable("a registry", key)
        return RegistryName(self._address, key, value)

    # ------------------------------------------------------------------------------------------- addressing

    def address(self) -> Pid | Name:
        """The name or the pid that it was made for; so it can be linked, monitored and the like."""
        return self._address

    @property
    def pid(self) -> Pid | None:
        """The process of the registry; ``None`` when its name leads nowhere."""
        process = find(current_process().kernel, self._address)
        return process.pid if process is not None else None

    def _reach(self, key: object = None) -> tuple[Registrations, Process]:
        """The registrations, and the calling process."""
        process = current_process()
        registrations = registrations_at(process.kernel, self._address)
        if registrations is None:
            raise self._unreachable(process)
        check_hashable("a registry", key)
        return registrations, process

    def _unreachable(self, caller: Process) -> Exception:
        there = find(caller.kernel, self._address)
        if there is None or not there.is_alive or there.status & STARTING:
            return not_running(self._address)
        if there.kernel is not caller.kernel:
            return UsageError(
                f"{there.describe()} lives in another Runtime; a registry is for the processes of its own"
            )
        return UsageError(f"expected a Registry at {self._address!r}, and there is {there.describe()}")

    def __eq__(self, other: object) -> bool:
        """Equal when made for the same name or the same process."""
        return isinstance(other, RegistryRef) and self._address == other._address

    def __hash__(self) -> int:
        """Hash by address."""
        return hash(self._address)

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"<registry {self._address!r}>"


def _pid_of(target: Target | None, caller: Process) -> Pid | None:
    """The pid that is meant; ``None`` when a name leads nowhere."""
    if target is None:
        return caller.pid
    if isinstance(target, Pid):
        return target
    process = find(caller.kernel, target)
    return process.pid if process is not None else None


def _check_plain(what: str, function: object) -> None:
    if not callable(function) or inspect.iscoroutinefunction(function):
        msg = (
            f"{what} expects a plain function, which it calls at once, got {function!r}. To wait, take what lookup(key) "
            "returns and do it yourself."
        )
        raise UsageError(msg)


def _forget_name(process: Process, registrations: Registrations, key: Hashable) -> None:
    """Have a process not be called any more by a key that it has given back."""
    name = process.name
    if (
        isinstance(name, RegistryName)
        and name.key == key
        and not registrations.table.both(key, process.pid)
        and registrations_at(process.kernel, name.registry) is registrations
    ):
        process.name = None
