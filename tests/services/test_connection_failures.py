"""What servers do wrong, and what becomes of it; policies around requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from mabeam import (
    Backoff,
    CircuitBreaker,
    CircuitOpen,
    Fallback,
    Hedge,
    Pipeline,
    Retry,
    TimeLimit,
    TimeLimitExceeded,
    UsageError,
)
from mabeam.services import PoolOptions
from tests.services._http import site
from tests.services._http_scenes import balanced, connections, in_process, scene, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.real_time

QUICK = Backoff(first=0.001)


def _busy(response: httpx.Response) -> bool:
    return response.status_code == 503


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/reset", httpx.RemoteProtocolError), ("/half", httpx.RemoteProtocolError)],
)
async def test_a_server_that_breaks_off_is_told_as_httpx_tells_it(path: str, kind: type[Exception]) -> None:
    """And the next request gets another connection."""
    async with scene() as (there, them):
        with pytest.raises(kind):
            await them.request("it", "GET", path)
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        now = them.statistics("it")
        assert (now.failures, now.completed, now.opened, there.accepted) == (1, 1, 2, 2)
        assert balanced(them)


async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """A second answer in the piece that ends the first one must not become that to the next request."""
    async with scene() as (there, them):
        assert (await them.request("it", "GET", "/twice")).text == "hello"
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        async with them.stream("it", "GET", "/twice") as answer:
            assert await answer.aread() == b"hello"
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert (them.statistics("it").completed, there.accepted) == (4, 3)
        assert balanced(them)


async def test_a_server_that_is_not_there_is_told() -> None:
    """Nothing is left of the attempt."""
    async with site() as there:
        url = there.url
    async with connections(it=PoolOptions(base_url=url)) as them:
        with pytest.raises(httpx.ConnectError):
            await them.request("it", "GET", "/")
        with pytest.raises(httpx.UnsupportedProtocol):
            await them.request("it", "GET", "ftp://127.0.0.1/")
        assert (them.statistics("it").failures, them.statistics("it").connections) == (2, 0)


async def test_a_server_that_never_answers_is_given_up_after_the_read_timeout() -> None:
    """Its connection is closed."""
    async with scene(read_timeout=0.02) as (there, them):
        with pytest.raises(httpx.ReadTimeout):
            await them.request("it", "GET", "/never")
        assert balanced(them)
        await there.until(lambda: not there.open)


async def test_a_server_that_takes_nothing_is_given_up_after_the_write_timeout() -> None:
    """It stops reading, and the buffers on the way are full."""
    gate = asyncio.Event()

    async def takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport
        await gate.wait()
        writer.transport.abort()

    server = await asyncio.start_server(takes_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connections(it=PoolOptions(write_timeout=0.05)) as them:
        with pytest.raises(httpx.TransportError):
            await them.request(
                "it", "POST", f"http://127.0.0.1:{port}/", content=b"x" * 50_000_000, timeout=0.05
            )
        assert balanced(them)
    gate.set()
    server.close()
    await turns()


async def test_one_server_that_never_answers_does_not_disturb_those_who_ask_others() -> None:
    """A thousand callers hang in one pool; the other, its counts, and the configuring of a third go on at once."""
    async with site() as hangs, site() as there:
        pools = {
            # Nobody is to give up by itself, however slow the machine is.
            "hangs": PoolOptions(
                base_url=hangs.url, max_connections=10, pool_timeout=None, read_timeout=None
            ),
            "fine": PoolOptions(base_url=there.url, max_connections=1),
        }
        async with connections(pools) as them:
            waiting = [in_process(lambda: them.request("hangs", "GET", "/never")) for _ in range(1_000)]
            await hangs.until(lambda: hangs.seen["/never"] == 10)
            async with asyncio.timeout(60):
                for _ in range(50):
                    assert (await them.request("fine", "GET", "/ok")).text == "hello"
                await them.configure("third", PoolOptions(base_url=there.url))
                assert (await them.request("third", "GET", "/ok")).text == "hello"
            assert (them.statistics("hangs").active, them.statistics("fine").in_use) == (1_000, 0)
            from mabeam import kill

            for each in waiting:
                kill(each)
            while not balanced(them, "hangs"):
                await turns()
            assert them.statistics("hangs").abandoned == 1_000


async def test_503_is_tried_again_as_late_as_it_asks() -> None:
    """Retry-After is honoured by Retry; the connection is free meanwhile, and used again."""
    delays: list[float] = []

    def noted(failure: object) -> float | None:
        from mabeam import retry_after_of

        asked = retry_after_of(failure)
        assert asked is not None
        delays.append(asked)
        return 0.0

    policy = Retry(attempts=4, on_result=_busy, retry_after=noted, backoff=QUICK)
    async with scene(policy=policy, max_connections=1) as (there, them):
        there.failures, there.retry_after = 3, "7"
        answer = await them.request("it", "GET", "/flaky")
        assert (answer.status_code, answer.text) == (200, "hello")
        assert delays == [7.0, 7.0, 7.0]
        now = them.statistics("it")
        assert (now.requests, now.attempts, now.opened) == (1, 4, 1)


async def test_503_waits_for_the_real_time_that_it_asks() -> None:
    """A second, here."""
    async with scene(policy=Retry(attempts=2, on_result=_busy, backoff=QUICK)) as (there, them):
        there.failures, there.retry_after = 1, "1"
        answer = await them.request("it", "GET", "/flaky")
        assert answer.status_code == 200
        assert 1.0 <= answer.elapsed.total_seconds() < 5.0


@pytest.mark.parametrize("path", ["/flaky", "/flaky-chunks"])
async def test_a_streamed_answer_that_is_tried_again_gives_its_connection_back_first(path: str) -> None:
    """One connection is enough, though the first answer was never read to its end."""
    policy = Retry(attempts=3, on_result=_busy, backoff=QUICK)
    async with scene(policy=policy, max_connections=1, pool_timeout=5.0) as (there, them):
        there.failures = 2
        async with them.stream("it", "GET", path) as answer:
            assert await answer.aread() == b"hello"
        assert them.statistics("it").attempts == 3
        assert balanced(them)


async def test_the_last_answer_is_the_callers_even_if_it_is_a_failure() -> None:
    """With its body."""
    policy = Retry(attempts=2, on_result=_busy, backoff=QUICK)
    async with scene(policy=policy) as (there, them):
        there.failures = 9
        answer = await them.request("it", "GET", "/flaky")
        assert (answer.status_code, answer.text) == (503, "busy")
        async with them.stream("it", "GET", "/flaky") as answer:
            assert await answer.aread() == b"busy"
        assert balanced(them)


async def test_a_reset_in_the_middle_of_a_body_is_a_failure_to_the_policy() -> None:
    """It sees answers with their bodies, unless they are streamed."""
    policy = Retry(attempts=3, on=httpx.TransportError, backoff=QUICK)
    async with scene(policy=policy) as (there, them):
        with pytest.raises(httpx.RemoteProtocolError):
            await them.request("it", "GET", "/half")
        assert there.seen["/half"] == 3
        assert them.statistics("it").failures == 3


async def test_a_body_that_is_a_stream_is_not_sent_twice() -> None:
    """The error says so, and why it was tried again."""

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with scene(policy=Retry(attempts=3, backoff=QUICK)) as (there, them):
        with pytest.raises(UsageError, match="read once only"):
            await them.request("it", "POST", "/reset", content=body())
        assert there.seen["/reset"] == 1
        assert balanced(them)
    async with scene() as (there, them):
        assert (await them.request("it", "POST", "/ok", content=body())).text == "hello"
        assert b"once" in there.bodies[0]


async def test_a_breaker_in_the_policy_opens_and_refuses() -> None:
    """The refused request takes no connection."""
    breaker = CircuitBreaker("it", consecutive_failures=2)
    async with scene(policy=Pipeline(breaker)) as (there, them):
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await them.request("it", "GET", "/reset")
        with pytest.raises(CircuitOpen):
            await them.request("it", "GET", "/ok")
        now = them.statistics("it")
        assert (now.requests, now.attempts, there.seen["/ok"]) == (3, 2, 0)


async def test_a_time_limit_in_the_policy_leaves_no_connection() -> None:
    """It covers the body as well, where that is not streamed."""
    async with scene(policy=TimeLimit(0.02)) as (there, them):
        for path in ("/never", "/chunks"):
            with pytest.raises(TimeLimitExceeded):
                await them.request("it", "GET", path)
        assert balanced(them)
        await there.until(lambda: not there.open)


async def test_a_fallback_answers_without_a_connection() -> None:
    """With a response; anything else is a mistake that is told."""
    async with scene(policy=Fallback(value=httpx.Response(204))) as (_, them):
        assert (await them.request("it", "GET", "/reset")).status_code == 204
        assert balanced(them)
    async with scene(policy=Fallback(value="later")) as (_, them):
        with pytest.raises(UsageError, match=r"expects to end in an httpx\.Response, and answered 'later'"):
            await them.request("it", "GET", "/reset")
        assert balanced(them)


async def test_of_hedged_attempts_only_the_winner_keeps_its_connection() -> None:
    """The others are cancelled; the answer is the caller's until it is read."""
    async with scene(policy=Hedge(delay=0.02, attempts=2)) as (there, them):

        async def first_hangs() -> None:
            await there.until(lambda: there.seen["/gate"] == 2)
            there.gate.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(first_hangs())
            async with them.stream("it", "GET", "/gate") as answer:
                assert them.statistics("it").in_use == 1
                assert await answer.aread() == b"hello"
        now = them.statistics("it")
        assert (now.attempts, now.completed, now.abandoned) == (2, 1, 1)
        assert balanced(them)
