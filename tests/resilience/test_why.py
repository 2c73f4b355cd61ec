"""``why`` of a process that waits within a policy: it says for what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mabeam import Backoff, Bulkhead, Cache, Hedge, RateLimiter, Retry, spawn, why
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def never(*_: object) -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise OSError("no")


def place_in_a_bulkhead() -> Callable[[], Awaitable[object]]:
    return Bulkhead(max_concurrent=1, max_queue=1)(never)


def value_that_another_loads() -> Callable[[], Awaitable[object]]:
    cache: Cache[str, None] = Cache(max_entries=1, ttl=1.0)
    return lambda: cache.get_or_load("key", never)


def turn_of_a_rate_limiter() -> Callable[[], Awaitable[object]]:
    limiter = RateLimiter(limit=1, period=10.0)

    async def twice() -> None:
        await limiter.acquire()
        await limiter.acquire()

    return twice


def next_attempt() -> Callable[[], Awaitable[object]]:
    return Retry(backoff=Backoff(first=10.0))(fails)


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (place_in_a_bulkhead, "bulkhead"),
        (value_that_another_loads, "cache_load"),
        (turn_of_a_rate_limiter, "timer"),
        (next_attempt, "timer"),
    ],
)
async def test_what_a_policy_waits_for(
    begin: Callable[[], Callable[[], Awaitable[object]]], kind: str
) -> None:
    call = begin()

    async def body() -> None:
        await call()

    spawn(body)
    await wait_until_idle()
    pid = spawn(body)
    await wait_until_idle()
    assert [cause.kind for cause in why(pid).chain] == [kind]


async def test_a_hedge_waits_for_the_first_of_its_attempts() -> None:
    async def body() -> None:
        await Hedge(delay=1.0).call(never)

    pid = spawn(body)
    await wait_until_idle()
    assert [cause.kind for cause in why(pid).chain] == ["task", "outside_lock"]
