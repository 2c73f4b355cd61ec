"""Waits that share a timer run out as if each had its own."""

from __future__ import annotations

import asyncio
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mabeam import CallTimeout, GenServer, Runtime, handle_call
from mabeam.kernel._timeouts import MAX_QUEUES, Timeouts
from mabeam.testing import DeadlockError, VirtualLoop
from tests.otp._servers import pause

LENGTHS = (0.0, 0.5, 1.0, 5.0)

waits = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.25, 0.5, 1.0)),
        st.sampled_from(LENGTHS),
        st.none() | st.sampled_from((0.0, 0.5, 2.0)),
    ),
    max_size=12,
)
"""For each wait: how long after the one before it begins, its length, and after what time it is answered."""


def give(future: asyncio.Future[None]) -> None:
    """The answer has come."""
    if not future.done():
        future.set_result(None)


def outcome(plan: list[tuple[float, float, float | None]], *, together: bool) -> dict[int, tuple[str, float]]:
    """What became of each wait, and when."""
    loop = VirtualLoop()
    told: list[str] = []
    kernel: Any = SimpleNamespace(
        loop=loop,
        scheduler=SimpleNamespace(chooser=None if together else object()),
        incidents=SimpleNamespace(call_timeout=lambda _process, what, _seconds: told.append(what)),
    )
    process: Any = SimpleNamespace(kernel=kernel, describe=lambda: "it")
    timeouts = Timeouts(kernel)
    ends: dict[int, tuple[str, float]] = {}

    async def wait(number: int, pause_before: float, seconds: float, answered: float | None) -> None:
        await pause(pause_before)
        future: asyncio.Future[None] = loop.create_future()
        answer = None
        if answered is not None:
            answer = loop.call_later(answered, give, future)
        queue = timeouts.of(seconds)
        queue.add(future, process, str(number), loop.time())
        [result] = await asyncio.gather(future, return_exceptions=True)
        queue.remove(future)
        if answer is not None:
            answer.cancel()
        ends[number] = ("late" if isinstance(result, CallTimeout) else "answered", loop.time())
        assert told.count(str(number)) == (ends[number][0] == "late")

    async def program() -> None:
        begins = accumulate(begin for begin, _, _ in plan)
        await asyncio.gather(
            *(
                wait(number, begin, *each[1:])
                for number, (begin, each) in enumerate(zip(begins, plan, strict=True))
            )
        )
        assert timeouts.queues == {}
        assert not [each for each in loop._scheduled if not each.cancelled()]

    try:
        loop.run_until_complete(program())
    finally:
        loop.close()
    return ends


@given(waits)
@settings(max_examples=60, deadline=None)
def test_a_shared_timer_is_not_observable(plan: list[tuple[float, float, float | None]]) -> None:
    """The same waits end in the same way at the same moment; those answered in that very moment may end either way."""
    shared, alone = outcome(plan, together=True), outcome(plan, together=False)
    ties = {number for number, (_, seconds, answered) in enumerate(plan) if answered == seconds}
    assert {number: each[1] for number, each in shared.items()} == {
        number: each[1] for number, each in alone.items()
    }
    for number in shared.keys() - ties:
        assert shared[number] == alone[number]


async def test_lengths_that_never_come_back_do_not_pile_up() -> None:
    """However many different timeouts a program uses."""
    loop = asyncio.get_running_loop()
    kernel: Any = SimpleNamespace(loop=loop, scheduler=SimpleNamespace(chooser=None))
    process: Any = SimpleNamespace(kernel=kernel)
    timeouts = Timeouts(kernel)
    futures = [loop.create_future() for _ in range(3 * MAX_QUEUES)]
    queues = []
    for number, future in enumerate(futures):
        queue = timeouts.of(1_000_000.0 + number)
        queue.add(future, process, "call", loop.time())
        queues.append(queue)
    assert len(timeouts.queues) == MAX_QUEUES
    for queue, future in zip(queues, futures, strict=True):
        queue.remove(future)
    assert timeouts.queues == {}


def _timeouts(*, lingers: bool = False, chooser: object = None) -> tuple[VirtualLoop, Timeouts, Any]:
    """With a process that may wait."""
    loop = VirtualLoop()
    if lingers:
        loop.virtual_stopwatch = None  # type: ignore[assignment,method-assign]  # as a loop in real time
    kernel: Any = SimpleNamespace(
        loop=loop,
        scheduler=SimpleNamespace(chooser=chooser),
        incidents=SimpleNamespace(call_timeout=lambda _process, _what, _seconds: None),
    )
    return loop, Timeouts(kernel), SimpleNamespace(kernel=kernel, describe=lambda: "it")


def test_waits_of_one_length_share_a_timer() -> None:
    loop, timeouts, process = _timeouts()
    for _ in range(3):
        timeouts.of(1.0).add(loop.create_future(), process, "call", loop.time())
    timeouts.of(2.0).add(loop.create_future(), process, "call", loop.time())
    assert sorted(timer.when() for timer in loop._scheduled) == [1.0, 2.0]
    timeouts.close()
    assert timeouts.queues == {}
    assert all(timer.cancelled() for timer in loop._scheduled)
    loop.close()


