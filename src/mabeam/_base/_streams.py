"""Streams of bytes over TCP and TLS, which are given up in one step.

Closing a stream of asyncio's own, or of anyio's, waits. Code that was killed may not wait any more, so what it held would
stay open. Here :meth:`SocketStream.abort` is a plain function: whoever lets go of a stream has let go when it returns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from mabeam._base._outside import outside

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

__all__ = ("SocketStream", "open_stream")

_ENOUGH: Final = 256 * 1024
"""Bytes that are kept for a reader before the other side is made to wait."""


@final
class SocketStream(asyncio.Protocol):
    """One connection: reads, writes, and an end that needs no waiting.

    Guarantees:
        At most about 256 KiB are kept for a reader that is slow, and writing waits for a receiver that is. Reading and
        writing may be cancelled at any time, and lose nothing that has come. One reader and any number of writers.

    Attributes:
        read_bytes: bytes that have come, before TLS for the other side, after it for this one.
        written_bytes: bytes that were given to the transport.
        on_lost: called once, when the connection is closed for good.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Made by :func:`open_stream` only."""
        self.read_bytes = 0
        self.written_bytes = 0
        self.on_lost: Callable[[], None] | None = None
        self._loop = loop
        self._transport: Any = None
        self._chunks: deque[bytes] = deque()
        self._kept = 0
        self._paused = False
        self._ended = False
        self._lost = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._may_write: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------------------------------- of the transport

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what has come, and have the other side wait when that is much."""
        self.read_bytes += len(data)
        self._chunks.append(data)
        self._kept += len(data)
        if self._kept >= _ENOUGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The other side sends nothing more: the connection is of no further use."""
        self._ended = True
        self._wake_reader()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everybody who waits."""
        self._ended = self._lost = True
        self._error = self._error or error
        self._wake_reader()
        self.resume_writing()
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost()

    def pause_writing(self) -> None:
        """The receiver is slow."""
        if self._may_write is None:
            self._may_write = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up; or is gone."""
        waiting, self._may_write = self._may_write, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # ------------------------------------------------------------------------------------------- of the user

    @property
    def is_at_end(self) -> bool:
        """Whether the other side has closed, or sent what nobody asked for: it takes no further request."""
        return self._ended or bool(self._chunks)

    @property
    def is_ended(self) -> bool:
        """Whether the other side has closed."""
        return self._ended

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed for good."""
        return self._lost

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Read what there is, waiting for something if need be.

        Args:
            max_bytes: most that is returned.
            timeout: seconds; ``None`` waits without limit.

        Returns:
            At least one byte; none when the other side has closed.

        Raises:
            TimeoutError: nothing came in time.
            OSError: the connection broke.
        """
        while not self._chunks:
            if self._error is not None:
                raise _of_connection(self._error)
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._wait(self._reader, timeout)
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._kept -= len(chunk)
        if self._paused and self._kept < _ENOUGH // 2:
            self._paused = False
            if not self._transport.is_closing():  # uvloop refuses then
                self._transport.resume_reading()
        return chunk

    async def write(self, data: bytes, timeout: float | None) -> None:
        """Write all of it, waiting while the receiver is slow.

        Raises:
            TimeoutError: the receiver did not catch up in time.
            OSError: the connection is broken, or was given up.
        """
        if self._lost or self._transport.is_closing():
            raise _of_connection(self._error)
        self.written_bytes += len(data)
        self._transport.write(data)
        while self._may_write is not None:
            # Shared by all writers, so that none of them may cancel it.
            await self._wait(asyncio.shield(self._may_write), timeout)
        if self._transport.is_closing():
            raise _of_connection(self._error)

    def abort(self, why: str = "") -> None:
        """Close at once; what was not sent is not sent. Whoever reads or writes is told; again does nothing.

        Args:
            why: what they are told; without it, a reader is told of an end like any other.
        """
        if why and not self._ended:
            self._error = ConnectionAbortedError(why)
        self._ended = True
        self._transport.abort()
        self._wake_reader()
        self.resume_writing()

    def about(self, name: str) -> Any:
        """What the transport knows: ``ssl_object``, ``socket``, ``peername``, ``sockname``."""
        return self._transport.get_extra_info(name)

    async def _wait(self, future: asyncio.Future[None], timeout: float | None) -> None:
        timer = None if timeout is None else self._loop.call_later(timeout, _give_up, future)
        try:
            with outside(self._loop):
                await future
        finally:
            if timer is not None:
                timer.cancel()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


async def open_stream(
    host: str, port: int, *, tls: SSLContext | None, server_name: str | None, timeout: float | None
) -> SocketStream:
    """Connect, with TLS if a context is given.

    Guarantees:
        Cancelled or out of time, nothing is left open. Names are resolved in the loop's own threads.

    Args:
        host: a name or an address.
        port: the port.
        tls: how TLS is done; ``None`` is plain TCP.
        server_name: whom the certificate must name; the host unless given.
        timeout: seconds for all of it, TLS included; ``None`` waits without limit.

    Returns:
        The stream.

    Raises:
        TimeoutError: it took too long.
        OSError: nobody listens there, or the certificate is not trusted (``ssl.SSLError``).
    """
    loop = asyncio.get_running_loop()
    made: list[SocketStream] = []

    def make() -> SocketStream:
        made.append(SocketStream(loop))
        return made[-1]

    name = None if tls is None else server_name or host
    try:
        with outside(loop):
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(make, host, port, ssl=tls, server_hostname=name)
    except BaseException:
        for each in made:
            if each._transport is not None:
                each.abort()
        raise
    return stream


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _of_connection(error: Exception | None) -> OSError:
    return error if isinstance(error, OSError) else ConnectionResetError("the connection is closed")
