"""The pools of one running ConnectionManager, tied to its process and to those that use them.

A process carries its requests with it: when it dies, the kernel has them let go in the same step as its name. The same
closes all sockets when the manager's own process dies, killed as well. No message is involved, and no waiting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from mabeam._base import now
from mabeam.errors import NoSuchPool, PoolUnavailable
from mabeam.kernel import DEAD, STARTING, find
from mabeam.services._pool_statistics import Counters

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx

    from mabeam.kernel import Kernel, Name, Pid, Process
    from mabeam.services._pool import Pool
    from mabeam.services._pool_call import Call
    from mabeam.services._pool_options import PoolOptions

__all__ = ("Pools", "pools_at")


@final
class Pools:
    """Pools by id, the requests that use them, and their end.

    Attributes:
        process: the manager's process.
        is_draining: no request is begun any more.
    """

    __slots__ = ("_by_id", "_emptied", "_retired", "_users", "is_draining", "process")

    def __init__(self, process: Process) -> None:
        """None yet. They are closed when the process ends, in whatever way."""
        self.process = process
        self.is_draining = False
        self._by_id: dict[str, Pool] = {}
        self._retired: dict[Pool, None] = {}
        self._users: dict[Process, dict[Call, None]] = {}
        self._emptied: asyncio.Future[None] | None = None
        _remember(process, self)

    # ------------------------------------------------------------------------------------------- configuring

    def configure(self, id: str, options: PoolOptions, tls: ssl.SSLContext | None) -> None:
        """Have a pool of that id, in the place of the one that there is."""
        from mabeam.services._pool import Pool  # noqa: PLC0415 - loads httpx, which only those who use it need

        old = self._by_id.get(id)
        counters = Counters() if old is None else old.counters
        self._by_id[id] = Pool(id, options, counters, tls, self.process.kernel.loop, self._check_empty)
        if old is not None:
            self._retire(old)
        self._emit("connections.pool_configured", {"pool": id, "replaced": old is not None})

    def remove(self, id: str) -> None:
        """Take a pool away; what was begun with it goes on.

        Raises:
            NoSuchPool: there is none.
        """
        self._retire(self.pool(id))
        del self._by_id[id]
        self._emit("connections.pool_removed", {"pool": id})

    def _retire(self, pool: Pool) -> None:
        pool.retire()
        if pool.calls:
            self._retired[pool] = None
        else:
            pool.close()

    def pool(self, id: str) -> Pool:
        """The pool of that id.

        Raises:
            NoSuchPool: there is none.
        """
        found = self._by_id.get(id) if isinstance(id, str) else None
        if found is None:
            raise NoSuchPool(id, self._by_id)
        return found

    def by_id(self) -> dict[str, Pool]:
        """All of them."""
        return dict(self._by_id)

    def before(self, pool: Pool) -> tuple[Pool, ...]:
        """The earlier configurations of the same id that are still in use."""
        return tuple(each for each in self._retired if each.counters is pool.counters)

    # ------------------------------------------------------------------------------------------- using

    def begin(self, id: str, process: Process, request: httpx.Request) -> Call:
        """Begin a request for a process.

        Raises:
            NoSuchPool: there is no such pool.
            PoolUnavailable: the manager is being stopped.
        """
        from mabeam.services._pool_call import Call  # noqa: PLC0415 - as in configure

        pool = self.pool(id)
        if self.is_draining:
            pool.counters.refused += 1
            raise PoolUnavailable(id, "draining")
        calls = self._users.get(process)
        if calls is None:
            calls = self._users[process] = {}
            _remember(process, self)
        call = Call(self, pool, process, request)
        calls[call] = None
        pool.calls += 1
        pool.counters.requests += 1
        return call

    def over(self, call: Call) -> None:
        """A request is over."""
        calls = self._users.get(call.process)
        if calls is not None:
            calls.pop(call, None)
            if not calls:
                del self._users[call.process]
                if call.process is not self.process:
                    _forget(call.process, self)
        pool = call.pool
        pool.calls -= 1
        if not pool.calls and pool in self._retired:
            del self._retired[pool]
            pool.close()
        self._check_empty()

    # ------------------------------------------------------------------------------------------- ending

    async def drain(self, seconds: float) -> None:
        """Begin no request any more, give those under way so many seconds, then close everything."""
        loop = self.process.kernel.loop
        began = now(loop)
        self.is_draining = True
        await self._wait_until(self._is_unused, seconds)
        cut = sum(map(len, self._users.values()))
        pools = self._all()
        self.close()
        await self._wait_until(lambda: not any(pool.sockets for pool in pools), 1.0)
        bus = self.process.kernel.bus
        if bus.listening:
            measurements = {"duration": now(loop) - began, "cut": cut}
            bus.emit("connections.drained", measurements, {"manager": self.process.pid.serial})

    def close(self) -> None:
        """Close all sockets, whoever uses them."""
        self.is_draining = True
        for pool in self._all():
            pool.close()

    def process_ended(self, pid: Pid) -> None:
        """Called by the kernel in the step in which a process dies that has requests under way; or the manager's own."""
        if pid == self.process.pid:
            self.close()
            return
        process = pid._process
        for call in tuple(self._users.get(process, ()) if process is not None else ()):
            call.abandon()

    def _all(self) -> tuple[Pool, ...]:
        return (*self._by_id.values(), *self._retired)

    def _is_unused(self) -> bool:
        return not self._users

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        loop = self.process.kernel.loop
        over: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _end, over)
        try:
            while not condition() and not over.done():
                self._emptied = loop.create_future()
                await asyncio.wait((self._emptied, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._emptied = None
            timer.cancel()

    def _check_empty(self) -> None:
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _emit(self, event: str, metadata: dict[str, object]) -> None:
        bus = self.process.kernel.bus
        if bus.listening:
            bus.emit(event, {"count": 1}, {"manager": self.process.pid.serial, **metadata})


def pools_at(kernel: Kernel, address: Pid | Name) -> Pools | None:
    """The pools of the manager that is there; ``None`` when there is none that lives and serves."""
    process = find(kernel, address)
    if process is None or process.status & (DEAD | STARTING) or process.kernel is not kernel:
        return None
    pools = getattr(process.body, "pools", None)
    return pools if isinstance(pools, Pools) else None


def _remember(process: Process, pools: Pools) -> None:
    if process.registrations is None:
        process.registrations = {}
    process.registrations[pools] = None


def _forget(process: Process, pools: Pools) -> None:
    if process.registrations is not None:
        process.registrations.pop(pools, None)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
