"""A pool of connections: who gets one, who waits, and what becomes of one that was left.

It admits and keeps; it sends nothing. Everything here is one step on the loop, except the waiting for a connection.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

import httpx

from mabeam._base import now
from mabeam.errors import PoolUnavailable
from mabeam.kernel import in_thread
from mabeam.services._pool_line import Line
from mabeam.services._pool_options import load_tls
from mabeam.services._pool_statistics import PoolStatistics

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable

    from mabeam.services._pool_line import Origin
    from mabeam.services._pool_options import PoolOptions
    from mabeam.services._pool_statistics import Counters

__all__ = ("Pool", "usual_tls")

_KNOWN_ORIGINS = 256


async def usual_tls(options: PoolOptions) -> ssl.SSLContext:
    """Make the TLS context of a pool, in a thread.

    Raises:
        UsageError: its files cannot be used.
    """
    import certifi  # noqa: PLC0415 - comes with httpx

    return await in_thread(load_tls, options.tls, certifi.where(), http2=options.http2)


@final
class Pool:
    """The connections of one configuration of one id.

    Attributes:
        id: how it is called.
        options: how it is set.
        counters: what is counted, shared with the configurations before and after it.
        calls: requests that were begun with it and are not over.
        loop: where it lives.
        client: what all callers share; made when it is first needed.
        sockets: open ones; those that are being closed are among them until they are.
        is_retired: it was removed or replaced: no request is begun with it, and connections are not kept.
        is_closed: nothing is sent any more.
    """

    __slots__ = (
        "_idle", "_lines", "_on_change", "_single", "_sweeper", "_tls", "_waiting", "calls", "client", "counters", "id",
        "is_closed", "is_retired", "loop", "options", "sockets",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        options: PoolOptions,
        counters: Counters,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[], None],
    ) -> None:
        """No connection yet. ``on_change`` is called when a socket is closed."""
        self.id = id
        self.options = options
        self.counters = counters
        self.calls = 0
        self.client: Any = None
        self.sockets = 0
        self.is_retired = False
        self.is_closed = False
        self._tls = tls
        self.loop = loop
        self._on_change = on_change
        self._lines: dict[Line, None] = {}
        self._idle: dict[Line, None] = {}  # the one that has rested longest is the first
        self._waiting: dict[Origin, deque[asyncio.Future[Line]]] = {}
        self._single: dict[Origin, None] = {}  # where HTTP/2 was offered, and HTTP/1.1 came of it
        self._sweeper: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------------- taking

    async def take(self, origin: Origin, timeout: float | None) -> Line:
        """Get a connection, an open one or one to be opened by :meth:`open`; give it back by :meth:`leave`.

        Guarantees:
            Those who want the same origin are served in the order in which they came. Cancelled, it holds nothing.

        Raises:
            PoolUnavailable: too many wait already; or it is closed.
            httpx.PoolTimeout: no connection came free in time.
        """
        if self.is_closed:
            raise PoolUnavailable(self.id, "draining")
        line = None if origin in self._waiting else self._find(origin)
        if line is not None:
            return line
        if self.waiting >= self.options.max_waiting:
            line = self._find(origin, waits=False)
            if line is None:
                raise PoolUnavailable(self.id, "queue_full")
            return line
        free: asyncio.Future[Line] = self.loop.create_future()
        self._waiting.setdefault(origin, deque()).append(free)
        timer = (
            None if timeout is None else self.loop.call_later(timeout, self._too_late, origin, free, timeout)
        )
        try:
            return await free
        except BaseException:
            if free.done() and not free.cancelled() and free.exception() is None:
                self.leave(free.result(), whole=True)  # it came together with the cancellation
            else:
                self._withdraw(origin, free)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def open(self, line: Line, server_name: str | None, timeout: float | None) -> None:
        """Open a connection that was taken.

        Raises:
            UsageError: the files for TLS cannot be used.
            httpcore.ConnectError: no connection.
            httpcore.ConnectTimeout: not in time.
            PoolUnavailable: the pool was closed meanwhile.
        """
        secure = line.origin[0] == b"https"
        if secure and self._tls is None:
            self._tls = await usual_tls(self.options)
        await line.open(self._tls if secure else None, server_name, timeout, self._lost)
        self.sockets += 1
        self.counters.opened += 1
        if self.is_closed:
            line.abort()
            raise PoolUnavailable(self.id, "draining")
        if secure and self.options.http2 and not line.is_shared:
            if len(self._single) >= _KNOWN_ORIGINS:
                self._single.clear()
            self._single[line.origin] = None
        if self._waiting:
            self._serve()

    def leave(self, line: Line, *, whole: bool) -> None:
        """Give a connection back.

        Args:
            line: the connection.
            whole: the answer was read to its end. On a shared connection one that was not goes on coming in: nothing more is
                sent there, and it is closed when the others are done.
        """
        line.users -= 1
        if line not in self._lines:
            return
        if not whole and line.is_shared:
            line.is_retired = True
        if not line.users:
            if line.is_fit:
                self._idle[line] = None
            else:
                self._drop(line)
        if self._waiting:
            self._serve()
        if line in self._idle:
            self._rest(line)

    def _find(self, origin: Origin, *, waits: bool = True) -> Line | None:
        """A connection for a request: a shared one, one at rest, or one to be opened.

        Args:
            origin: what it is for.
            waits: whether the request can wait for one that is being opened, and may turn out to be one to share.
        """
        opening = False
        if self.options.http2:
            for line in self._lines:
                if line.origin == origin and line.users:
                    if line.is_shared and line.is_fit:
                        line.users += 1
                        return line
                    opening = opening or not line.is_open
        for line in reversed(self._idle):
            if line.origin == origin:
                del self._idle[line]
                if line.is_fit:
                    line.users = 1
                    return line
                self._drop(line)
                return self._find(origin, waits=waits)
        if waits and opening and origin[0] == b"https" and origin not in self._single:
            return None  # it may become one to share
        if len(self._lines) >= self.options.max_connections:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return None
            self._drop(oldest)
        line = Line(origin)
        self._lines[line] = None
        return line

    def _serve(self) -> None:
        """Give connections to those who wait, the one that came first at each origin before the others."""
        for origin in list(self._waiting):
            queue = self._waiting[origin]
            while queue:
                if queue[0].done():
                    queue.popleft()
                    continue
                line = self._find(origin)
                if line is None:
                    break
                queue.popleft().set_result(line)
            if queue:
                # Behind the other origins next time, or the first one would have them starve.
                self._waiting[origin] = self._waiting.pop(origin)
            else:
                del self._waiting[origin]

    def _too_late(self, origin: Origin, free: asyncio.Future[Line], timeout: float) -> None:
        if not free.done():
            self._withdraw(origin, free)
            free.set_exception(
                httpx.PoolTimeout(
                    f"pool {self.id!r}: no connection came free within {timeout:g} s (pool_timeout)"
                )
            )

    def _withdraw(self, origin: Origin, free: asyncio.Future[Line]) -> None:
        queue = self._waiting.get(origin)
        if queue is not None and free in queue:
            queue.remove(free)
            if not queue:
                del self._waiting[origin]

    # ------------------------------------------------------------------------------------------- keeping

    def _rest(self, line: Line) -> None:
        line.resting_since = now(self.loop)
        keep = 0 if self.is_retired else self.options.max_keepalive
        if keep is not None and len(self._idle) > keep:
            self._drop(next(iter(self._idle)))
        elif self._sweeper is None:
            self._sweeper = self.loop.call_later(self.options.keepalive_seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what has rested too long, and come back for the next one."""
        self._sweeper = None
        limit = now(self.loop) - self.options.keepalive_seconds
        while self._idle:
            oldest = next(iter(self._idle))
            if oldest.resting_since > limit:
                self._sweeper = self.loop.call_later(oldest.resting_since - limit, self._sweep)
                return
            self._drop(oldest)

    def _lost(self, line: Line) -> None:
        """A socket is closed, by whichever side."""
        self.sockets -= 1
        line.is_retired = True
        if line in self._idle:
            self._drop(line)
            if self._waiting:
                self._serve()
        self._on_change()

    def _drop(self, line: Line, why: str = "") -> None:
        self._idle.pop(line, None)
        if line in self._lines:
            del self._lines[line]
            self.counters.sent_bytes += line.sent_bytes
            self.counters.received_bytes += line.received_bytes
            line.abort(why)

    # ------------------------------------------------------------------------------------------- ending

    def retire(self) -> None:
        """Keep no connection any more; requests that were begun go on."""
        self.is_retired = True
        self._stop_sweeping()
        for line in list(self._idle):
            self._drop(line)
        if self._waiting:
            self._serve()

    def close(self) -> None:
        """Close all connections at once; whoever waits for one, or uses one, gets an error."""
        self.is_closed = self.is_retired = True
        self._stop_sweeping()
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for free in queue:
                if not free.done():
                    free.set_exception(PoolUnavailable(self.id, "draining"))
        for line in list(self._lines):
            # Or it would look as if the server had closed it.
            self._drop(line, f"connection pool {self.id!r} was closed, since its ConnectionManager has ended")

    def _stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # ------------------------------------------------------------------------------------------- telling

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return sum(map(len, self._waiting.values()))

    def statistics(self, others: tuple[Pool, ...] = ()) -> PoolStatistics:
        """What was counted, and the connections of this configuration and of ``others`` of the same id."""
        counters, pools = self.counters, (self, *others)
        lines = [line for pool in pools for line in pool._lines]
        idle = sum(len(pool._idle) for pool in pools)
        return PoolStatistics(
            requests=counters.requests,
            attempts=counters.attempts,
            active=counters.active,
            waiting=sum(pool.waiting for pool in pools),
            completed=counters.completed,
            failures=counters.failures,
            abandoned=counters.abandoned,
            refused=counters.refused,
            connections=len(lines),
            idle=idle,
            in_use=len(lines) - idle,
            opened=counters.opened,
            sent_bytes=counters.sent_bytes + sum(line.sent_bytes for line in lines),
            received_bytes=counters.received_bytes + sum(line.received_bytes for line in lines),
        )

    def __repr__(self) -> str:
        lines, idle = len(self._lines), len(self._idle)
        return f"<Pool {self.id!r} {lines - idle} in use, {idle} idle of {self.options.max_connections}, {self.waiting} waiting>"
