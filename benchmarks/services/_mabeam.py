"""mabeam's services."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import mabeam
from benchmarks._rounds import check
from benchmarks.services._requests import BODY, CONNECTIONS, many_callers, one_caller
from benchmarks.services._server import server
from mabeam.services import ConnectionManager, PoolOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def _measure(
    run: Callable[[Rounds, Callable[[], Awaitable[Any]]], Awaitable[Figures]],
    method: str,
    *,
    by_client: bool = False,
    **options: Any,
) -> Callable[[Rounds], Figures]:
    def measure(rounds: Rounds) -> Figures:
        async def main(url: str) -> Figures:
            pools = {"it": PoolOptions(base_url=url, max_connections=CONNECTIONS)}
            await ConnectionManager.child_spec(pools=pools).named("connections").start_link()
            them = ConnectionManager.at("connections")
            ask: Any = them.client("it").request if by_client else partial(them.request, "it")
            figures = await run(rounds, partial(ask, method, "/", **options))
            check("requests counted", them.statistics("it").completed, rounds.operations)
            return figures

        with server() as url:
            return mabeam.run(main, url)

    return measure


_JSON = {"content": BODY, "headers": {"content-type": "application/json"}}

MEASURES = {
    "http_get": _measure(one_caller, "GET"),
    "http_post": _measure(one_caller, "POST", by_client=True, **_JSON),
    "http_get_busy": _measure(many_callers, "GET"),
}
