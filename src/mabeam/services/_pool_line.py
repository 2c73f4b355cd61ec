"""One connection of a pool: a stream of ours with httpcore's HTTP/1.1 or HTTP/2 on it.

What is let go of is let go of in one step, without waiting: code that was killed may not wait, and the other requests on an
HTTP/2 connection must not wait for it. For that the stream closes at once (:class:`SocketStream`), and the lock that httpcore
takes to note that an answer is over is replaced by none: what it guards never waits, once closing does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import httpcore

from mabeam._base import SocketStream, open_stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

__all__ = ("STREAMS", "Line", "Origin")

Origin: TypeAlias = tuple[bytes, bytes, int]
"""Scheme, host and port: what a connection can be used for."""

STREAMS: Final = 100
"""Most requests at once on an HTTP/2 connection; the server may allow fewer, and httpcore keeps to that."""


class _NoLock:
    """In the place of a lock under which nothing waits."""

    __slots__ = ()

    async def __aenter__(self) -> None:
        return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


class _Wire(httpcore.AsyncNetworkStream):
    """A :class:`SocketStream`, as httpcore wants it."""

    __slots__ = ("stream",)

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self.stream.read(max_bytes, timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(f"nothing came for {timeout} s") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            await self.stream.write(buffer, timeout)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"nothing could be sent for {timeout} s") from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self.stream.abort()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self.stream.is_at_end
        return self.stream.about({"client_addr": "sockname", "server_addr": "peername"}.get(info, info))


@final
class Line:
    """A connection: being opened, in use, at rest, or given up.

    Attributes:
        origin: what it is for.
        users: requests that use it.
        is_retired: it takes no further request, and is closed when its last one is done.
        is_shared: it speaks HTTP/2.
        resting_since: when it was left by its last user.
    """

    __slots__ = ("_http", "_stream", "is_retired", "is_shared", "origin", "resting_since", "users")

    def __init__(self, origin: Origin) -> None:
        """Not open yet; one request uses it, and opens it."""
        self.origin = origin
        self.users = 1
        self.is_retired = False
        self.is_shared = False
        self.resting_since = 0.0
        self._stream: SocketStream | None = None
        self._http: Any = None

    async def open(
        self,
        tls: ssl.SSLContext | None,
        server_name: str | None,
        timeout: float | None,
        on_lost: Callable[[Line], None],
    ) -> None:
        """Connect.

        Raises:
            httpcore.ConnectTimeout: it took too long.
            httpcore.ConnectError: nobody listens there, or is not trusted.
        """
        scheme, host, port = self.origin
        try:
            stream = await open_stream(host.decode(), port, tls=tls, server_name=server_name, timeout=timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(
                f"no connection to {host.decode()}:{port} within {timeout} s"
            ) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        if stream.is_lost:
            raise httpcore.ConnectError(f"{host.decode()}:{port} closed the connection at once")
        self._stream = stream
        stream.on_lost = lambda: on_lost(self)
        chosen = stream.about("ssl_object")
        self.is_shared = chosen is not None and chosen.selected_alpn_protocol() == "h2"
        kind = httpcore.AsyncHTTP2Connection if self.is_shared else httpcore.AsyncHTTP11Connection
        http: Any = kind(origin=httpcore.Origin(scheme, host, port), stream=_Wire(stream))
        http._state_lock = _NoLock()
        self._http = http

    @property
    def is_open(self) -> bool:
        """Whether it was opened; it may be closed again."""
        return self._http is not None

    @property
    def is_fit(self) -> bool:
        """Whether a further request may be sent on it."""
        if self._http is None or self._stream is None or self.is_retired:
            return False
        if self.is_shared:
            # What has come unasked is for httpcore to read: settings, pings.
            return not self._stream.is_ended and self.users < STREAMS and bool(self._http.is_available())
        if self._stream.is_at_end or not self._http.is_idle():
            return False
        # What came behind the end of an answer, in the same piece, is with the parser already. It is nobody's: kept, it would be
        # taken for the answer to the next request, which may be somebody else's.
        parser = getattr(self._http, "_h11_state", None)
        return parser is None or not parser.trailing_data[0]

    @property
    def sent_bytes(self) -> int:
        """Bytes sent so far."""
        return 0 if self._stream is None else self._stream.written_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes that have come so far."""
        return 0 if self._stream is None else self._stream.read_bytes

    async def send(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and wait for the head of the answer.

        Raises:
            httpcore.ConnectionNotAvailable: the server takes no more requests here; this one was not processed.
        """
        response: httpcore.Response = await self._http.handle_async_request(request)
        return response

    def abort(self, why: str = "") -> None:
        """Close at once; whoever reads from it gets an error, which says ``why``."""
        self.is_retired = True
        if self._stream is not None:
            self._stream.abort(why)
