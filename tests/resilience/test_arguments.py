"""What cannot be right is refused when a policy is made, whatever it is, and all of it at once."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Backoff,
    Bulkhead,
    Cache,
    Chaos,
    CircuitBreaker,
    Fallback,
    Hedge,
    RateLimiter,
    Retry,
    TimeLimit,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = 10**400  # more than a float can hold
_NO_TIME: tuple[Any, ...] = (math.nan, -math.inf, -1, True, "5", b"5", [], {}, object(), HUGE, -HUGE)
_NO_FUNCTION: tuple[Any, ...] = (math.nan, 0, "x", True, [], {}, object())

_WITH: dict[type, dict[str, Any]] = {
    CircuitBreaker: {"name": "x"},
    Retry: {},
    Bulkhead: {"max_concurrent": 1, "max_queue": 5},
    TimeLimit: {"seconds": 1.0},
    Hedge: {"delay": 1.0},
    Fallback: {"value": 1},
    Chaos: {"fault": OSError, "outcome": int},
    RateLimiter: {"limit": 5},
    Cache: {"max_entries": 5},
}


def _times() -> list[tuple[type, str]]:
    return [
        (CircuitBreaker, "open_seconds"),
        (CircuitBreaker, "half_open_seconds"),
        (Retry, "total_seconds"),
        (Retry, "retry_after_limit"),
        (Bulkhead, "queue_seconds"),
        (TimeLimit, "seconds"),
        (Hedge, "delay"),
        (Chaos, "latency"),
        (Chaos, "fault_rate"),
        (RateLimiter, "period"),
        (RateLimiter, "max_wait"),
        (RateLimiter, "on_limit"),
        (Cache, "max_entries"),
        (Cache, "max_weight"),
        (Cache, "ttl"),
        (Cache, "stale_for"),
        (Cache, "negative_ttl"),
    ]


@pytest.mark.parametrize(("policy", "option"), _times())
def test_what_is_no_number_of_the_right_size_is_refused(policy: type, option: str) -> None:
    for wrong in _NO_TIME:
        with pytest.raises(UsageError) as raised:
            policy(**{**_WITH[policy], option: wrong})
        assert all(problem.startswith(option) for problem in raised.value.problems)


def _functions() -> list[tuple[type, str]]:
    return [
        (CircuitBreaker, "classify_error"),
        (CircuitBreaker, "classify_result"),
        (CircuitBreaker, "clock"),
        (Retry, "on_result"),
        (Retry, "retry_after"),
        (Retry, "sleep"),
        (Retry, "clock"),
        (Hedge, "on_result"),
        (Fallback, "on_result"),
        (Chaos, "fault"),
        (Chaos, "outcome"),
        (Chaos, "sleep"),
        (RateLimiter, "clock"),
        (Cache, "clock"),
    ]


async def _asks(*_: object) -> str:
    return "success"


@pytest.mark.parametrize(("policy", "option"), _functions())
def test_what_is_no_plain_function_is_refused(policy: type, option: str) -> None:
    """An async one would be called and never awaited: its coroutine is neither true nor false, nor a word."""
    for wrong in (*_NO_FUNCTION, _asks):
        with pytest.raises(UsageError, match=f"{option} expects") as raised:
            policy(**{**_WITH[policy], option: wrong})
        assert len(raised.value.problems) == 1


@pytest.mark.parametrize("policy", [Retry, Hedge, Fallback])
def test_an_async_question_is_refused(policy: type) -> None:
    with pytest.raises(UsageError, match="on expects a plain function"):
        policy(**_WITH[policy], on=_asks)


@pytest.mark.parametrize("policy", _WITH)
def test_names_and_buses(policy: type) -> None:
    options = {name: value for name, value in _WITH[policy].items() if name != "name"}
    wrong: object
    for wrong in (5, None, b"x", ["x"]):
        with pytest.raises(UsageError, match="name expects a str"):
            policy(**options, name=wrong)
    for wrong in (5, "x", object()):
        with pytest.raises(UsageError, match="bus expects a Bus"):
            policy(**{"name": "x", **options}, bus=wrong)


def test_a_decorator_without_its_settings_is_told() -> None:
    make: Callable[..., object] = CircuitBreaker
    with pytest.raises(UsageError, match=r"write @Policy\(\.\.\.\)"):
        make(_asks)


def test_what_makes_no_sense_to_chaos() -> None:
    make: Callable[..., object] = Chaos
    for options, problem in (
        ({"fault_rate": 1, "fault": int}, "below Exception"),
        ({"fault_rate": 1, "fault": KeyboardInterrupt}, "below Exception"),
        ({"enabled": "0"}, "enabled expects a function"),
        ({"enabled": 1}, "enabled expects a function"),
        ({"random": 5}, r"random expects a random\.Random"),
        ({"latency": math.inf}, "latency expects seconds that pass"),
        ({"latency": (0.0, math.inf)}, "latency expects seconds that pass"),
    ):
        with pytest.raises(UsageError, match=problem) as raised:
            make(**options)
        assert len(raised.value.problems) == 1
    assert Chaos(latency=(1.0, 2.0), enabled=False).rules.latency == (1.0, 2.0)


def test_all_problems_of_rules_and_of_the_rest_are_told_at_once() -> None:
    wrong: Any = {"on": "x", "jitter": "q", "attempts": 0, "sleep": 5, "random": 5, "clock": None}
    with pytest.raises(UsageError) as raised:
        Retry(**wrong)
    assert {problem.split()[0] for problem in raised.value.problems} == set(wrong)
    wrong = {"classify_error": 5, "clock": None, "probes": 0, "open_seconds": -1, "bus": 5}
    with pytest.raises(UsageError) as raised:
        CircuitBreaker("x", **wrong)
    assert {problem.split()[0] for problem in raised.value.problems} == set(wrong)
    wrong = {"latency_rate": 2, "latency": -1, "fault": 5, "outcome": 5, "enabled": "yes"}
    with pytest.raises(UsageError) as raised:
        Chaos(**wrong)
    assert {problem.split()[0] for problem in raised.value.problems} == set(wrong)


def test_a_window_larger_than_can_be_kept_is_refused() -> None:
    with pytest.raises(UsageError, match="window_calls expects at most 10,000,000"):
        CircuitBreaker("x", failure_rate=0.5, window_calls=10_000_001)
    assert CircuitBreaker("x", failure_rate=0.5, window_calls=10_000_000).rules.window_calls == 10_000_000


def test_a_report_of_any_kind_is_checked() -> None:
    permit = CircuitBreaker("x").acquire()
    wrong: Any
    for wrong in ([], {}, None, 5, "lost"):
        with pytest.raises(UsageError, match="report expects one of"):
            permit.report(wrong)
    assert permit.success()


def test_a_factor_that_overflows_ends_at_the_limit() -> None:
    """The circuit stayed half open for ever, and the caller was given an OverflowError instead of its own error."""
    backoff = Backoff(first=1.0, factor=1e10, limit=60.0)
    assert (backoff.check(), backoff.delay(2), backoff.delay(65)) == ((), 60.0, 60.0)
    assert Backoff(first=0.0, factor=1e10, limit=60.0).delay(65) == 0.0
    for wrong in (math.inf, HUGE, math.nan):
        with pytest.raises(UsageError, match=r"open_seconds\.factor expects"):
            CircuitBreaker("x", open_seconds=Backoff(factor=wrong))
        with pytest.raises(UsageError, match=r"Backoff\.first expects"):
            Retry(backoff=Backoff(first=wrong))


@pytest.mark.parametrize("seconds", [math.inf, 1e300])
def test_a_thread_waits_for_a_place_however_long_it_may(seconds: float) -> None:
    """An OverflowError of the interpreter's own lock was given to the caller."""
    bulkhead = Bulkhead(max_concurrent=1, max_queue=1, queue_seconds=seconds)
    bulkhead.__enter__()
    waiter = threading.Thread(target=bulkhead.call_sync, args=(int,))
    waiter.start()
    while bulkhead.statistics().waiting < 1 and waiter.is_alive():
        pass
    bulkhead.__exit__(None, None, None)
    waiter.join(10)
    assert (bulkhead.statistics().entered, bulkhead.statistics().inside) == (2, 0)
