"""The server that is asked: an OS process of its own, as small as it can be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("server",)

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n" + b"x" * 100


class _Answers(asyncio.Protocol):
    """Answers each request, whose head has a content-length if it has a body."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._left = b""

    def data_received(self, data: bytes) -> None:
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._left) < end + 4 + length:
                return
            self._left = self._left[end + 4 + length :]
            self._transport.write(ANSWER)


async def _serve() -> None:
    listening = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    # Until whoever started it has gone, and its end of the pipe with it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def server() -> Iterator[str]:
    """The address of one that runs for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.services._server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
