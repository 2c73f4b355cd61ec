"""Names of processes that are keys of a registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import NoProcess, current_kernel
from mabeam.otp._registrations import registrations_at

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mabeam.kernel import Name, Pid
    from mabeam.otp._registrations import Registrations

__all__ = ("RegistryName", "not_running", "refuse_duplicate")


@final
@dataclass(frozen=True, slots=True)
class RegistryName:
    """A key of a registry with unique keys, used as the name of a process. Made by ``RegistryRef.via``.

    It is a value: two are equal when registry and key are.

    Attributes:
        registry: the name or the pid of the registry.
        key: the key.
        value: what a process that gets the name is registered with.
    """

    registry: Pid | Name
    key: Hashable
    value: Any = field(default=None, compare=False)

    def register_name(self, pid: Pid) -> Pid:
        """Register a process under the key; answer who has it now.

        Raises:
            NoSuchProcess: the registry is not running, or the process is not.
            UsageError: the registry has duplicate keys.
        """
        process = pid._process
        if process is None or (registrations := registrations_at(process.kernel, self.registry)) is None:
            raise not_running(self.registry)
        refuse_duplicate(registrations, f"the name {self!r}")
        return registrations.add(process, self.key, self.value) or pid

    def whereis_name(self) -> Pid | None:
        """Answer who has the key; nobody has, when the registry is not running.

        Raises:
            UsageError: the registry has duplicate keys; or there is no Runtime here.
        """
        registrations = registrations_at(current_kernel(), self.registry)
        if registrations is None:
            return None
        refuse_duplicate(registrations, f"the name {self!r}")
        entries = registrations.table.under(self.key)
        return entries[0].holder if entries else None

    def unregister_name(self, pid: Pid) -> None:
        """Take the key from a process. Never raises: the kernel calls it while the process dies."""
        process = pid._process
        if process is None:
            return
        try:
            registrations = registrations_at(process.kernel, self.registry)
        except UsageError:  # the registry's own name is a key of a registry that has duplicate keys by now
            return
        if registrations is not None:
            registrations.remove(process, registrations.table.both(self.key, pid))

    def __repr__(self) -> str:
        """Show registry and key, so that different names look different: child ids are made of this."""
        return f"{self.registry}[{self.key!r}]"


def refuse_duplicate(registrations: Registrations, what: str) -> None:
    """See to it that keys are unique.

    Raises:
        UsageError: they are not.
    """
    if not registrations.table.unique:
        msg = (
            f"{what} needs unique keys, and {registrations.process.describe()} was started with keys='duplicate': a key may "
            "lead to several processes. lookup(key) and dispatch(key, function) give all of them."
        )
        raise UsageError(msg)


def not_running(registry: Pid | Name) -> NoSuchProcess:
    """The error for a registry that is not there, with the way to have it there."""
    name = registry if isinstance(registry, str) else "agents"
    hint = (
        "There is no registry running there. Start it before those who use it, as the first child of their supervisor: "
        f"Registry.child_spec(keys='unique').named({name!r})."
    )
    return NoSuchProcess(f"registry {registry!r}", NoProcess(), operation="call", hint=hint)
