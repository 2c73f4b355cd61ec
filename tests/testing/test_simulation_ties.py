"""Timers that are due at the same time: any may be first, and what comes of it may be over before the next one fires."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from mabeam import GenServer, Ref, handle_call, receive, self_pid, send, send_after, spawn
from mabeam.errors import CallTimeout
from mabeam.testing import DeadlockError, SimulationFailed, replay, simulate
from mabeam.testing._deciders import Recorded
from mabeam.testing._one_run import Limits, run_once
from mabeam.testing._schedule import Schedule
from tests.kernel._scenes import Turn
from tests.otp._servers import pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scene: TypeAlias = Callable[[], Awaitable[str]]
    """Says what was first."""

ORDINARY = Limits(max_steps=10_000, max_virtual_seconds=60.0, check_mutation=False, tolerate=())


async def _timer_and_sleeper() -> str:
    me = self_pid()

    async def sleeper() -> None:
        send(me, "begun")
        await pause(1.0)
        send(me, "sleeper")

    spawn(sleeper)
    await receive()
    send_after(1.0, me, "timer")
    first = await receive()
    await receive()
    return str(first)


async def _receive_and_sleeper() -> str:
    me = self_pid()

    async def sleeper() -> None:
        await pause(1.0)
        send(me, "sleeper")

    spawn(sleeper)
    await Turn()
    try:
        first = await receive(timeout=1.0)
    except TimeoutError:
        first = "timer"
        await receive()
    return str(first)


async def _wait_for_and_sleeper() -> str:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def sleeper() -> None:
        await pause(1.0)
        queue.put_nowait("sleeper")

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper())
        await Turn()
        try:
            return await asyncio.wait_for(queue.get(), 1.0)
        except TimeoutError:
            return "timer"


async def _two_steps_and_one() -> str:
    first: list[str] = []

    async def sleeper(word: str, steps: int) -> None:
        await pause(1.0)
        for _ in range(steps):
            await Turn()
        first.append(word)

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("sleeper", 1))
        group.create_task(sleeper("timer", 0))
    return first[0]


class Slow(GenServer):
    @handle_call(concurrent=2)
    async def do(self) -> str:
        await pause(1.0)
        return "sleeper"


async def _call_and_handler() -> str:
    server: Ref[Slow] = await Slow.start_link()
    try:
        return await server.options(timeout=1.0).call(Slow.do)
    except CallTimeout:
        return "timer"


@pytest.mark.parametrize(
    "scene",
    [_timer_and_sleeper, _receive_and_sleeper, _wait_for_and_sleeper, _two_steps_and_one, _call_and_handler],
)
def test_what_acts_at_once_and_who_wakes_for_it_may_each_be_first(scene: Scene) -> None:
    """On a real loop the one that was set a little earlier is; in the ordinary order it is what acts at once."""
    seen: list[str] = []

    async def program() -> None:
        seen.append(await scene())

    run_once(program, Recorded(Schedule()), ORDINARY)
    assert seen == ["timer"]
    simulate(program, seeds=range(100))
    assert set(seen) == {"timer", "sleeper"}


def test_a_bug_that_needs_one_timer_to_settle_first_is_made_small_and_repeated() -> None:
    async def program() -> None:
        assert await _timer_and_sleeper() == "timer"

    with pytest.raises(SimulationFailed) as caught:
        simulate(program)
    failed = caught.value
    assert failed.choices == ("settle: the last 1 of 2 timers wait for what the others lead to (1 of 2)",)
    with pytest.raises(SimulationFailed) as again:
        replay(program, failed.token)
    assert again.value.trace == failed.trace


def test_timers_of_a_tie_fire_at_one_time_and_each_once() -> None:
    """Also when they fire one by one."""
    times: list[list[float]] = []

    async def program() -> None:
        loop = asyncio.get_running_loop()
        fired: list[float] = []
        for _ in range(5):
            loop.call_later(1.0, lambda: fired.append(loop.time()))
        await pause(2.0)
        times.append(fired)

    simulate(program, seeds=range(50))
    assert times == [[1.0] * 5] * 50


def test_many_timers_of_a_tie_cost_two_choices_each() -> None:
    """Their order is chosen once, however often some of them are to wait."""
    most = 0

    async def program() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Queue[None] = asyncio.Queue()
        for _ in range(200):
            loop.call_later(1.0, done.put_nowait, None)
        for _ in range(200):
            await done.get()

    for seed in range(30):
        most = max(most, simulate(program, seeds=[seed]).choices)
    assert 199 < most <= 2 * 199


def test_what_asks_again_and_again_for_a_timer_that_waits_does_not_ask_for_ever() -> None:
    """On a real loop time passes for it."""

    async def program() -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.call_later(1.0, over.set)
        await pause(1.0)
        while not over.is_set():
            await Turn()

    async def by_timers() -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.call_later(1.0, over.set)
        await pause(1.0)
        while not over.is_set():
            await pause(0.0)

    for each in (program, by_timers):
        simulate(each, seeds=range(50), max_steps=1000)


def test_timers_that_set_each_other_at_one_time_come_to_an_end() -> None:
    """Without delay, so that there is always one that is due."""

    async def program() -> None:
        loop = asyncio.get_running_loop()
        left = [50, 50]
        over = loop.create_future()

        def count(index: int) -> None:
            left[index] -= 1
            if left[index]:
                loop.call_later(0.0, count, index)
            elif not any(left):
                over.set_result(None)

        for index in range(2):
            loop.call_later(1.0, count, index)
        await over
        assert loop.time() == 1.0

    simulate(program, seeds=range(50), max_steps=1000)


def test_a_timer_that_waits_can_be_cancelled() -> None:
    """By what the one before it leads to; then nothing is left to wait for."""
    fired: set[str] = set()

    async def program() -> None:
        loop = asyncio.get_running_loop()
        others: list[asyncio.TimerHandle] = []

        async def cancel() -> None:
            await pause(1.0)
            fired.add("first")
            for timer in others:
                timer.cancel()

        spawn(cancel)
        await Turn()
        others += [loop.call_later(1.0, fired.add, "other") for _ in range(3)]
        await receive()

    outcomes: set[frozenset[str]] = set()
    for seed in range(100):
        fired.clear()
        assert simulate(program, seeds=[seed], tolerate=(DeadlockError,)).virtual_seconds == 1.0
        outcomes.add(frozenset(fired))
    assert outcomes == {frozenset({"first"}), frozenset({"first", "other"})}


def test_time_that_was_advanced_has_fired_all_that_was_due() -> None:
    """Those that wait for others as well."""

    async def program() -> None:
        loop: Any = asyncio.get_running_loop()
        fired: list[int] = []
        for number in range(4):
            loop.call_later(1.0, fired.append, number)
        await loop.advance(1.0)
        assert len(fired) == 4
        assert loop.time() == 1.0

    simulate(program, seeds=range(100))
