"""An ``httpx.AsyncClient`` whose requests go through a pool of a ConnectionManager."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, final

import httpx

from mabeam.kernel import current_process
from mabeam.services._pool_call import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Process
    from mabeam.services._pool_options import PoolOptions
    from mabeam.services._pools import Pools

__all__ = ("PoolClient", "make_client")


@final
class _PoolTransport(httpx.AsyncBaseTransport):
    """Sends through whichever pool has the id when a request is made. Closing it closes nothing: the pool is others', too."""

    __slots__ = ("_id", "_reach")

    def __init__(self, reach: Callable[[Process], Pools], id: str) -> None:
        self._reach = reach
        self._id = id

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        process = current_process()
        call = self._reach(process).begin(self._id, process, request)
        return await call.run()


@final
class PoolClient(httpx.AsyncClient):
    """As its base. It tells the pool which answers are streamed, so that a policy sees the others with their body."""

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request, as the base does."""
        request.extensions = {**request.extensions, WHOLE: not stream}
        return await super().send(request, stream=stream, **options)


def make_client(
    reach: Callable[[Process], Pools], id: str, options: PoolOptions, *, keeps_cookies: bool, **more: Any
) -> PoolClient:
    """A client with the settings of a pool.

    Args:
        reach: finds the pools, from the process that asks.
        id: the pool.
        options: how it is set now.
        keeps_cookies: false for a client that several callers share.
        **more: for the client, in place of the pool's settings.
    """
    settings: dict[str, Any] = {
        "base_url": options.base_url,
        "headers": dict(options.headers),
        "follow_redirects": options.follow_redirects,
        "timeout": httpx.Timeout(
            connect=options.connect_timeout,
            read=options.read_timeout,
            write=options.write_timeout,
            pool=options.pool_timeout,
        ),
    }
    if not keeps_cookies:
        settings["cookies"] = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return PoolClient(transport=_PoolTransport(reach, id), trust_env=False, **{**settings, **more})
