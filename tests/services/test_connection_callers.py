"""Callers that are cancelled, crash, or are killed: nothing stays checked out, wherever it happens."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mabeam import Backoff, GenServer, Retry, handle_call, kill, why
from mabeam.kernel import Exited, in_thread, send_exit, spawn
from mabeam.services import ConnectionManager, Connections, PoolOptions
from mabeam.testing import wait_until_idle
from tests.services._http import site
from tests.services._http2 import server_tls, site2
from tests.services._http_scenes import balanced, connections, in_process, scene, turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.services import Connections as Them

pytestmark = pytest.mark.real_time


async def _whole(them: Them) -> None:
    await them.request("it", "GET", "/gate")


async def _streaming(them: Them) -> None:
    async with them.stream("it", "GET", "/chunks") as answer:
        async for _ in answer.aiter_raw():
            pass


async def _holding(them: Them) -> None:
    async with them.stream("it", "GET", "/chunks"):
        await asyncio.get_running_loop().create_future()


async def _by_client(them: Them) -> None:
    async with them.client("it") as client:
        await client.get("/gate")


WAYS = [_whole, _streaming, _holding, _by_client]


@pytest.mark.parametrize("ends", [kill, lambda pid: send_exit(pid, Exited("enough"))], ids=["kill", "exit"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_that_dies_leaves_nothing_checked_out(
    way: Callable[[Them], Awaitable[None]], ends: Callable[[Any], None]
) -> None:
    """In the step in which it is dead; the socket is closed, and those who wait go on."""
    async with scene(max_connections=1) as (there, them):
        pid = in_process(lambda: way(them))
        await there.until(lambda: there.seen.total() == 1)
        while them.statistics("it").received_bytes == 0 and way in {_streaming, _holding}:
            await turns()
        await turns()
        waiting = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        await turns(3)
        assert them.statistics("it").in_use == 1
        ends(pid)
        assert (await waiting).text == "hello"
        assert not pid.is_alive
        assert balanced(them)
        assert them.statistics("it").abandoned == 1
        await there.until(lambda: there.open == 1)


async def test_what_a_caller_without_a_connection_waits_for() -> None:
    async with scene(max_connections=1) as (there, them):
        first = in_process(lambda: _whole(them))
        await there.until(lambda: there.seen.total() == 1)
        second = in_process(lambda: _whole(them))
        await turns(5)
        assert why(second).root.kind == "connection"
        assert why(first).root.kind == "socket"
        for pid in (second, first):
            kill(pid)


async def test_a_thousand_callers_that_are_killed_at_any_moment_leave_nothing() -> None:
    """While they wait, connect, send, read; the books agree, and the pool works as before."""
    policy = Retry(attempts=3, on=httpx.TransportError, backoff=Backoff(first=0.001))
    async with scene(max_connections=5, policy=policy) as (there, them):
        there.gate.set()
        for number in range(1_000):
            path = ("/ok", "/chunks", "/reset", "/half", "/close")[number % 5]
            pid = in_process(lambda path=path: _shrug(them, path))  # type: ignore[misc]  # mypy cannot type it
            await turns(number % 23)
            kill(pid)
        while not balanced(them):
            await turns()
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert them.statistics("it").connections <= 5


async def _shrug(them: Them, path: str) -> None:
    try:
        await them.request("it", "GET", path)
    except httpx.TransportError:
        pass


async def test_a_thousand_cancelled_requests_leave_nothing() -> None:
    """At each turn of the loop that a request takes."""
    async with scene(max_connections=3) as (there, them):
        there.gate.set()
        for number in range(1_000):
            path = ("/ok", "/chunks")[number % 2]
            task = asyncio.ensure_future(them.request("it", "GET", path))
            await turns(number % 29)
            task.cancel()
            await asyncio.wait([task])
        assert balanced(them)
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        now = them.statistics("it")
        assert now.completed + now.abandoned == now.attempts


async def test_one_that_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    """Nor does one that gets its connection at that moment."""
    async with scene(max_connections=1) as (there, them):
        first = asyncio.ensure_future(them.request("it", "GET", "/gate"))
        await there.until(lambda: there.seen["/gate"] == 1)
        second = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        third = asyncio.ensure_future(them.request("it", "GET", "/ok"))
        await turns()
        there.gate.set()
        while not first.done():
            await turns(1)
        second.cancel()
        assert (await third).text == "hello"
        await asyncio.wait([second])
        assert balanced(them)


async def test_one_that_is_killed_while_connecting_leaves_no_socket() -> None:
    """A server that never finishes the TLS handshake."""
    accepted = asyncio.Event()
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        accepted.set()
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for end in (kill, None):
        accepted.clear()
        gone.clear()
        async with connections(it=PoolOptions(max_connections=1)) as them:
            if end is None:
                with pytest.raises(httpx.ConnectTimeout):
                    await them.client("it", timeout=0.05).get(url)
            else:
                pid = in_process(lambda them=them: them.request("it", "GET", url))  # type: ignore[misc]  # as above
                await accepted.wait()
                assert them.statistics("it").in_use == 1
                end(pid)
            await gone.wait()
            assert balanced(them)
            assert them.statistics("it").connections == 0
    server.close()
    await turns()


class Holder(GenServer):
    """Keeps an answer that nobody reads."""

    def __init__(self, them: Connections) -> None:
        self.client = them.client("it")

    @handle_call
    async def hold(self) -> int:
        request = self.client.build_request("GET", "/chunks")
        self.answer = await self.client.send(request, stream=True)
        return self.answer.status_code

    @handle_call
    def crash(self) -> None:
        raise ValueError


@pytest.mark.parametrize("how", ["crash", "kill", "stop"])
async def test_an_answer_that_a_server_keeps_goes_with_it(how: str) -> None:
    """Though no code of it runs that could close it."""
    async with scene(max_connections=1) as (there, them):
        holder = await Holder.child_spec(them).start()
        assert await holder.call(Holder.hold) == 200
        assert them.statistics("it").in_use == 1
        if how == "kill":
            kill(holder)
        elif how == "stop":
            await holder.stop()
        else:
            with pytest.raises(Exception, match="ValueError"):
                await holder.call(Holder.crash)
        await wait_until_idle()
        assert balanced(them)
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert there.accepted == 2


@pytest.mark.parametrize("read", ["nothing", "a part", "from a thread"])
async def test_an_answer_that_is_forgotten_gives_its_connection_back(read: str) -> None:
    """Its process lives on; without this it would have the connection as long as that."""
    async with scene(max_connections=1) as (there, them):
        client = them.client("it")

        async def forget() -> list[httpx.Response]:
            answer = await client.send(client.build_request("GET", "/chunks"), stream=True)
            if read == "a part":
                async for _ in answer.aiter_bytes():
                    break
            return [answer]

        held = await forget()
        assert them.statistics("it").in_use == 1
        if read == "from a thread":
            await in_thread(held.clear)
        held.clear()
        gc.collect()
        await turns()
        assert balanced(them)
        assert them.statistics("it").abandoned == 1
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert there.accepted == 2


async def test_on_a_shared_connection_a_caller_that_is_killed_harms_no_other() -> None:
    """Many requests on one HTTP/2 connection; half of their processes are killed while they read."""
    from tests.services.test_connection_tls import TRUSTED

    async with (
        site2() as there,
        connections(it=PoolOptions(base_url=there.url, http2=True, tls=TRUSTED)) as them,
    ):
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await them.request("it", "GET", "/gate")).text)

        assert (await them.request("it", "GET", "/ok")).text == "hello"
        pids = [in_process(ask) for _ in range(40)]
        await there.until(lambda: there.seen.count("/gate") == 40)
        assert there.accepted == 1
        for pid in pids[::2]:
            kill(pid)
        await wait_until_idle()
        there.let_go()
        async with asyncio.timeout(10):
            while len(answers) < 20:
                await turns()
        assert answers == ["hello"] * 20
        assert balanced(them)
        assert them.statistics("it").abandoned == 20
        # What was dropped would still be coming in: nothing more is sent on that connection.
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert them.statistics("it").opened == 2
        await there.until(lambda: len(there.open) == 1)


async def test_requests_of_tasks_belong_to_the_process_that_made_the_tasks() -> None:
    """A library that makes tasks makes them on behalf of somebody."""
    async with scene() as (there, them):

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(them.request("it", "GET", "/gate"))
                group.create_task(them.request("it", "GET", "/gate"))

        pid = in_process(both)
        await there.until(lambda: there.seen["/gate"] == 2)
        kill(pid)
        while not balanced(them):
            await turns()
        assert them.statistics("it").abandoned == 2


async def test_a_caller_in_a_plain_function_of_tls_is_no_exception() -> None:
    """TLS connections are let go of in the same step."""
    from tests.services.test_connection_tls import TRUSTED

    async with (
        site(server_tls()) as there,
        connections(it=PoolOptions(base_url=there.url, tls=TRUSTED, max_connections=1)) as them,
    ):

        async def stream() -> None:
            await _streaming(them)

        pid = spawn(stream)
        await there.until(lambda: there.seen["/chunks"] == 1)
        kill(pid)
        while not balanced(them):
            await turns()
        assert (await them.request("it", "GET", "/ok")).text == "hello"


def test_the_handle_is_for_processes() -> None:
    """Outside of a Runtime there is nobody whom a request could belong to."""
    with pytest.raises(ValueError, match="running process"):
        ConnectionManager.at("c").pools()


@pytest.mark.parametrize("kind", ["AsyncHTTP11Connection", "AsyncHTTP2Connection"])
def test_httpcore_has_the_lock_that_is_replaced(kind: str) -> None:
    """A version that calls it otherwise would make killed callers hold up others."""
    import httpcore

    made = getattr(httpcore, kind)(origin=httpcore.Origin(b"http", b"h", 80), stream=None)
    assert hasattr(made, "_state_lock")


def test_httpcore_has_the_parser_that_is_looked_into() -> None:
    """A version that calls it otherwise would let an answer that nobody asked for become that to another request."""
    import httpcore

    made: Any = httpcore.AsyncHTTP11Connection(
        origin=httpcore.Origin(b"http", b"h", 80), stream=httpcore.AsyncMockStream([])
    )
    assert made._h11_state.trailing_data[0] == b""
