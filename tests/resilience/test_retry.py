"""Retry: how often, how long between, what comes out."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import Backoff, CircuitBreaker, CircuitOpen, RejectedError, Retry, UsageError, retry_after_of
from tests.resilience._tools import Hand, Heard

if TYPE_CHECKING:
    from collections.abc import Iterator


def _answers(*answers: object) -> Any:
    """A function that gives one answer after the other, and raises those that are exceptions."""
    following: Iterator[object] = iter(answers)

    def answer() -> object:
        found = next(following)
        if isinstance(found, BaseException):
            raise found
        return found

    return answer


def _retry(hand: Hand, **options: Any) -> Retry:
    backoff = options.pop("backoff", Backoff(first=1.0, factor=2.0, limit=5.0))
    return Retry(
        backoff=backoff, jitter=options.pop("jitter", "none"), clock=hand, sleep=hand.sleep, **options
    )


def test_no_retries_still_run_it_once() -> None:
    hand = Hand()
    assert _retry(hand, attempts=1).call_sync(_answers("fine")) == "fine"
    with pytest.raises(ConnectionError):
        _retry(hand, attempts=1).call_sync(_answers(ConnectionError(), "never asked"))
    with pytest.raises(ConnectionError):
        _retry(hand, attempts=None, total_seconds=0).call_sync(_answers(ConnectionError(), "never asked"))
    assert hand.slept == []


def test_it_waits_by_the_backoff_and_returns_the_first_success() -> None:
    hand = Hand()
    retry = _retry(hand, attempts=6)
    assert retry.call_sync(_answers(*[OSError()] * 4, "fine")) == "fine"
    assert hand.slept == [1.0, 2.0, 4.0, 5.0]
    statistics = retry.statistics()
    assert (statistics.calls, statistics.retries, statistics.gave_up) == (1, 4, 0)


def test_the_last_error_comes_out_as_it_is() -> None:
    last = ConnectionError("third")
    retry = _retry(Hand(), attempts=3)
    with pytest.raises(ConnectionError) as raised:
        retry.call_sync(_answers(OSError("first"), ValueError("second"), last))
    assert raised.value is last
    assert retry.statistics().gave_up == 1


def test_a_refusal_at_the_end_says_what_the_real_reason_was() -> None:
    """Attempts open the breaker inside; its refusal is last, and the reason before it is not lost."""
    hand = Hand()
    breaker = CircuitBreaker("x", consecutive_failures=2, clock=hand)
    guarded = _retry(hand, attempts=3)(breaker(_answers(OSError("first"), OSError("second"))))
    with pytest.raises(CircuitOpen) as raised:
        guarded()
    assert str(raised.value.__cause__) == "second"
    assert hand.slept[0] == 1.0
    plain = _retry(hand, attempts=2)
    with pytest.raises(RejectedError) as alone:
        plain.call_sync(_answers(RejectedError("full"), RejectedError("still full")))
    assert alone.value.__cause__ is None


def test_only_what_is_meant_is_tried_again() -> None:
    hand = Hand()
    for on in (ConnectionError, (ConnectionError, TimeoutError), lambda error: "no" not in str(error)):
        retry = _retry(hand, on=on)
        with pytest.raises(ValueError, match="no"):
            retry.call_sync(_answers(ConnectionError(), ValueError("no"), "never asked"))
    with pytest.raises(UsageError):
        _retry(hand).call_sync(_answers(UsageError("wrong"), "never asked"))
    with pytest.raises(KeyboardInterrupt):
        _retry(hand).call_sync(_answers(KeyboardInterrupt(), "never asked"))
    assert len(hand.slept) == 3


def test_returned_values_can_be_failures_and_the_last_one_comes_out() -> None:
    retry = _retry(Hand(), attempts=3, on_result=lambda status: status >= 500)
    assert retry.call_sync(_answers(503, 200)) == 200
    assert retry.call_sync(_answers(503, OSError(), 504)) == 504


def test_no_attempt_begins_after_the_total_time() -> None:
    """And nobody waits for one that would."""
    hand = Hand()
    retry = _retry(hand, attempts=None, total_seconds=6.9)
    with pytest.raises(OSError, match="third"):
        retry.call_sync(_answers(OSError("first"), OSError("second"), OSError("third"), "never asked"))
    assert hand.slept == [1.0, 2.0]


def test_a_failure_may_ask_for_a_longer_wait() -> None:
    hand = Hand()

    class Asks(OSError):
        retry_after = 3.5

    retry = _retry(hand, attempts=4)
    assert (
        retry.call_sync(_answers(Asks(), RejectedError("busy", retry_after=0.5), OSError(), "fine")) == "fine"
    )
    assert hand.slept == [3.5, 2.0, 4.0]
    hand.slept.clear()
    Asks.retry_after = 60.5
    with pytest.raises(Asks):
        retry.call_sync(_answers(Asks(), "never asked"))
    Asks.retry_after = 60.0
    assert retry.call_sync(_answers(Asks(), "fine")) == "fine"
    own = _retry(hand, retry_after=lambda failure: 9.0)
    assert own.call_sync(_answers(OSError(), "fine")) == "fine"
    assert hand.slept == [60.0, 9.0]


class _Response:
    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _StatusError(Exception):
    def __init__(self, response: object) -> None:
        self.response = response


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (_Response(Retry_After="120"), 120.0),
        (_Response(retry_after=" 7 "), 7.0),
        (_StatusError(_Response(Retry_After="3")), 3.0),
        (_Response(Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"), 0.0),
        (_Response(Retry_After="Fri, 31 Dec 1999 23:59:59 -0000"), 0.0),
        (_Response(Retry_After="soon"), None),
        (_Response(Retry_After="-3"), None),
        (_Response(), None),
        (RejectedError("x", retry_after=2.5), 2.5),
        (RejectedError("x", retry_after=-1), 0.0),
        (RejectedError("x", retry_after=math.inf), None),
        (RejectedError("x"), None),
        ("text", None),
        (None, None),
    ],
)
def test_what_a_failure_asks_for(failure: object, seconds: float | None) -> None:
    assert retry_after_of(failure) == seconds


def test_a_date_is_so_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mabeam.resilience._retry_after.wall_time", lambda: 946684790.0)
    assert retry_after_of(_Response(Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")) == 9.0


def test_a_strange_failure_asks_for_nothing() -> None:
    class Strange:
        @property
        def headers(self) -> object:
            raise ZeroDivisionError

    assert retry_after_of(Strange()) is None


async def test_async_functions_wait_in_the_loops_time() -> None:
    loop = asyncio.get_running_loop()
    retry = Retry(attempts=3, backoff=Backoff(first=10.0), jitter="none", total_seconds=100.0)
    answers = _answers(OSError(), OSError(), "fine")

    async def ask() -> object:
        return answers()

    began = loop.time()
    assert await retry.call(ask) == "fine"
    assert loop.time() - began == 20.0
    answers = _answers(503, 200)
    assert await Retry(on_result=lambda status: status == 503)(ask)() == 200


async def test_a_cancellation_ends_the_wait_and_is_not_retried() -> None:
    ran: list[int] = []

    async def fail() -> None:
        ran.append(1)
        raise OSError

    task = asyncio.ensure_future(Retry(backoff=Backoff(first=10.0, limit=10.0), jitter="none").call(fail))
    await asyncio.wait([task], timeout=5)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ran == [1]

    async def cancel_itself() -> None:
        ran.append(2)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Retry().call(cancel_itself)
    assert ran == [1, 2]


@given(st.integers(0, 2**32), st.sampled_from(["full", "equal"]))
def test_jitter_is_within_its_bounds_and_follows_its_seed(seed: int, jitter: str) -> None:
    waits = []
    for _ in range(2):
        hand = Hand()
        _retry(hand, attempts=4, jitter=jitter, random=random.Random(seed)).call_sync(
            _answers(*[OSError()] * 3, 1)
        )
        waits.append(hand.slept)
    assert waits[0] == waits[1]
    for slept, full in zip(waits[0], [1.0, 2.0, 4.0], strict=True):
        assert (0 if jitter == "full" else full / 2) <= slept <= full


@pytest.mark.parametrize("on", [5, BaseException, (), (ValueError, "x"), asyncio.CancelledError])
def test_what_is_no_exception_type_is_refused(on: Any) -> None:
    with pytest.raises(UsageError, match="on expects"):
        Retry(on=on)
    with pytest.raises(UsageError, match="on_result expects"):
        Retry(on_result=5)  # type: ignore[arg-type]  # what is refused


def test_it_describes_itself_and_tells_what_it_does() -> None:
    heard, hand = Heard(), Hand()
    retry = _retry(hand, attempts=2, bus=heard.bus, name="ask")
    assert retry.describe() == (
        "Retry('ask', attempts=2, total_seconds=None, backoff=1 s x 2 up to 5 s, jitter='none')"
    )
    with pytest.raises(OSError, match="second"):
        retry.call_sync(_answers(ConnectionError(), OSError("second")))
    heard.check()
    assert heard.events == [
        ("retry.waiting", {"attempt": 2, "delay": 1.0}, {"retry": "ask", "reason": "ConnectionError"}),
        ("retry.gave_up", {"attempts": 2}, {"retry": "ask", "reason": "OSError", "why": "attempts"}),
    ]


def test_a_coroutine_from_a_plain_function_is_refused() -> None:
    async def ask() -> None:
        pass

    forgot: Any = lambda: ask()  # noqa: E731
    with pytest.raises(UsageError, match="returned a coroutine"):
        Retry().call_sync(forgot)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refusal_after_a_value_that_was_a_failure_says_which(*, is_async: bool) -> None:
    """The last reason, that is: the error of an attempt before it is not why nothing came of it."""
    refused = RejectedError("open", retry_after=0.0)
    answers = _answers(OSError("first"), "503 " * 100, refused)
    hand = Hand()
    retry = _retry(hand, on_result=lambda answer: answer.startswith("503"), backoff=Backoff(first=0.0))

    async def ask() -> object:
        return answers()

    with pytest.raises(RejectedError) as raised:
        await retry.call(ask) if is_async else retry.call_sync(answers)
    assert raised.value is refused
    assert raised.value.__cause__ is None
    (note,) = raised.value.__notes__
    assert note.startswith("The last attempt that ran returned '503 503")
    assert len(note) < 120
