"""The limits of a pool: connections, keep-alive, the queue, timeouts."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from mabeam import PoolUnavailable
from mabeam.services import PoolOptions
from mabeam.telemetry import current_bus
from tests.services._http import site
from tests.services._http_scenes import balanced, connections, scene

pytestmark = pytest.mark.real_time


async def test_there_are_never_more_connections_than_allowed() -> None:
    """As the server sees it; the rest waits, and all are answered."""
    async with scene(max_connections=3) as (there, them):
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(them.request("it", "GET", "/gate"))
            await there.until(lambda: there.seen["/gate"] == 3)
            now = them.statistics("it")
            assert (now.connections, now.in_use, now.idle, now.waiting, now.active) == (3, 3, 0, 27, 30)
            there.gate.set()
        assert (there.most_open, there.accepted) == (3, 3)
        assert them.statistics("it").completed == 30
        assert balanced(them)


async def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    """One connection."""
    order: list[int] = []
    async with scene(max_connections=1) as (there, them):

        async def ask(number: int) -> None:
            await them.request("it", "GET", "/gate" if not number else "/ok")
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(ask(number))
            await there.until(lambda: there.seen["/gate"] == 1)
            there.gate.set()
        assert order == list(range(10))


async def test_too_many_that_wait_are_refused_at_once() -> None:
    """Nothing was sent, and the event of it counts no attempt."""
    attempts: list[float] = []
    bus = current_bus.get()
    assert bus is not None
    attached = bus.attach(
        lambda _event, numbers, _more: attempts.append(numbers["attempts"]),
        events=["connections.request_finished"],
    )
    async with scene(max_connections=1, max_waiting=1) as (there, them):
        async with asyncio.TaskGroup() as group:
            group.create_task(them.request("it", "GET", "/gate"))
            await there.until(lambda: there.seen["/gate"] == 1)
            group.create_task(them.request("it", "GET", "/ok"))
            while not them.statistics("it").waiting:
                await asyncio.wait([group.create_task(_nothing())])
            with pytest.raises(PoolUnavailable) as caught:
                await them.request("it", "GET", "/ok")
            assert (caught.value.pool, caught.value.reason) == ("it", "queue_full")
            there.gate.set()
        now = them.statistics("it")
        assert (now.refused, now.attempts, now.requests, there.seen["/ok"]) == (1, 2, 3, 1)
        assert balanced(them)
    attached.detach()
    assert attempts == [0, 1, 1]


async def _nothing() -> None:
    return


async def test_one_that_waits_too_long_is_told() -> None:
    """As httpx tells it; its place is free."""
    async with scene(max_connections=1, pool_timeout=0.01) as (there, them):
        async with asyncio.TaskGroup() as group:
            group.create_task(them.request("it", "GET", "/gate"))
            await there.until(lambda: there.seen["/gate"] == 1)
            with pytest.raises(httpx.PoolTimeout, match="pool 'it'"):
                await them.request("it", "GET", "/ok")
            there.gate.set()
        assert (them.statistics("it").failures, there.seen["/ok"]) == (1, 0)
        assert balanced(them)


async def test_idle_connections_are_closed_after_their_time() -> None:
    """By themselves, without another request."""
    async with scene(keepalive_seconds=0.02) as (there, them):
        await them.request("it", "GET", "/ok")
        assert them.statistics("it").idle == 1
        await there.until(lambda: there.open == 0)
        assert them.statistics("it").connections == 0


@pytest.mark.parametrize("keep", [0, 2])
async def test_no_more_idle_connections_are_kept_than_allowed(keep: int) -> None:
    """The others are closed when they are left."""
    async with scene(max_keepalive=keep) as (there, them):
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(them.request("it", "GET", "/gate"))
            await there.until(lambda: there.seen["/gate"] == 5)
            there.gate.set()
        assert them.statistics("it").idle == keep
        await there.until(lambda: there.open == keep)


async def test_an_idle_connection_that_the_server_closes_is_gone() -> None:
    """Nobody gets it."""
    async with scene() as (there, them):
        await them.request("it", "GET", "/ok")
        await there.stop()
        while them.statistics("it").connections:
            await asyncio.wait([asyncio.ensure_future(_nothing())])
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert them.statistics("it").opened == 2


async def test_the_limit_is_that_of_the_pool_over_all_hosts() -> None:
    """An idle connection to another host makes room."""
    async with site() as one, site() as two, connections(it=PoolOptions(max_connections=1)) as them:
        for _ in range(3):
            assert (await them.request("it", "GET", f"{one.url}/ok")).text == "hello"
            assert (await them.request("it", "GET", f"{two.url}/ok")).text == "hello"
            assert them.statistics("it").connections == 1
        await one.until(lambda: not one.open)
        assert (one.accepted, two.accepted) == (3, 3)


async def test_hosts_that_wait_for_each_others_connections_all_get_their_turn() -> None:
    """None starves."""
    async with site() as one, site() as two, connections(it=PoolOptions(max_connections=2)) as them:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                there = (one, two)[number % 2]
                group.create_task(them.request("it", "GET", f"{there.url}/ok"))
        assert (one.seen["/ok"], two.seen["/ok"]) == (20, 20)
        assert balanced(them)


async def test_pools_do_not_share_connections() -> None:
    """Each has its own limit."""
    async with site() as there:
        options = PoolOptions(base_url=there.url, max_connections=1)
        async with connections(a=options, b=options) as them:
            async with asyncio.TaskGroup() as group:
                group.create_task(them.request("a", "GET", "/gate"))
                await there.until(lambda: there.seen["/gate"] == 1)
                assert (await them.request("b", "GET", "/ok")).text == "hello"
                there.gate.set()
            assert there.accepted == 2


async def test_an_answer_comes_no_faster_than_it_is_read() -> None:
    """What is too much for the reader waits in the server, and all of it arrives."""
    async with scene() as (there, them):
        async with them.stream("it", "GET", "/big") as answer:
            read = 0
            async for part in answer.aiter_bytes():
                if not read:
                    assert them.statistics("it").received_bytes < 4_000_000
                read += len(part)
        assert read == 4_000_000
        assert (await them.request("it", "POST", "/echo", content=b"y" * 3_000_000)).text == "hello"
        assert len(there.bodies[-1]) == 3_000_000
        assert balanced(them)
        assert them.statistics("it").opened == 1
