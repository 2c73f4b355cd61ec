"""ConnectionManager: named pools of HTTP connections, as a supervised service."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, final

from mabeam.errors import UsageError
from mabeam.kernel import Addressable, ExitSignal, Pid, ViaName, current_process, trap_exit
from mabeam.otp import GenServer, checked_up_front
from mabeam.services._connections import Connections, prepare
from mabeam.services._pool_options import problems_of_pools
from mabeam.services._pools import Pools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from mabeam.kernel import ExitReason, Target
    from mabeam.services._pool_options import PoolOptions

__all__ = ("ConnectionManager",)


@final
class ConnectionManager(GenServer, shared=True):
    """Named pools of HTTP connections, over httpx (``pip install 'mabeam[http]'``).

    The process owns the pools and is what a supervisor watches. It sends nothing and takes no messages: everything goes
    through :class:`Connections`, made by :meth:`at`, and runs in the caller. So a server that never answers holds up those
    who ask it, and nobody else.

    Guarantees:
        The limits of a pool hold over all who use it. A connection belongs to the process that uses it and is let go
        when that is cancelled, crashes, or is killed, in the step in which it dies. Stopped, the manager begins no request
        any more, gives those under way ``drain_seconds``, then closes everything; killed, it closes everything at once.
        Any number of them may run side by side.

    Example:
        from mabeam import ConnectionManager, NoSuchPool, PoolOptions, Supervisor

        CONNECTIONS = ConnectionManager.at("connections")  # leads to whichever has that name when it is used
        models = PoolOptions(base_url="http://127.0.0.1:9", max_connections=5)

        async def main() -> str:
            await Supervisor.start_link(
                [ConnectionManager.child_spec(pools={"models": models}).named("connections")],
                strategy="one_for_one",
            )
            try:
                await CONNECTIONS.request("speech", "GET", "/")
            except NoSuchPool as error:
                return f"{error.pool} is not among {error.pools}"
            return "sent"

        assert mabeam.run(main) == "speech is not among ('models',)"
    """

    @checked_up_front(
        lambda *, pools=MappingProxyType({}), drain_seconds=4.0: _problems_of(pools, drain_seconds)
    )
    def __init__(
        self, *, pools: Mapping[str, PoolOptions] = MappingProxyType({}), drain_seconds: float = 4.0
    ) -> None:
        """Pools that are there from the start, and again after a restart.

        Args:
            pools: by id. More come by :meth:`Connections.configure`; those go with the process.
            drain_seconds: seconds that requests under way have when the manager is stopped. Less than the shutdown time in
                its spec, which is 5 s unless given.

        Raises:
            UsageError: the settings cannot be right; it names all problems. Files are read in ``init``.
        """
        problems = _problems_of(pools, drain_seconds)
        if problems:
            raise UsageError("ConnectionManager: " + "; ".join(problems), problems=problems)
        self.pools = Pools(current_process())
        self._configured = dict(pools)
        self._drain_seconds = drain_seconds
        trap_exit()  # so that it is told of its end, and links that users make with it do not end it

    async def init(self) -> None:
        """Load httpx and read the files, in threads.

        Raises:
            MissingExtra: httpx is not installed, or HTTP/2 is asked for and h2 is not.
            UsageError: files that cannot be used.
        """
        tls = await prepare(self._configured)
        for name, options in self._configured.items():
            self.pools.configure(name, options, tls[name])

    @staticmethod
    def at(manager: Target, /) -> Connections:
        """The handle of a manager. It may be made before the manager runs, and outside of any Runtime.

        Guarantees:
            Made for a name, it leads to whichever manager has that name in the Runtime of the code that uses it, at each
            use anew: across restarts, and in several Runtimes at once.

        Args:
            manager: the name of the manager; or its pid, or the reference that ``start_link`` returned.

        Raises:
            UsageError: it is nothing that leads to a process.
        """
        address: object = manager
        while isinstance(address, Addressable):
            address = address.address()
        if not isinstance(address, str | Pid | ViaName) or not address:
            raise UsageError(
                f"ConnectionManager.at expects the name of a manager, its pid or its ref, got {manager!r}\n"
                "    right:  ConnectionManager.at('connections')"
            )
        return Connections(address)

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Exit signals of others than the parent mean nothing to it."""
        return None if isinstance(message, ExitSignal) else super().handle_info(message)

    async def terminate(self, reason: ExitReason, /) -> None:
        """Drain, then close everything."""
        await self.pools.drain(self._drain_seconds)

    def __repr__(self) -> str:
        """Show its pools."""
        return f"<ConnectionManager {', '.join(map(repr, self.pools.by_id().values())) or 'without pools'}>"


def _problems_of(pools: object, drain_seconds: object) -> list[str]:
    problems = list(problems_of_pools(pools))
    if (
        not isinstance(drain_seconds, int | float)
        or isinstance(drain_seconds, bool)
        or not 0 <= drain_seconds < math.inf
    ):
        problems.append(f"drain_seconds expects seconds >= 0, got {drain_seconds!r}")
    return problems
