"""The hedge: the first answer counts, and nothing is left running."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from mabeam import Hedge, UsageError
from tests.resilience._tools import Heard


class Service:
    """Answers each attempt after its own time, with its own answer, and remembers how attempts ended."""

    def __init__(self, *answers: tuple[float, object]) -> None:
        self.answers = answers
        self.began: list[float] = []
        self.cancelled: list[int] = []
        self.running = 0

    async def ask(self) -> object:
        loop = asyncio.get_running_loop()
        number = len(self.began)
        self.began.append(loop.time())
        seconds, answer = self.answers[number]
        self.running += 1
        try:
            await asyncio.wait([loop.create_future()], timeout=seconds)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.running -= 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def _hedged(hedge: Hedge, *answers: tuple[float, object]) -> tuple[object, float, Service]:
    loop = asyncio.get_running_loop()
    service = Service(*answers)
    began = loop.time()
    result = await hedge.call(service.ask)
    assert service.running == 0
    service.began = [time - began for time in service.began]
    return result, loop.time() - began, service


async def test_a_quick_answer_needs_no_second_attempt() -> None:
    hedge = Hedge(delay=1.0)
    result, took, service = await _hedged(hedge, (0.9, "first"))
    assert (result, took, service.began) == ("first", 0.9, [0.0])
    assert (hedge.statistics().calls, hedge.statistics().hedged) == (1, 0)


async def test_a_slow_one_is_overtaken_and_cancelled() -> None:
    heard = Heard()
    hedge = Hedge(delay=1.0, name="search", bus=heard.bus)
    result, took, service = await _hedged(hedge, (60, "first"), (0.5, "second"))
    assert (result, took, service.began, service.cancelled) == ("second", 1.5, [0.0, 1.0], [0])
    statistics = hedge.statistics()
    assert (statistics.calls, statistics.hedged, statistics.won) == (1, 1, 1)
    assert heard.events == [
        ("hedge.started", {"attempt": 2}, {"hedge": "search", "why": "delay"}),
        ("hedge.won", {"attempt": 2}, {"hedge": "search"}),
    ]
    heard.check()


async def test_the_first_may_still_win() -> None:
    hedge = Hedge(delay=1.0, attempts=3)
    result, took, service = await _hedged(hedge, (2.5, "first"), (60, "second"), (60, "third"))
    assert (result, took, service.began, service.cancelled) == ("first", 2.5, [0.0, 1.0, 2.0], [1, 2])
    assert (hedge.statistics().hedged, hedge.statistics().won) == (1, 0)


async def test_a_failure_starts_the_next_at_once() -> None:
    result, took, service = await _hedged(
        Hedge(delay=9.0, attempts=3), (1, OSError()), (1, OSError()), (1, "third")
    )
    assert (result, took, service.began) == ("third", 3.0, [0.0, 1.0, 2.0])


async def test_when_all_fail_the_last_failure_comes_out() -> None:
    last = OSError("last")
    with pytest.raises(OSError) as raised:
        await _hedged(Hedge(delay=1.0), (5, last), (1, OSError("sooner")))
    assert raised.value is last
    by_value = Hedge(delay=1.0, on_result=lambda status: status == 503)
    assert (await _hedged(by_value, (1.5, 503), (1, 200)))[0] == 200
    assert (await _hedged(by_value, (1.5, 503), (1, 503)))[0] == 503


async def test_what_is_no_failure_ends_all_at_once() -> None:
    service = Service((1.5, ValueError("no")), (60, "never"))
    with pytest.raises(ValueError, match="no"):
        await Hedge(delay=1.0, on=OSError).call(service.ask)
    assert (service.cancelled, service.running) == ([1], 0)
    with pytest.raises(UsageError):
        await Hedge(delay=1.0).call(Service((0.5, UsageError("wrong"))).ask)

    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Hedge(delay=1.0).call(cancels_itself)


async def test_a_cancelled_call_takes_its_attempts_along() -> None:
    service = Service((60, 1), (60, 2))
    task = asyncio.ensure_future(Hedge(delay=1.0)(service.ask)())
    await asyncio.wait([task], timeout=5)
    assert service.running == 2
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert service.running == 0


async def test_it_waits_for_losers_that_clean_up_however_often_it_is_cancelled() -> None:
    """Nothing outlives the call."""
    ended: list[str] = []

    async def slow_to_end() -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_future()
        finally:
            over = loop.create_future()
            loop.call_later(5.0, over.set_result, None)
            await over
            ended.append("cleaned")

    task = asyncio.ensure_future(Hedge(delay=1.0).call(slow_to_end))
    await asyncio.wait([task], timeout=2)
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=1)
    assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended == ["cleaned", "cleaned"]


async def test_delay_zero_starts_all_at_once() -> None:
    result, took, service = await _hedged(Hedge(delay=0, attempts=3), (3, 1), (2, 2), (1, 3))
    assert (result, took, service.began) == (3, 1.0, [0.0, 0.0, 0.0])


async def test_plain_functions_are_refused_when_it_is_applied() -> None:
    hedge = Hedge(delay=1.0)

    def plain() -> None:
        raise AssertionError

    for apply in (hedge, hedge.call_sync):
        with pytest.raises(UsageError, match="cannot be interrupted"):
            apply(plain)
    wrong: Any = plain
    with pytest.raises(UsageError, match="cannot be interrupted"):
        await hedge.call(wrong)
    assert hedge.async_only


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delay": -1}, "delay expects seconds >= 0"),
        ({"delay": math.nan}, "delay expects"),
        ({"delay": 1, "attempts": 1}, "attempts expects a whole number >= 2, got 1"),
        ({"delay": 1, "on": 5}, "on expects"),
    ],
)
def test_what_cannot_be_right_is_told(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Hedge(**options)
    assert Hedge(delay=0.5).describe() == "Hedge('hedge', delay=0.5 s, attempts=2)"


async def test_every_call_is_counted_however_it_ends() -> None:
    """Also one that is cancelled, and one that an exception ends for which no other attempt makes up."""
    hedge = Hedge(delay=1.0, on=OSError)

    async def fail() -> None:
        raise ValueError

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ValueError):
        await hedge.call(fail)
    task = asyncio.ensure_future(hedge.call(hang))
    await asyncio.wait([task], timeout=0.5)
    statistics = hedge.statistics()
    assert (statistics.calls, statistics.hedged, statistics.won) == (2, 0, 0)
    await asyncio.wait([task], timeout=1.0)
    assert hedge.statistics().hedged == 1
    task.cancel()
    await asyncio.wait([task])
    statistics = hedge.statistics()
    assert (statistics.calls, statistics.hedged, statistics.won) == (2, 1, 0)


async def test_a_question_that_raises_shows_what_it_was_asked_about() -> None:
    def ask(error: Exception) -> bool:
        raise KeyError("code")

    async def fail() -> None:
        raise OSError("the real one")

    with pytest.raises(KeyError, match="code") as raised:
        await Hedge(delay=1.0, on=ask).call(fail)
    assert repr(raised.value.__cause__) == "OSError('the real one')"
