"""httpx, by a client of its own."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import uvloop

from benchmarks.services._requests import BODY, CONNECTIONS, many_callers, one_caller
from benchmarks.services._server import server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def _measure(
    run: Callable[[Rounds, Callable[[], Awaitable[Any]]], Awaitable[Figures]], method: str, **options: Any
) -> Callable[[Rounds], Figures]:
    def measure(rounds: Rounds) -> Figures:
        async def body(url: str) -> Figures:
            limits = httpx.Limits(max_connections=CONNECTIONS)
            async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as client:
                return await run(rounds, partial(client.request, method, "/", **options))

        with server() as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(body(url))

    return measure


_JSON = {"content": BODY, "headers": {"content-type": "application/json"}}

MEASURES = {
    "http_get": _measure(one_caller, "GET"),
    "http_post": _measure(one_caller, "POST", **_JSON),
    "http_get_busy": _measure(many_callers, "GET"),
}
