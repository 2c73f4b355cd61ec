"""``client(id)``: what a model SDK is given. And the events of all requests."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from mabeam import PoolUnavailable, Retry, UsageError, kill
from mabeam.services import ConnectionManager, PoolOptions
from mabeam.telemetry import CATALOGUE, current_bus
from tests.services._http import site
from tests.services._http_scenes import balanced, connections, in_process, scene, turns

pytestmark = pytest.mark.real_time


async def test_it_is_a_client_of_httpx_whose_requests_go_through_the_pool() -> None:
    """Limits, policy, counts, base URL and headers are the pool's."""
    policy = Retry(attempts=3, on_result=lambda answer: answer.status_code == 503)
    async with scene(max_connections=1, policy=policy, headers={"authorization": "Bearer x"}) as (
        there,
        them,
    ):
        client = them.client("it")
        assert isinstance(client, httpx.AsyncClient)
        there.failures = 2
        assert (await client.get("/flaky")).text == "hello"
        request = client.build_request("POST", "/ok", json={"stream": True})
        answer = await client.send(request, stream=True)  # as SDKs do
        assert [part async for part in answer.aiter_text()] == ["hello"]
        await answer.aclose()
        assert "authorization: bearer x" in there.heads[-1].lower()
        now = them.statistics("it")
        assert (now.requests, now.attempts, now.completed, now.opened) == (2, 4, 4, 1)
        assert balanced(them)


async def test_closing_it_leaves_the_pool_open() -> None:
    """Others use that."""
    async with scene() as (there, them):
        async with them.client("it") as client:
            await client.get("/ok")
        assert them.statistics("it").idle == 1
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert there.accepted == 1


async def test_cookies_are_those_of_one_client_and_never_shared() -> None:
    """Two callers of request() are strangers to each other."""
    async with scene() as (there, them):
        client = them.client("it")
        await client.get("/cookie")
        await client.get("/ok")
        assert "cookie: who=ann" in there.heads[-1].lower()
        await them.client("it").get("/ok")
        assert "who=ann" not in there.heads[-1]
        await them.request("it", "GET", "/cookie")
        await them.request("it", "GET", "/ok")
        assert "who=ann" not in there.heads[-1]


async def test_redirects_are_followed_if_the_pool_says_so() -> None:
    """Each is a request of its own."""
    async with scene(follow_redirects=True) as (there, them):
        assert (await them.request("it", "GET", "/there")).text == "hello"
        assert there.seen["/here"] == 1
        assert them.statistics("it").requests == 2
    async with scene() as (_, them):
        assert (await them.request("it", "GET", "/there")).status_code == 302


async def test_its_settings_can_be_its_own_but_not_those_that_the_pool_decides() -> None:
    """It would go past the pool."""
    async with scene() as (there, them), site() as other:
        client = them.client("it", base_url=other.url, timeout=0.02)
        assert (await client.get("/ok")).text == "hello"
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/never")
        assert there.seen.total() == 0
        with pytest.raises(UsageError, match="limits, verify, which the pool decides"):
            them.client("it", verify=False, limits=httpx.Limits())


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pool does follows from its settings alone."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with scene() as (_, them):
        assert (await them.client("it").get("/ok")).text == "hello"


async def test_an_event_tells_of_each_request_what_became_of_it() -> None:
    """Once, when it is over; and of pools."""
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    bus = current_bus.get()
    assert bus is not None
    attached = bus.attach(
        lambda event, numbers, more: seen.append((event, dict(numbers), dict(more))),
        events=[event for event in CATALOGUE if event.startswith("connections.")],
    )
    async with scene() as (there, them):
        await them.request("it", "GET", "/ok")
        with pytest.raises(httpx.RemoteProtocolError):
            await them.request("it", "GET", "/reset")
        async with them.stream("it", "BREW", "/chunks"):
            pass
        with pytest.raises(httpx.RemoteProtocolError):
            async with them.stream("it", "GET", "/half") as answer:
                await answer.aread()
        pid = in_process(lambda: them.request("it", "PUT", "/never"))
        await there.until(lambda: there.seen["/never"] == 1)
        kill(pid)
        task = asyncio.ensure_future(them.request("it", "GET", "/never"))
        await there.until(lambda: there.seen["/never"] == 2)
        task.cancel()
        await asyncio.wait([task])
        await turns()
        assert balanced(them)
        await them.configure("it", PoolOptions())
        them.remove("it")
    assert [
        (event, more.get("method"), more.get("outcome", more.get("replaced"))) for event, _, more in seen
    ] == [
        ("connections.pool_configured", None, False),
        ("connections.request_finished", "GET", "200"),
        ("connections.request_finished", "GET", "RemoteProtocolError"),
        ("connections.request_finished", "other", "abandoned"),
        ("connections.request_finished", "GET", "broken"),
        ("connections.request_finished", "PUT", "cancelled"),
        ("connections.request_finished", "GET", "cancelled"),
        ("connections.pool_configured", None, True),
        ("connections.pool_removed", None, None),
        ("connections.drained", None, None),
    ]
    assert all(numbers.get("attempts", 1) == 1 and numbers.get("duration", 0) >= 0 for _, numbers, _ in seen)
    attached.detach()


async def test_a_request_that_is_refused_while_it_waits_to_be_tried_again_is_over() -> None:
    """Its manager was stopped meanwhile."""
    policy = Retry(attempts=3, on_result=lambda answer: answer.status_code == 503, retry_after=lambda _: 0.05)
    async with site() as there:
        spec = ConnectionManager.child_spec(
            pools={"it": PoolOptions(base_url=there.url, policy=policy)}, drain_seconds=0.01
        )
        manager = await spec.start()
        them = ConnectionManager.at(manager)
        there.failures = 9
        task = asyncio.ensure_future(them.request("it", "GET", "/flaky"))
        await there.until(lambda: there.seen["/flaky"] == 1)
        await manager.stop()
        with pytest.raises(PoolUnavailable):
            await task
    async with connections() as others:
        assert others.pools() == {}
