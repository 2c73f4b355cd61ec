"""A manager with pools, for as long as a block lasts; and processes that use it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mabeam.kernel import Pid, spawn
from mabeam.services import ConnectionManager, Connections, PoolOptions
from tests.services._http import Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping


@asynccontextmanager
async def connections(
    pools: Mapping[str, PoolOptions] = MappingProxyType({}),
    /,
    *,
    drain_seconds: float = 0.0,
    **more: PoolOptions,
) -> AsyncIterator[Connections]:
    """A manager with these pools."""
    pools = {**pools, **more}
    manager = await ConnectionManager.child_spec(pools=pools, drain_seconds=drain_seconds).start()
    try:
        yield ConnectionManager.at(manager)
    finally:
        await manager.stop()


@asynccontextmanager
async def scene(*, drain_seconds: float = 0.0, **options: Any) -> AsyncIterator[tuple[Site, Connections]]:
    """A server, and a manager with a pool ``it`` for that."""
    async with site() as there:
        pools = {"it": PoolOptions(base_url=there.url, **options)}
        async with connections(pools, drain_seconds=drain_seconds) as them:
            yield there, them
        assert not there.open or await _closed(there)


async def _closed(there: Site) -> bool:
    await there.until(lambda: not there.open)
    return True


def in_process(function: Callable[[], Awaitable[object]]) -> Pid:
    """Run it in a process of its own."""

    async def body() -> None:
        await function()

    return spawn(body)


def balanced(them: Connections, id: str = "it") -> bool:
    """Whether the books of a pool agree, and nobody uses it."""
    now = them.statistics(id)
    assert now.attempts == now.active + now.completed + now.failures + now.abandoned, now
    assert now.connections == now.idle + now.in_use, now
    return (now.active, now.waiting, now.in_use) == (0, 0, 0)


async def turns(count: int = 20) -> None:
    """Let everything that can go on without waiting for others go on."""
    for _ in range(count):
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
