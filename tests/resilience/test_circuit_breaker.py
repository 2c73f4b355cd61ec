"""The circuit breaker as a program meets it: calls, decorators, blocks, errors, events."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import pickle
from typing import Any

import pytest

from mabeam import Backoff, CircuitBreaker, CircuitOpen, Policy, RejectedError, UsageError
from tests.resilience._tools import Hand, Heard


async def ok(value: object = "fine") -> object:
    return value


async def bad() -> None:
    raise ConnectionError("down")


def plain_bad() -> None:
    raise ConnectionError("down")


async def _open(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await breaker.call(bad)


async def test_it_opens_refuses_probes_and_closes() -> None:
    """The whole circle, with the words that status and errors use for it."""
    clock = Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=2, open_seconds=30.0, clock=clock)
    assert await breaker.call(ok, 5) == 5
    await _open(breaker, 2)
    assert breaker.state == "open"
    clock.now += 10
    ran: list[int] = []

    async def run() -> None:
        ran.append(1)

    with pytest.raises(CircuitOpen) as raised:
        await breaker.call(run)
    assert (raised.value.breaker, raised.value.state, raised.value.retry_after) == ("pay", "open", 20.0)
    assert isinstance(raised.value, RejectedError)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert ran == []
    clock.now += 20
    assert breaker.state == "open"  # until a probe is let through
    seen: list[str] = []

    async def look() -> None:
        seen.append(breaker.state)
        with pytest.raises(CircuitOpen, match="half_open") as refused:
            await breaker.call(ok)
        assert refused.value.retry_after is None

    await breaker.call(look)
    assert (seen, breaker.state) == (["half_open"], "closed")
    statistics = breaker.statistics()
    assert (statistics.succeeded, statistics.failed, statistics.rejected) == (2, 2, 2)
    assert (statistics.transitions, statistics.failures_in_row, statistics.retry_after) == (3, 0, 0.0)


def test_the_same_breaker_serves_plain_functions() -> None:
    clock = Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=1, clock=clock)
    guarded = breaker(plain_bad)
    with pytest.raises(ConnectionError):
        guarded()
    with pytest.raises(CircuitOpen):
        breaker.call_sync(lambda: 1)
    clock.now += 30
    assert breaker.call_sync(lambda value: value, 7) == 7
    assert breaker.state == "closed"


async def test_the_decorator_keeps_what_the_function_is() -> None:
    breaker = CircuitBreaker("pay")

    class Client:
        @breaker
        async def fetch(self, number: int, *, double: bool = False) -> int:
            """Fetch it."""
            return number * (2 if double else 1)

        @breaker
        def read(self, number: int) -> int:
            return number

    client = Client()
    assert await client.fetch(4, double=True) == 8
    assert client.read(3) == 3
    assert inspect.iscoroutinefunction(client.fetch)
    assert not inspect.iscoroutinefunction(client.read)
    assert (Client.fetch.__name__, Client.fetch.__doc__) == ("fetch", "Fetch it.")
    assert breaker.statistics().succeeded == 2
    assert isinstance(breaker, Policy)


async def test_a_decorated_function_goes_the_whole_circle() -> None:
    clock = Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=1, clock=clock)
    works = [False]

    @breaker
    async def fetch() -> str:
        if not works[0]:
            raise ConnectionError
        return "page"

    with pytest.raises(ConnectionError):
        await fetch()
    with pytest.raises(CircuitOpen):
        await fetch()
    clock.now += 30
    with pytest.raises(ConnectionError):
        await fetch()
    clock.now += 30
    works[0] = True
    assert await fetch() == "page"
    assert breaker.state == "closed"


async def test_what_is_not_a_plain_async_function_is_served_or_refused() -> None:
    """Wrappers and quick plain functions can be awaited; coroutines and generators cannot be put under a breaker."""
    breaker = CircuitBreaker("pay")
    assert await breaker.call(lambda: ok(1)) == 1
    assert await breaker.call(functools.partial(ok, 2)) == 2
    plain: Any = lambda: 3  # noqa: E731
    assert await breaker.call(plain) == 3
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(4)
    assert await breaker.call(lambda: future) == 4

    class Callable:
        async def __call__(self) -> int:
            return 5

    assert await breaker(Callable.__call__)(Callable()) == 5
    called: Any = ok()
    with pytest.raises(UsageError, match=r"policy.call\(fetch, url\)"):
        breaker(called)
    with pytest.raises(UsageError, match="expects a function"):
        breaker(5)  # type: ignore[type-var]  # what is refused

    def numbers() -> Any:
        yield 1

    async def anumbers() -> Any:
        yield 1

    for generator in (numbers, anumbers):
        with pytest.raises(UsageError, match="generator"):
            breaker(generator)


def test_a_coroutine_from_a_plain_function_is_refused_and_nothing_has_run() -> None:
    breaker = CircuitBreaker("pay")
    ran: list[int] = []

    async def run() -> None:
        ran.append(1)

    forgot: Any = lambda: run()  # noqa: E731
    with pytest.raises(UsageError, match="await policy\\.call"):
        breaker.call_sync(forgot)
    assert ran == []
    statistics = breaker.statistics()
    assert (statistics.succeeded, statistics.ignored) == (0, 1)


@pytest.mark.parametrize("timed", [False, True])
async def test_what_counts_is_decided_by_the_classifiers(timed: bool) -> None:  # noqa: FBT001
    def of_error(error: Exception) -> Any:
        return {"404": "ignore", "409": "success"}.get(str(error), "failure")

    def of_result(result: object) -> Any:
        return {503: "failure", 429: "ignore"}.get(result, "success")  # type: ignore[call-overload]  # any key

    rules: dict[str, Any] = {"slow_call_rate": 1.0, "slow_call_seconds": 9.0} if timed else {}
    breaker = CircuitBreaker(
        "http",
        classify_error=of_error,
        classify_result=of_result,
        clock=Hand(),
        consecutive_failures=9,
        **rules,
    )

    async def fail(word: str) -> None:
        raise LookupError(word)

    for word in ("404", "409", "500"):
        with pytest.raises(LookupError, match=word):
            await breaker.call(fail, word)
    for status in (503, 429, 200):
        assert await breaker.call(ok, status) == status
        assert breaker.call_sync(int, status) == status
        assert await breaker(ok)(status) == status
    statistics = breaker.statistics()
    assert (statistics.succeeded, statistics.failed, statistics.ignored) == (1 + 3, 1 + 3, 1 + 3)


async def test_refusals_of_policies_inside_say_nothing() -> None:
    """Open refusals are not failures: nothing was run."""
    inner = CircuitBreaker("inner", consecutive_failures=1)
    await _open(inner)
    outer = CircuitBreaker("outer", consecutive_failures=1)
    with pytest.raises(CircuitOpen):
        await outer.call(inner.call, ok)
    assert (outer.state, outer.statistics().ignored) == ("closed", 1)


async def test_a_classifier_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once; the calls are judged as without it."""

    def broken(_: object) -> Any:
        raise KeyError("mine")

    breaker = CircuitBreaker("http", classify_error=broken, classify_result=broken, consecutive_failures=9)
    with caplog.at_level(logging.ERROR):
        assert await breaker.call(ok) == "fine"
        await _open(breaker, 2)
    assert len(caplog.records) == 1
    assert "'http' raised" in caplog.text
    odd = CircuitBreaker("odd", classify_result=lambda _: "bad")  # type: ignore[arg-type, return-value]  # what is caught
    with caplog.at_level(logging.ERROR):
        await odd.call(ok)
    assert "returned 'bad'; expected 'success', 'failure' or 'ignore'" in caplog.text
    assert (breaker.statistics().failed, breaker.statistics().succeeded, odd.statistics().succeeded) == (
        2,
        1,
        1,
    )


