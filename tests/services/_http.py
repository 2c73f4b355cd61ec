"""An HTTP/1.1 server on loopback that behaves as its paths say, and tells what it has seen."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Site:
    """What the server does and has seen.

    ``gate`` lets the answers to ``/gate`` go, and each chunk of ``/chunks``; ``failures`` is how often ``/flaky`` fails
    before it does not.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.failures = 0
        self.retry_after = "0"
        self.seen: Counter[str] = Counter()
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.open = 0
        self.most_open = 0
        self.accepted = 0
        self.port = 0
        self.scheme = "http"
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: set[asyncio.Future[None]] = set()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the server sees has made it true."""
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self.accepted += 1
        self.most_open = max(self.most_open, self.open)
        self.changed()
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except RuntimeError as error:  # how uvloop says that a transport is closed
            if "is closed" not in str(error):
                raise
        finally:
            writer.transport.abort()
            self.open -= 1
            self._tasks.discard(task)
            self.changed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(maxsplit=2)[1]
        length = next(
            (line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length")),
            "0",
        )
        body = await reader.readexactly(int(length))
        if "transfer-encoding: chunked" in head.lower():
            body = await reader.readuntil(b"0\r\n\r\n")
        self.seen[path] += 1
        self.heads.append(head)
        self.bodies.append(body)
        self.changed()
        match path:
            case "/gate":
                await self._until_gate(reader)
            case "/never":
                await reader.read()
                return False
            case "/reset":
                return False
            case "/half":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
                await writer.drain()
                return False
            case "/flaky" if self.failures:
                self.failures -= 1
                writer.write(
                    b"HTTP/1.1 503 Busy\r\nretry-after: "
                    + self.retry_after.encode()
                    + b"\r\ncontent-length: 4\r\n\r\nbusy"
                )
                return True
            case "/flaky-chunks" if self.failures:
                self.failures -= 1
                writer.write(b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbusy\r\n")
                return True
            case "/chunks":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for _ in range(3):
                    writer.write(b"4\r\npart\r\n")
                    await writer.drain()
                    await self._until_gate(reader)
                writer.write(b"0\r\n\r\n")
                return True
            case "/big":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n")
                writer.write(b"x" * 4_000_000)
                return True
            case "/close":
                writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye")
                await writer.drain()
                return False
            case "/twice":
                writer.write(HELLO + HELLO.replace(b"hello", b"wrong"))
                return True
            case "/cookie":
                writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: who=ann\r\ncontent-length: 0\r\n\r\n")
                return True
            case "/there":
                writer.write(b"HTTP/1.1 302 Found\r\nlocation: /here\r\ncontent-length: 0\r\n\r\n")
                return True
        writer.write(HELLO)
        return True

    async def _until_gate(self, reader: asyncio.StreamReader) -> None:
        """Wait for the gate, or for the other side to go."""
        tasks = {asyncio.ensure_future(self.gate.wait()), asyncio.ensure_future(reader.read(1))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)
        if not self.gate.is_set():
            raise ConnectionResetError(f"gone: {done}")

    async def stop(self) -> None:
        for each in tuple(self._tasks):
            each.cancel()
        await self.until(lambda: not self.open)


@asynccontextmanager
async def site(tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """A server for as long as the block lasts."""
    there = Site()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0, ssl=tls)
    there.port = server.sockets[0].getsockname()[1]
    there.scheme = "http" if tls is None else "https"
    try:
        yield there
    finally:
        server.close()
        await there.stop()
