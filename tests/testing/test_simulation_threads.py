"""Threads in a simulation: they run, one at a time, and begin in any order."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    GenServer,
    handle_call,
    in_thread,
    kill,
    portal,
    receive,
    self_pid,
    send,
    send_after,
    spawn,
    why,
)
from mabeam.testing import EndlessError, SimulationFailed, _simulated_loop, simulate
from tests.testing import _programs

if TYPE_CHECKING:
    from collections.abc import Callable


def _orders(program: Any, seeds: range = range(60)) -> set[str]:
    """What a program writes into a list, over all seeds."""
    orders: set[str] = set()

    async def noting() -> None:
        log: list[str] = []
        await program(log)
        orders.add("".join(log))

    simulate(noting, seeds=seeds)
    return orders


def test_threads_begin_in_any_order() -> None:
    """All that there are of three."""

    async def program(log: list[str]) -> None:
        loop = asyncio.get_running_loop()
        waiting = [loop.run_in_executor(None, log.append, word) for word in "abc"]
        for each in waiting:
            await each

    assert _orders(program) == {"abc", "acb", "bac", "bca", "cab", "cba"}


def test_one_thread_runs_at_a_time() -> None:
    """So what they do to each other is no accident."""
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.001)
        running.pop()

    async def child(parent: Any) -> None:
        await in_thread(work)
        send(parent, "done")

    async def program() -> None:
        for _ in range(4):
            spawn(child, self_pid())
        for _ in range(4):
            await receive()

    simulate(program, seeds=range(10))
    assert max(most) == 1


def test_the_clock_stands_still_while_a_thread_works_and_moves_while_it_asks() -> None:
    """A thread that asks through the portal waits for what takes virtual time."""

    class Slow(GenServer):
        @handle_call
        async def answer(self) -> float:
            over = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(3.0, over.set_result, None)
            await over
            return asyncio.get_running_loop().time()

    async def program() -> None:
        slow = await Slow.start_link()
        loop = asyncio.get_running_loop()
        assert await in_thread(lambda: portal().call(slow, Slow.answer)) == 3.0
        await in_thread(lambda: threading.Event().wait(0.01))
        assert loop.time() == 3.0

    simulate(program, seeds=range(20))


def test_one_thread_may_wait_for_another_through_the_loop() -> None:
    """While it asks it does not count as running."""

    class Inner(GenServer):
        @handle_call(thread=True)
        def answer(self) -> str:
            return "inner"

    async def program() -> None:
        inner = await Inner.start_link()
        assert await in_thread(lambda: portal().call(inner, Inner.answer)) == "inner"

    simulate(program, seeds=range(20))


async def _in_owned_thread(work: Callable[[], Any]) -> Any:
    return await in_thread(work)


async def _in_own_executor(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(max_workers=1) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


@pytest.mark.parametrize("run", [_in_owned_thread, asyncio.to_thread, _in_own_executor])
def test_time_passes_while_a_thread_asks_whoever_runs_it(run: Any) -> None:
    """The loop knows it as one of those that work for it."""

    class Slow(GenServer):
        @handle_call
        async def answer(self) -> float:
            loop = asyncio.get_running_loop()
            over = loop.create_future()
            loop.call_later(3.0, over.set_result, None)
            await over
            return loop.time()

    async def program() -> None:
        slow = await Slow.start_link()
        gate = portal()
        assert await run(lambda: gate.call(slow, Slow.answer)) == 3.0

    simulate(program, seeds=range(5))


@pytest.mark.parametrize("run", [_in_owned_thread, asyncio.to_thread, _in_own_executor])
def test_between_two_questions_of_a_thread_another_may_ask(run: Any) -> None:
    """So what one has read, and is to write, another can have changed."""

    class Store(GenServer):
        def __init__(self) -> None:
            self.value = 0

        @handle_call
        def get(self) -> int:
            return self.value

        @handle_call
        def put(self, value: int) -> None:
            self.value = value

    async def program() -> None:
        store = await Store.start_link()
        gate = portal()

        def work() -> None:
            gate.call(store, Store.put, gate.call(store, Store.get) + 1)

        await asyncio.gather(run(work), run(work))
        assert await store.call(Store.get) == 2

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=range(20))
    assert isinstance(caught.value.error, AssertionError)
    assert caught.value.is_deterministic


def test_a_thread_that_nobody_waits_for_any_more_takes_no_turn_when_it_asks() -> None:
    """It is answered at once, and the one whose turn it is keeps that."""
    log: list[str] = []

    async def program() -> None:
        loop: Any = asyncio.get_running_loop()
        gate = portal()
        release, asked = threading.Event(), threading.Event()

        async def note(word: str) -> None:
            log.append(word)

        def left_behind() -> None:
            release.wait(30)
            gate.run(note, "left behind")
            asked.set()

        def last() -> None:
            release.set()
            asked.wait(30)

        leaving = loop.run_in_executor(None, left_behind)
        await loop.advance(1.0)
        leaving.cancel()
        await loop.run_in_executor(None, last)
        assert loop.time() == 1.0

    simulate(program, seeds=[1])
    assert log == ["left behind"]


def test_a_thread_that_nobody_waits_for_lets_others_run() -> None:
    """It is left behind, as ever."""
    release = threading.Event()
    ended = threading.Event()

    def hang() -> None:
        release.wait(30)
        ended.set()

    async def hanging() -> None:
        await in_thread(hang)

    async def program() -> None:
        pid = spawn(hanging)
        send_after(1.0, self_pid(), "now")
        loop: Any = asyncio.get_running_loop()
        await loop.advance(2.0)
        kill(pid)
        assert await in_thread(int) == 0
        release.set()
        assert ended.wait(30)

    simulate(program, seeds=[1])


class Waiting(GenServer):
    """Waits in a thread."""

    @handle_call(thread=True)
    def wait_for(self, event: threading.Event) -> bool:
        return event.wait(30)


async def _in_default_executor(release: threading.Event) -> None:
    await asyncio.to_thread(release.wait, 30)


async def _in_handler(release: threading.Event) -> None:
    waiting = await Waiting.start_link()
    await waiting.options(timeout=None).call(Waiting.wait_for, release)


async def _behind_cancellation(release: threading.Event) -> None:
    asking = asyncio.get_running_loop().run_in_executor(None, release.wait, 30)
    while not asking.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(asking)


async def _with_nobody_waiting(release: threading.Event) -> None:
    loop: Any = asyncio.get_running_loop()
    asyncio.ensure_future(asyncio.to_thread(release.wait, 30))  # noqa: RUF006  (the loop closes behind it)
    await loop.advance(1.0)


@pytest.mark.parametrize(
    "wait", [_in_default_executor, _in_handler, _behind_cancellation, _with_nobody_waiting]
)
def test_a_thread_that_does_not_come_back_is_given_up(wait: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the run nor what closes its loop waits for it any longer."""
    monkeypatch.setattr(_simulated_loop, "_PATIENCE", 0.02)
    release = threading.Event()

    async def program() -> None:
        await wait(release)

    before = set(threading.enumerate())
    try:
        with pytest.raises(SimulationFailed) as caught:
            simulate(program, seeds=[1])
    finally:
        release.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
    error = caught.value.error
    assert isinstance(error, EndlessError)
    assert error.limit == "0.02 real seconds"
    assert "loop.advance(seconds)" in str(error)
    assert "unless it does so through a portal" in str(error)
    assert error.is_by_thread