async def test_slow_calls_open_it() -> None:
    clock = Hand()
    breaker = CircuitBreaker(
        "slow", slow_call_rate=1.0, slow_call_seconds=2.0, window_calls=2, minimum_calls=2, clock=clock
    )

    async def take(seconds: float) -> None:
        clock.now += seconds

    await breaker.call(take, 1.99)
    await breaker.call(take, 2.0)
    assert (breaker.state, breaker.statistics().slow) == ("closed", 1)
    await breaker(take)(5.0)
    assert (breaker.state, breaker.statistics().slow) == ("open", 2)
    clock.now += 30
    breaker.call_sync(lambda: None)
    assert breaker.state == "closed"


async def test_in_virtual_time_seconds_are_the_loops() -> None:
    """Without a clock of its own."""
    breaker = CircuitBreaker(
        "slow", slow_call_rate=0.5, slow_call_seconds=3.0, window_seconds=60, minimum_calls=1
    )
    loop = asyncio.get_running_loop()

    async def wait(seconds: float) -> None:
        done = loop.create_future()
        loop.call_later(seconds, done.set_result, None)
        await done

    await breaker.call(wait, 2.9)
    assert breaker.state == "closed"
    await breaker(wait)(3.1)
    assert repr(breaker) == "<CircuitBreaker 'slow' open, 2 succeeded, 0 failed, 0 rejected>"
    assert breaker.statistics().retry_after == 30.0
    await wait(30.0)
    await breaker.call(ok)
    assert breaker.state == "closed"


