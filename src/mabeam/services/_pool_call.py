"""One request as its caller sees it: attempts under the pool's policy, from the first until the answer is read."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from datetime import timedelta
from typing import TYPE_CHECKING, Final, final

import httpx

from mabeam._base import monotonic
from mabeam.errors import UsageError
from mabeam.services._pool_exchange import Exchange

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.services._pool import Pool
    from mabeam.services._pools import Pools

__all__ = ("WHOLE", "Call")

WHOLE: Final = "mabeam.whole"
"""The extension of a request that says that the body is a part of each attempt: nobody is going to stream it."""

_SMALL: Final = 64 * 1024
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


@final
class Call:
    """A request under way. It belongs to the process that made it.

    Attributes:
        process: whose it is.
        pool: the configuration that it began with; it goes on with that one.
    """

    __slots__ = (
        "_began",
        "_exchanges",
        "_is_over",
        "_pools",
        "_refused",
        "_request",
        "_returned",
        "_status",
        "pool",
        "process",
    )

    def __init__(self, pools: Pools, pool: Pool, process: Process, request: httpx.Request) -> None:
        """Begin."""
        self.pool = pool
        self.process = process
        self._pools = pools
        self._request = request
        self._began = monotonic()
        self._exchanges: list[Exchange] = []
        self._refused = 0
        self._returned: Exchange | None = None
        self._status = ""
        self._is_over = False

    async def run(self) -> httpx.Response:
        """Send the request under the pool's policy.

        Raises:
            UsageError: the policy answered with what is no response.
            BaseException: what the policy, or the only attempt, raises.
        """
        policy = self.pool.options.policy
        try:
            response = await (self._attempt() if policy is None else policy.call(self._attempt))
            if not isinstance(response, httpx.Response):
                raise UsageError(
                    f"the policy of pool {self.pool.id!r} expects to end in an httpx.Response, and answered {response!r}. A "
                    "Fallback, say, must give one: Fallback(value=httpx.Response(503))"
                )
        except BaseException as error:
            await self._free(None)
            self._over("cancelled" if isinstance(error, CancelledError) else type(error).__name__)
            raise
        self._status = str(response.status_code)
        self._returned = next((each for each in self._exchanges if each.response is response), None)
        await self._free(self._returned)
        if self._returned is None or self._returned.is_over:
            self._over(self._status)
        else:
            self._returned.response = None  # held here, it could not be forgotten
        response.elapsed = timedelta(seconds=monotonic() - self._began)
        return response

    async def _attempt(self) -> httpx.Response:
        request, policy = self._request, self.pool.options.policy
        before = [each for each in self._exchanges if each.task is current_task()]
        if before:
            # A policy that tries again in the same task has done with the answer that it had.
            for each in before:
                await each.close()
            if not isinstance(request.stream, httpx.ByteStream):
                raise UsageError(
                    f"{request.method} {request.url.host} cannot be sent again by the policy of pool {self.pool.id!r}: its body is "
                    "a stream, which can be read once only. Give the body as bytes, or use a pool whose policy does not retry."
                )
        exchange = Exchange(self, self.pool)
        self._exchanges.append(exchange)
        response = await exchange.send(request)
        # An error that may be tried again must not hold its connection meanwhile.
        if request.extensions.get(WHOLE) or (policy is not None and _is_small_error(response)):
            await response.aread()
        return response

    async def _free(self, kept: Exchange | None) -> None:
        for each in self._exchanges:
            if each is not kept:
                await each.close()

    def exchange_over(self, exchange: Exchange, outcome: str) -> None:
        """An attempt is over; so is the request, when it was the one whose answer the caller has."""
        self._refused += outcome == "refused"
        if exchange is self._returned:
            self._over(self._status if outcome == "completed" else outcome)

    def abandon(self) -> None:
        """Its process is dead: let go of everything, in one step."""
        for each in self._exchanges:
            each.abandon()
        self._over("died")

    def _over(self, outcome: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._pools.over(self)
        bus = self.process.kernel.bus
        if bus.listening:
            method = self._request.method
            measurements = {
                "duration": monotonic() - self._began,
                "attempts": len(self._exchanges) - self._refused,
            }
            metadata = {
                "manager": self._pools.process.pid.serial,
                "pool": self.pool.id,
                "method": method if method in _METHODS else "other",
                "outcome": {"failures": "broken"}.get(outcome, outcome),
            }
            bus.emit("connections.request_finished", measurements, metadata)


def _is_small_error(response: httpx.Response) -> bool:
    length = response.headers.get("content-length", "")
    return response.status_code >= 400 and length.isdecimal() and int(length) <= _SMALL
