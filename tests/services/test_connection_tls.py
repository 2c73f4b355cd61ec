"""TLS and HTTP/2."""

from __future__ import annotations

import asyncio
import atexit
import tempfile
from pathlib import Path

import httpx
import pytest

from mabeam.services import PoolOptions, TlsOptions
from tests.services._http import site
from tests.services._http2 import AUTHORITY, server_tls, site2
from tests.services._http_scenes import balanced, connections

pytestmark = pytest.mark.real_time

_FOLDER = tempfile.TemporaryDirectory()
atexit.register(_FOLDER.cleanup)
_CA = Path(_FOLDER.name) / "ca.pem"
AUTHORITY.cert_pem.write_to_path(_CA)
_ME = Path(_FOLDER.name) / "me.pem"
AUTHORITY.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(_ME)
TRUSTED = TlsOptions(ca_file=_CA)


async def test_a_server_that_nobody_vouches_for_is_refused() -> None:
    """Unless its authority is trusted, or it is not verified at all."""
    async with site(server_tls()) as there:
        pools = {
            "usual": PoolOptions(base_url=there.url),
            "lazy": PoolOptions(),
            "own": PoolOptions(base_url=there.url, tls=TRUSTED),
            "blind": PoolOptions(base_url=there.url, tls=TlsOptions(verify=False)),
        }
        async with connections(pools) as them:
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await them.request("usual", "GET", "/ok")
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await them.request("lazy", "GET", f"{there.url}/ok")
            assert there.seen.total() == 0
            assert (await them.request("own", "GET", "/ok")).text == "hello"
            assert (await them.request("blind", "GET", "/ok")).text == "hello"
            assert all(balanced(them, name) for name in pools)


async def test_the_certificate_must_name_the_host() -> None:
    """It names 127.0.0.1 and localhost."""
    async with site(server_tls()) as there, connections(it=PoolOptions(tls=TRUSTED)) as them:
        assert (await them.request("it", "GET", f"https://localhost:{there.port}/ok")).text == "hello"
        with pytest.raises(httpx.ConnectError, match=r"(?i)mismatch|not match|hostname"):
            await them.request(
                "it", "GET", f"https://127.0.0.1:{there.port}/ok", extensions={"sni_hostname": "other"}
            )


async def test_a_client_shows_its_certificate() -> None:
    """To a server that asks for one; without it, it is turned away."""
    async with site(server_tls(asks_clients=True)) as there:
        mine = TlsOptions(ca_file=_CA, certificate_file=_ME)
        pools = {
            "mine": PoolOptions(base_url=there.url, tls=mine),
            "none": PoolOptions(base_url=there.url, tls=TRUSTED),
        }
        async with connections(pools) as them:
            assert (await them.request("mine", "GET", "/ok")).text == "hello"
            with pytest.raises(httpx.TransportError):
                await them.request("none", "GET", "/ok")
            assert there.seen["/ok"] == 1


async def test_many_requests_share_an_http2_connection() -> None:
    """And are answered in any order."""
    async with (
        site2() as there,
        connections(it=PoolOptions(base_url=there.url, http2=True, tls=TRUSTED)) as them,
    ):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(them.request("it", "GET", "/gate")) for _ in range(50)]
            await there.until(lambda: there.seen.count("/gate") == 50)
            now = them.statistics("it")
            assert (now.active, now.connections, now.in_use) == (50, 1, 1)
            there.let_go()
        assert {task.result().http_version for task in tasks} == {"HTTP/2"}
        assert (there.accepted, them.statistics("it").completed) == (1, 50)
        assert balanced(them)


async def test_the_limit_of_requests_on_a_shared_connection_opens_another() -> None:
    """A hundred on each; the rest waits."""
    options = PoolOptions(http2=True, tls=TRUSTED, max_connections=2)
    async with site2() as there, connections(it=options) as them:
        async with asyncio.TaskGroup() as group:
            for _ in range(250):
                group.create_task(them.request("it", "GET", f"{there.url}/gate"))
            await there.until(lambda: len(there.seen) == 200)
            now = them.statistics("it")
            assert now.waiting == 50
            assert (now.connections, there.accepted) == (2, 2)
            while them.statistics("it").completed < 250:
                there.let_go()
                await asyncio.wait([asyncio.ensure_future(_turn())])
        assert balanced(them)


async def test_nobody_is_refused_while_there_may_be_another_connection() -> None:
    """Waiting for a handshake, in case its connection can be shared, is a courtesy; with no room to wait it is not kept."""
    options = PoolOptions(http2=True, tls=TRUSTED, max_connections=3, max_waiting=1)
    async with site2() as there, connections(it=options) as them:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(them.request("it", "GET", f"{there.url}/ok")) for _ in range(4)]
        assert {task.result().status_code for task in tasks} == {200}
        assert there.accepted == 3
        assert them.statistics("it").refused == 0
        assert balanced(them)


async def _turn() -> None:
    return


async def test_http2_is_not_forced_on_a_server_that_does_not_speak_it() -> None:
    """It gets HTTP/1.1, and as many connections as need be."""
    async with (
        site(server_tls()) as there,
        connections(it=PoolOptions(base_url=there.url, http2=True, tls=TRUSTED, max_connections=4)) as them,
    ):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(them.request("it", "GET", "/ok")) for _ in range(20)]
        assert {task.result().http_version for task in tasks} == {"HTTP/1.1"}
        assert there.most_open <= 4
        assert balanced(them)


async def test_an_answer_that_is_dropped_halfway_retires_its_connection() -> None:
    """HTTP/2 goes on sending; the others on it are served, then it is closed."""
    async with (
        site2() as there,
        connections(it=PoolOptions(base_url=there.url, http2=True, tls=TRUSTED)) as them,
    ):
        other = asyncio.ensure_future(them.request("it", "GET", "/gate"))
        await there.until(lambda: there.seen == ["/gate"])
        async with them.stream("it", "GET", "/half") as answer:
            async for part in answer.aiter_raw():
                assert part == b"half"
                break
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert (there.accepted, len(there.open)) == (2, 2)
        there.let_go()
        assert (await other).text == "hello"
        await there.until(lambda: len(there.open) == 1)
        assert balanced(them)


async def test_requests_that_a_closing_server_has_not_looked_at_are_sent_again() -> None:
    """On another connection: GOAWAY says which those are."""
    async with (
        site2() as there,
        connections(it=PoolOptions(base_url=there.url, http2=True, tls=TRUSTED)) as them,
    ):
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        there.go_away()
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert there.accepted == 2
        assert balanced(them)
