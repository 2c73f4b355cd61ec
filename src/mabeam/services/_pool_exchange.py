"""One attempt of a request: a connection taken, the request sent, the answer read, the connection given back."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

import httpcore
import httpx

from mabeam.errors import PoolUnavailable
from mabeam.services._pool_errors import AsHttpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mabeam.services._pool import Pool
    from mabeam.services._pool_call import Call
    from mabeam.services._pool_line import Line, Origin

__all__ = ("Exchange",)

Outcome: TypeAlias = Literal["completed", "failures", "abandoned", "refused"]

_PORTS: Final = {b"http": 80, b"https": 443}
_GONE_AWAY: Final = 3
"""How often a request that a server has not looked at, because it closes the connection, is sent on another one."""


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it gives the connection back, and so does forgetting it."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        if exchange.stream is None:
            return
        try:
            with AsHttpx():
                async with aclosing(aiter(exchange.stream)) as parts:
                    async for part in parts:
                        yield part
        except BaseException as error:
            await exchange.close(error)
            raise
        exchange.is_whole = True
        await exchange.close()

    async def aclose(self) -> None:
        await self._exchange.close()

    def __del__(self) -> None:
        # Anything may be going on when this runs, in any thread: it only has itself be called later.
        exchange = self._exchange
        if not exchange.is_over:
            exchange.abandon_later()


@final
class Exchange:
    """One attempt. It is over exactly once, however it ends, and then its connection is given back.

    Attributes:
        stream: httpcore's body of the answer, once its head is there.
        response: the answer, as the policies see it; once the caller has it, only the caller does.
        task: the task that made the attempt; a second one of the same task means that the first was given up.
        is_whole: the body was read to its end.
        is_over: nothing is held any more.
    """

    __slots__ = ("_call", "_line", "_pool", "is_over", "is_whole", "response", "stream", "task")

    def __init__(self, call: Call, pool: Pool) -> None:
        """Begin; counted from now on."""
        self.stream: Any = None
        self.response: httpx.Response | None = None
        self.task = current_task()
        self.is_whole = False
        self.is_over = False
        self._call = call
        self._pool = pool
        self._line: Line | None = None
        pool.counters.attempts += 1
        pool.counters.active += 1

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send it and wait for the head of the answer.

        Raises:
            httpx.TransportError: no connection, a timeout, a reset.
            PoolUnavailable: the pool refused.
        """
        try:
            with AsHttpx():
                answer = await self._answer(request)
        except BaseException as error:
            await self.close(error)
            raise
        self.stream = answer.stream
        self.response = httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(self), extensions=dict(answer.extensions)
        )
        return self.response

    async def _answer(self, request: httpx.Request) -> httpcore.Response:
        url, extensions, pool = request.url, request.extensions, self._pool
        scheme = url.raw_scheme
        if scheme not in _PORTS:
            raise httpcore.UnsupportedProtocol(
                f"expected a URL that begins with http:// or https://, got {str(url)!r}"
            )
        origin: Origin = (scheme, url.raw_host, url.port or _PORTS[scheme])
        timeouts = extensions.get("timeout", {})
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=extensions,
        )
        for left in range(_GONE_AWAY - 1, -1, -1):
            line = self._line = await pool.take(origin, timeouts.get("pool"))
            if not line.is_open:
                await pool.open(line, extensions.get("sni_hostname"), timeouts.get("connect"))
            try:
                return await line.send(sent)
            except httpcore.ConnectionNotAvailable:
                if not left or not isinstance(request.stream, httpx.ByteStream):
                    raise
                self._line = None
                line.is_retired = True
                pool.leave(line, whole=False)
        raise AssertionError  # for type checkers

    async def close(self, error: BaseException | None = None) -> None:
        """Let go of everything. What it does it does without waiting, so that killed code gets through as well."""
        if self.is_over:
            return
        self.is_over = True
        try:
            if self.stream is not None:
                await self.stream.aclose()
        except Exception:  # noqa: BLE001 - the connection is broken already; it is given back as such
            self.is_whole = False
        finally:
            self._settle(_outcome(error, whole=self.is_whole))

    def abandon(self) -> None:
        """Let go of everything, in one step: its process is dead, or has forgotten it."""
        if self.is_over:
            return
        closing = self.close()
        try:
            closing.send(None)
        except StopIteration:
            return
        closing.close()  # it would wait: the connection is given back as broken

    def abandon_later(self) -> None:
        """Nobody has the answer any more, and nobody has closed it."""
        try:
            self._pool.loop.call_soon_threadsafe(self.abandon)
        except RuntimeError:
            return  # the loop is closed, and the connection with it

    def _settle(self, outcome: Outcome) -> None:
        counters, line = self._pool.counters, self._line
        counters.active -= 1
        setattr(counters, outcome, getattr(counters, outcome) + 1)
        if outcome == "refused":
            counters.attempts -= 1
        if line is not None:
            self._line = None
            self._pool.leave(line, whole=self.is_whole)
        self._call.exchange_over(self, outcome)


def _outcome(error: BaseException | None, *, whole: bool) -> Outcome:
    if whole:
        return "completed"
    if error is None or isinstance(error, CancelledError | GeneratorExit):
        return "abandoned"
    return "refused" if isinstance(error, PoolUnavailable) else "failures"