def test_a_run_that_was_given_up_for_a_thread_is_made_only_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes half a minute, and leaves a thread behind: so it is not made small."""
    monkeypatch.setattr(_simulated_loop, "_PATIENCE", 0.02)
    release = threading.Event()
    runs: list[threading.Thread] = []

    def wait() -> None:
        runs.append(threading.current_thread())
        release.wait(30)

    async def program() -> None:
        await _programs.deposits()
        await asyncio.to_thread(wait)

    try:
        with pytest.raises(SimulationFailed) as caught:
            simulate(program, seeds=[3])
    finally:
        release.set()
        for thread in runs:
            thread.join(30)
    assert caught.value.choices
    assert caught.value.is_deterministic
    assert len(runs) == 2


def test_threads_of_others_are_heard() -> None:
    """When nothing else is ready."""

    async def program() -> None:
        loop: Any = asyncio.get_running_loop()
        answer = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answer.set_result, 7))
        with loop.outside():
            thread.start()
            assert await answer == 7
        thread.join()

    simulate(program, seeds=range(5))


def test_why_knows_a_thread_that_is_waited_for() -> None:
    """As on any other loop: also while it waits for its turn."""
    kinds: list[str] = []
    release = threading.Event()

    async def program() -> None:
        loop: Any = asyncio.get_running_loop()
        waiting = spawn(asyncio.to_thread, release.wait, 30)
        for _ in range(3):
            kinds.append(why(waiting).root.kind)
            await loop.advance(1.0)
        release.set()

    simulate(program, seeds=[1])
    assert kinds[-1] == "thread"
    assert set(kinds) <= {"thread", "ready"}


def test_an_executor_of_the_programs_own_works_and_its_errors_come_through() -> None:
    """Its functions wait for their turn like others."""

    def fail() -> None:
        raise LookupError("in a thread")

    async def program() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=2) as executor:
            results = [loop.run_in_executor(executor, str, number) for number in range(3)]
            assert [await each for each in results] == ["0", "1", "2"]
            with pytest.raises(LookupError, match="in a thread"):
                await loop.run_in_executor(executor, fail)
        with pytest.raises(RuntimeError, match="shutdown"):
            await loop.run_in_executor(executor, str)

    simulate(program, seeds=range(10))


def test_a_cancelled_wait_for_a_thread_does_not_hold_up_others() -> None:
    """Whether it has begun or not."""

    async def program() -> None:
        loop = asyncio.get_running_loop()
        first, second = (loop.run_in_executor(None, str, word) for word in "ab")
        second.cancel()
        assert await first == "a"
        assert second.cancelled()
        assert await asyncio.to_thread(str, "c") == "c"

    simulate(program, seeds=range(20))


def test_threads_are_the_same_in_each_run_of_a_seed() -> None:
    """Whoever of them is faster."""
    with pytest.raises(SimulationFailed) as caught:

        async def program() -> None:
            await _programs.threads()
            raise AssertionError("to see the trace")

        simulate(program, seeds=[3])
    assert caught.value.is_deterministic
    assert any("thread: it begins" in line for line in caught.value.trace)