async def test_a_success_that_makes_a_rate_known_opens_it_for_the_full_time() -> None:
    """Also where nothing else has to be timed."""
    clock = Hand(5000.0)
    breaker = CircuitBreaker("rate", failure_rate=0.5, minimum_calls=2, clock=clock)
    await _open(breaker)
    await breaker.call(ok)
    assert breaker.state == "open"
    assert breaker.statistics().retry_after == 30.0


async def test_isolated_and_reset_by_hand() -> None:
    clock = Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=2, clock=clock, open_seconds=Backoff(first=1.0))
    await _open(breaker)
    breaker.isolate()
    clock.now += 1e6
    with pytest.raises(CircuitOpen, match="by hand") as raised:
        await breaker.call(ok)
    assert (raised.value.state, raised.value.retry_after) == ("isolated", None)
    breaker.reset()
    assert (breaker.state, breaker.statistics().failures_in_row) == ("closed", 0)
    assert await breaker.call(ok) == "fine"
    assert breaker.statistics().failed == 1  # counts are since it was made


async def test_looking_changes_nothing() -> None:
    clock = Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=1, half_open_seconds=5.0, clock=clock)
    await _open(breaker)
    clock.now += 30
    permit = breaker.acquire()
    clock.now += 5
    for _ in range(3):
        assert breaker.state == "open"
        assert breaker.statistics().state == "open"
        assert breaker.statistics().transitions == 2
        assert breaker.statistics().retry_after == 30.0
        assert "open" in repr(breaker)
    assert not permit.success()
    assert breaker.statistics().late == 1


async def test_it_describes_itself() -> None:
    breaker = CircuitBreaker("pay", failure_rate=0.5)
    assert breaker.describe() == (
        "CircuitBreaker('pay', failure_rate=0.5, window_calls=100, open_seconds=30.0, probes=1)"
    )
    await breaker.call(ok)
    assert repr(breaker) == "<CircuitBreaker 'pay' closed, 1 succeeded, 0 failed, 0 rejected>"


async def test_events_tell_what_happens_in_order() -> None:
    heard, clock = Heard(), Hand()
    breaker = CircuitBreaker("pay", consecutive_failures=1, clock=clock, bus=heard.bus)
    await breaker.call(ok)
    await _open(breaker)
    with pytest.raises(CircuitOpen):
        await breaker.call(ok)
    clock.now += 30
    await breaker.call(ok)
    breaker.isolate()
    breaker.reset()
    heard.check()
    assert [event["outcome"] for event in heard.named("circuit_breaker.recorded")] == [
        "success",
        "failure",
        "success",
    ]
    assert heard.named("circuit_breaker.rejected") == [{"breaker": "pay", "state": "open", "count": 1}]
    assert [
        (e["before"], e["after"], e["reason"], e["transition"])
        for e in heard.named("circuit_breaker.changed")
    ] == [
        ("closed", "open", "consecutive_failures", 1),
        ("open", "half_open", "open_over", 2),
        ("half_open", "closed", "probes_passed", 3),
        ("closed", "isolated", "isolated", 4),
        ("isolated", "closed", "reset", 5),
    ]


async def test_a_handler_of_events_may_use_the_breaker() -> None:
    """Events are told outside of the lock; what a handler causes is told after what it was told."""
    heard = Heard()
    breaker = CircuitBreaker("pay", consecutive_failures=1, bus=heard.bus)

    def close_again(event: str, measurements: Any, metadata: Any) -> None:
        if event == "circuit_breaker.changed" and metadata["after"] == "open":
            breaker.reset()

    heard.bus.attach(close_again)
    await _open(breaker)
    assert breaker.state == "closed"
    assert [event["transition"] for event in heard.named("circuit_breaker.changed")] == [1, 2]


def test_wrong_settings_are_told_when_it_is_made() -> None:
    with pytest.raises(UsageError) as raised:
        CircuitBreaker("pay", probes=0, failure_rate=7)
    assert len(raised.value.problems) == 2
