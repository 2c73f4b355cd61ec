"""Draining, closing, configuring anew and removing while requests are under way."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from mabeam import NoSuchPool, NoSuchProcess, PoolUnavailable, Supervisor, kill
from mabeam.services import ConnectionManager, PoolOptions
from tests.services._http import site
from tests.services._http_scenes import balanced, connections, scene, turns

pytestmark = pytest.mark.real_time


async def test_requests_under_way_get_their_time_when_it_is_stopped() -> None:
    """Those that wait for a connection, too; new ones are refused, and everything is closed in the end."""
    async with site() as there:
        options = PoolOptions(base_url=there.url, max_connections=1)
        manager = await ConnectionManager.child_spec(pools={"it": options}, drain_seconds=10.0).start()
        them = ConnectionManager.at(manager)
        first = asyncio.ensure_future(them.request("it", "GET", "/gate"))
        second = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        client = them.client("it")
        await there.until(lambda: there.seen["/gate"] == 1)
        stopping = asyncio.ensure_future(manager.stop())
        await turns()
        with pytest.raises(PoolUnavailable) as caught:
            await client.get("/ok")
        assert caught.value.reason == "draining"
        assert not stopping.done()
        there.gate.set()
        assert [(await each).text for each in (first, second)] == ["hello", "hello"]
        await stopping
        await there.until(lambda: there.open == 0)
        with pytest.raises(NoSuchProcess):
            await client.get("/ok")


async def test_a_streamed_answer_counts_until_it_is_read() -> None:
    """Draining waits for its end, not for its head."""
    async with site() as there:
        spec = ConnectionManager.child_spec(pools={"it": PoolOptions(base_url=there.url)}, drain_seconds=10.0)
        manager = await spec.start()
        them = ConnectionManager.at(manager)
        async with them.stream("it", "GET", "/chunks") as answer:
            stopping = asyncio.ensure_future(manager.stop())
            await turns()
            assert not stopping.done()
            there.gate.set()
            assert await answer.aread() == b"part" * 3
        await stopping


async def test_what_is_not_done_in_time_is_cut() -> None:
    """Its callers are told, whether they read, or wait for a connection."""
    async with site() as there:
        options = PoolOptions(base_url=there.url, max_connections=1)
        top = await Supervisor.start_link(
            [ConnectionManager.child_spec(pools={"it": options}, drain_seconds=0.02).named("c")],
            strategy="one_for_one",
        )
        them = ConnectionManager.at("c")
        first = asyncio.ensure_future(them.request("it", "GET", "/never"))
        second = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        await there.until(lambda: there.seen["/never"] == 1)
        await top.stop()
        with pytest.raises(httpx.ReadError, match="'it' was closed, since its ConnectionManager has ended"):
            await first
        with pytest.raises(PoolUnavailable):
            await second
        await there.until(lambda: there.open == 0)


async def test_killed_it_closes_everything_at_once() -> None:
    """Though no code of it runs."""
    async with site() as there:
        manager = await ConnectionManager.child_spec(pools={"it": PoolOptions(base_url=there.url)}).start()
        them = ConnectionManager.at(manager)
        await them.request("it", "GET", "/ok")
        running = asyncio.ensure_future(them.request("it", "GET", "/never"))
        await there.until(lambda: there.seen["/never"] == 1)
        kill(manager)
        with pytest.raises(
            httpx.ReadError, match="its ConnectionManager has ended"
        ):  # not that the server closed it
            await running
        await there.until(lambda: there.open == 0)


async def test_a_pool_that_is_configured_anew_serves_new_requests_by_the_new_settings() -> None:
    """Those under way go on by the old ones, and what they used is closed; counts go on."""
    async with scene(max_connections=1) as (there, them):
        old = asyncio.ensure_future(them.request("it", "GET", "/gate"))
        waits = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        await there.until(lambda: there.seen["/gate"] == 1)
        await them.configure("it", PoolOptions(base_url=there.url, max_connections=2, headers={"x-new": "1"}))
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert "x-new: 1" in there.heads[-1].lower()
        now = them.statistics("it")
        assert (now.active, now.in_use, now.idle, now.requests) == (2, 1, 1, 3)
        there.gate.set()
        assert [(await each).text for each in (old, waits)] == ["hello", "hello"]
        assert "x-new" not in there.heads[-1].lower()
        now = them.statistics("it")
        assert (now.completed, now.connections, now.opened) == (3, 1, 2)
        await there.until(lambda: there.open == 1)
        assert balanced(them)


async def test_a_pool_that_is_removed_finishes_what_it_has_begun() -> None:
    """Its idle connections are closed at once, the others when they are done."""
    async with scene() as (there, them):
        await them.request("it", "GET", "/ok")
        async with them.stream("it", "GET", "/chunks") as answer:
            extra = asyncio.ensure_future(them.request("it", "GET", "/gate"))
            await there.until(lambda: there.seen["/gate"] == 1)
            them.remove("it")
            with pytest.raises(NoSuchPool):
                await them.request("it", "GET", "/ok")
            there.gate.set()
            assert await answer.aread() == b"part" * 3
            assert (await extra).text == "hello"
        await there.until(lambda: there.open == 0)
        assert them.pools() == {}


async def test_configuring_and_removing_again_and_again_under_load_loses_nothing() -> None:
    """Every request is answered, and nothing stays open."""
    async with scene() as (there, them):
        answers: list[str] = []

        async def ask() -> None:
            for _ in range(20):
                answer = await them.request("it", "GET", "/ok")
                answers.append(answer.text)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask()) for _ in range(10)]
            while not all(task.done() for task in tasks):
                await them.configure("it", PoolOptions(base_url=there.url, max_connections=3))
        assert answers == ["hello"] * 200
        assert balanced(them)
        assert them.statistics("it").completed == 200
        them.remove("it")
        await there.until(lambda: there.open == 0)


async def test_a_new_pool_of_a_removed_id_counts_from_the_start() -> None:
    """It is another one."""
    async with scene() as (there, them):
        await them.request("it", "GET", "/ok")
        them.remove("it")
        await them.configure("it", PoolOptions(base_url=there.url))
        assert them.statistics("it").requests == 0


async def test_two_runtimes_have_managers_of_the_same_name() -> None:
    """Nothing is shared but the interpreter."""
    from mabeam import Runtime

    async with site() as there:
        spec = ConnectionManager.child_spec(pools={"it": PoolOptions(base_url=there.url)}).named("c")
        them = ConnectionManager.at("c")
        await Supervisor.start_link([spec], strategy="one_for_one")
        await them.request("it", "GET", "/ok")
        async with Runtime():
            with pytest.raises(NoSuchProcess):
                them.statistics("it")
            await Supervisor.start_link([spec], strategy="one_for_one")
            assert them.statistics("it").requests == 0
        assert them.statistics("it").requests == 1
    async with connections() as others:
        assert others.pools() == {}
