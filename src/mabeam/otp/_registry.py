"""Registry: keys for processes, unique or shared, removed together with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final, get_args

from mabeam.errors import UsageError
from mabeam.kernel import Addressable, ExitSignal, Pid, ViaName, current_process, trap_exit
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._gen_server import GenServer
from mabeam.otp._registrations import Registrations
from mabeam.otp._registry_ref import RegistryRef

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mabeam.kernel import ExitReason, Target

__all__ = ("Registry", "RegistryKeys")

RegistryKeys: TypeAlias = Literal["unique", "duplicate"]
"""Whether a key leads to one process at most, or to any number of registrations."""


@final
class Registry(GenServer, shared=True):
    """A supervised table in which processes register themselves under keys, with values.

    The process owns the table and is what a supervisor watches. It takes no messages: everything is asked through a
    :class:`RegistryRef`, made by :meth:`at`, which looks into the table directly. So nobody waits for the registry, and a
    function that one caller passes in cannot hold up another.

    Guarantees:
        What a process has registered goes in the step in which the process dies, before its exit event and before links
        and monitors are told. A process that has registered something ends with the registry, and registers again when it is
        restarted: with ``Killed`` if that was killed, else with ``Shutdown()``. One that was linked with the registry before
        is told by that link only. Nothing that happens to those who are registered disturbs the registry. Each step takes
        time for the entries it is about, not for all that there are.

    Example:
        from mabeam import GenServer, Registry, Supervisor, handle_call, ref

        AGENTS = Registry.at("agents")  # leads to whichever registry has that name when it is used

        class Greeter(GenServer):
            @handle_call
            def greet(self) -> str:
                return "hello"

        async def main() -> str:
            await Supervisor.start_link(
                [
                    Registry.child_spec(keys="unique").named("agents"),
                    Greeter.child_spec().named(AGENTS.via("ann")),
                ],
                strategy="rest_for_one",
            )
            return await ref(AGENTS.via("ann"), Greeter).call(Greeter.greet)

        assert mabeam.run(main) == "hello"
    """

    @checked_up_front(lambda *, keys: _problems_of(keys))
    def __init__(self, *, keys: RegistryKeys) -> None:
        """An empty table.

        Args:
            keys: ``unique``: a key is had by one process at most, and can be a process name; ``duplicate``: any number of
                processes may register under a key, each any number of times.

        Raises:
            UsageError: ``keys`` is neither.
        """
        for problem in _problems_of(keys):
            raise UsageError(f"Registry: {problem}")
        self.registrations = Registrations(current_process(), unique=keys == "unique")
        # Links that users make with it must not end it: everybody who is registered would go with it.
        trap_exit()

    @staticmethod
    def at(registry: Target, /) -> RegistryRef[Any, Any]:
        """The handle of a registry. It may be made before the registry runs, and outside of any Runtime.

        Guarantees:
            Made for a name, it leads to whichever registry has that name in the Runtime of the code that uses it, at each
            use anew: across restarts, and in several Runtimes at once.

        Args:
            registry: the name of the registry; or its pid, or the reference that ``start_link`` returned.

        Returns:
            The handle. Declare what keys and values are, to have them checked: ``agents: RegistryRef[str, Card] =
            Registry.at("agents")``.

        Raises:
            UsageError: it is nothing that leads to a process.
        """
        address: object = registry
        while isinstance(address, Addressable):
            address = address.address()
        if not isinstance(address, str | Pid | ViaName) or not address:
            msg = (
                f"Registry.at expects the name of a registry, its pid or its ref, got {registry!r}\n"
                "    right:  Registry.at('agents')"
            )
            raise UsageError(msg)
        return RegistryRef(address)

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Exit signals of others than the parent mean nothing to a registry."""
        return None if isinstance(message, ExitSignal) else super().handle_info(message)

    def terminate(self, reason: ExitReason, /) -> Awaitable[None] | None:
        """Nobody goes on unregistered."""
        self.registrations.shut_down()
        return super().terminate(reason)

    def __repr__(self) -> str:
        """Show what it holds."""
        table = self.registrations.table
        return f"<Registry {'unique' if table.unique else 'duplicate'}, {len(table)} entries of {table.holders} processes>"


def _problems_of(keys: object) -> list[str]:
    if keys in get_args(RegistryKeys):
        return []
    return [f"expects keys='unique' or keys='duplicate', got {keys!r}"]