def test_what_stops_the_loop_when_a_timeout_is_told_keeps_nobody_waiting() -> None:
    """The others that were due have their timeout when the loop goes on."""
    loop, timeouts, process = _timeouts()
    waits = [loop.create_future() for _ in range(3)]
    for wait in waits:
        timeouts.of(1.0).add(wait, process, "call", loop.time())

    def interrupt(*_: object) -> None:
        process.kernel.incidents.call_timeout = lambda *_: None
        raise KeyboardInterrupt

    process.kernel.incidents.call_timeout = interrupt
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(waits[-1])
    assert [wait.done() for wait in waits] == [True, False, False]
    with pytest.raises(CallTimeout):
        loop.run_until_complete(waits[-1])
    assert loop.time() == 1.0
    assert all(isinstance(wait.exception(), CallTimeout) for wait in waits)
    assert timeouts.queues == {}
    loop.close()


def test_an_answer_that_came_in_the_same_moment_is_no_timeout() -> None:
    """Who asked has it and has not run since, so the wait is still in the queue."""
    loop, timeouts, process = _timeouts()
    told: list[object] = []
    process.kernel.incidents.call_timeout = lambda *what: told.append(what)
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    answered, late = loop.create_future(), loop.create_future()
    timeouts.of(1.0).add(answered, process, "call", loop.time())
    timeouts.of(1.0).add(late, process, "cast", loop.time())
    answered.set_result("answer")
    loop.run_until_complete(pause(1.0))
    assert answered.result() == "answer"
    assert isinstance(late.exception(), CallTimeout)
    assert told == [(process, "cast", 1.0)]
    loop.close()


def test_in_a_simulation_each_wait_has_a_timer_of_its_own() -> None:
    """It chooses among those that are due together."""
    loop, timeouts, process = _timeouts(chooser=object())
    for _ in range(3):
        timeouts.of(1.0).add(loop.create_future(), process, "call", loop.time())
    assert [timer.when() for timer in loop._scheduled] == [1.0, 1.0, 1.0]
    assert timeouts.queues == {}
    loop.close()


def test_a_timer_that_stays_is_not_set_again_when_nobody_waits() -> None:
    """So a length that a program used once is forgotten."""
    loop, timeouts, process = _timeouts(lingers=True)
    queue = timeouts.of(1.0)
    future = loop.create_future()
    queue.add(future, process, "call", loop.time())
    queue.remove(future)
    assert timeouts.queues == {1.0: queue}
    loop.run_until_complete(pause(1.0))
    assert timeouts.queues == {}
    loop.close()


def test_a_queue_that_was_empty_takes_waits_again() -> None:
    loop, timeouts, process = _timeouts()
    queue = timeouts.of(1.0)
    answered, late = loop.create_future(), loop.create_future()
    queue.add(answered, process, "call", loop.time())
    queue.remove(answered)
    queue.add(late, process, "call", loop.time())
    loop.run_until_complete(pause(1.0))
    assert isinstance(late.exception(), CallTimeout)
    loop.close()


def test_a_wait_that_is_over_leaves_the_queue_that_began_since() -> None:
    """It removes itself from its own queue, which has ended; another of the same length may be there by then."""
    loop, timeouts, process = _timeouts()
    first, second = loop.create_future(), loop.create_future()
    ended = timeouts.of(1.0)
    ended.add(first, process, "call", loop.time())
    loop.run_until_complete(pause(1.0))
    assert isinstance(first.exception(), CallTimeout)
    queue = timeouts.of(1.0)
    queue.add(second, process, "call", loop.time())
    ended.remove(first)
    assert timeouts.queues == {1.0: queue}
    queue.remove(second)
    assert timeouts.queues == {}
    loop.close()


class Silent(GenServer):
    """Answers at once, or never."""

    @handle_call
    def ping(self) -> str:
        return "pong"

    @handle_call
    async def never(self) -> None:
        await asyncio.Event().wait()

    @handle_call
    async def slowly(self) -> str:
        await pause(0)
        return "done"


def test_a_program_that_is_stuck_is_found_at_once_after_calls_that_were_answered() -> None:
    """No timer of theirs is left to be waited for."""
    loop = VirtualLoop()

    async def program() -> None:
        async with Runtime():
            server = await Silent.start_link()
            assert await server.call(Silent.slowly) == "done"
            await loop.create_future()

    task = loop.create_task(program())
    with pytest.raises(DeadlockError):
        loop.run_until_complete(task)
    assert loop.time() == 0.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


@pytest.mark.real_time
async def test_in_real_time_a_timer_stays_for_the_next_call_and_goes_with_the_runtime() -> None:
    """One, however many calls there were."""
    loop: Any = asyncio.get_running_loop()
    async with Runtime(blocked_after=None) as runtime:
        server = await Silent.start_link()
        for _ in range(100):
            assert await server.call(Silent.slowly) == "done"
        queues = runtime.kernel.timeouts.queues
        (queue,) = queues.values()
        assert not queue._waiting
        timer = queue._timer
        assert timer is not None
        assert not timer.cancelled()
        assert timer.when() > loop.time()
    assert timer.cancelled()
    assert queues == {}


@pytest.mark.real_time
async def test_in_real_time_a_call_that_gets_no_answer_ends_in_its_time() -> None:
    """After others of the same length that were answered."""
    loop = asyncio.get_running_loop()
    async with Runtime(blocked_after=None):
        server = await Silent.start_link()
        quick = server.options(timeout=0.05)
        for _ in range(3):
            assert await quick.call(Silent.slowly) == "done"
        began = loop.time()
        with pytest.raises(CallTimeout):
            await quick.call(Silent.never)
        assert loop.time() - began >= 0.049  # uvloop counts in milliseconds
