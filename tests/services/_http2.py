"""An HTTP/2 server on loopback; certificates that it, and its clients, can be given."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import trustme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA)


def server_tls(*, http2: bool = False, asks_clients: bool = False) -> ssl.SSLContext:
    """What a server shows itself by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    if asks_clients:
        AUTHORITY.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
    return context


class Site2:
    """What the servers of all connections have done. Answers to ``/gate`` wait for ``let_go``; those to ``/half`` never end."""

    def __init__(self) -> None:
        self.url = ""
        self.open: set[_Connection] = set()
        self.accepted = 0
        self.seen: list[str] = []
        self._changed: set[asyncio.Future[None]] = set()

    def let_go(self) -> None:
        for each in self.open:
            each.let_go()

    def go_away(self) -> None:
        for each in self.open:
            each.go_away()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                changed = asyncio.get_running_loop().create_future()
                self._changed.add(changed)
                try:
                    await changed
                finally:
                    self._changed.discard(changed)

    def changed(self) -> None:
        for each in tuple(self._changed):
            if not each.done():
                each.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, site: Site2) -> None:
        self.site = site
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.gated: list[int] = []
        self.gone = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.site.open.add(self)
        self.site.accepted += 1
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.site.open.discard(self)
        self.site.changed()

    def data_received(self, data: bytes) -> None:
        if self.gone:
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                path = dict(event.headers)[b":path"].decode()
                assert event.stream_id is not None
                self.site.seen.append(path)
                if path == "/gate":
                    self.gated.append(event.stream_id)
                elif path == "/half":
                    self.h2.send_headers(event.stream_id, [(":status", "200")])
                    self.h2.send_data(event.stream_id, b"half")
                else:
                    self.answer(event.stream_id)
        self.flush()
        self.site.changed()

    def answer(self, stream: int) -> None:
        self.h2.send_headers(stream, [(":status", "200")])
        self.h2.send_data(stream, b"hello", end_stream=True)

    def let_go(self) -> None:
        for stream in self.gated:
            self.answer(stream)
        self.gated.clear()
        self.flush()

    def go_away(self) -> None:
        """Answer nothing that comes after the first request, and say so."""
        self.h2.close_connection(last_stream_id=1)
        self.flush()
        self.gone = True

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())
        self.site.changed()


@asynccontextmanager
async def site2() -> AsyncIterator[Site2]:
    """An HTTP/2 server for as long as the block lasts."""
    there = Site2()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(there), "127.0.0.1", 0, ssl=server_tls(http2=True)
    )
    there.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield there
    finally:
        server.close()
        for each in tuple(there.open):
            each.transport.abort()
        await there.until(lambda: not there.open)
