"""Injected faults of plain processes: they take their messages themselves, so a fault waits for them in ``receive``."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from mabeam import receive, self_pid, send, send_after, spawn, spawn_monitor
from mabeam.kernel import Crashed, Down, demonitor, monitor, resume, suspend
from mabeam.testing import Faults, InjectedFault, SimulationFailed, replay, simulate


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pass_on(parent: Any, count: int) -> None:
    for _ in range(count):
        send(parent, (await receive(), _now()))


def test_a_message_is_late_and_the_order_is_kept() -> None:
    """Whether the process waits for it or comes to it later."""
    times: list[float] = []

    async def program() -> None:
        pid = spawn(_pass_on, self_pid(), 6)
        for number in range(3):
            send(pid, number)
        send_after(20.0, pid, 3)
        got = [await receive() for _ in range(4)]
        for number in range(4, 6):
            send(pid, number)
        got += [await receive() for _ in range(2)]
        assert [number for number, _ in got] == [0, 1, 2, 3, 4, 5]
        times.extend((got[0][1], got[3][1] - 20.0))

    result = simulate(program, seeds=range(60), faults=Faults(delay=0.5, max_delay=4.0), max_faults=2)
    assert result.faults > 60
    assert max(times[::2]) > 1.0  # found in the mailbox
    assert max(times[1::2]) > 1.0  # waited for
    assert max(times) <= 8.0


def test_a_timeout_may_come_before_a_late_message() -> None:
    """As when its sender is slow; nothing is lost by that."""
    seen: Counter[str] = Counter()

    async def waiter(parent: Any) -> None:
        try:
            await receive(timeout=1.0)
        except TimeoutError:
            assert _now() == 1.0
            await receive(timeout=0)
            seen["late"] += 1
        else:
            seen["in time"] += 1
        send(parent, "done")

    async def program() -> None:
        pid = spawn(waiter, self_pid())
        send_after(0.5, pid, "news")
        await receive()

    simulate(program, seeds=range(60), faults=Faults(delay=0.8, max_delay=10.0), max_faults=1)
    assert seen["late"] > 10
    assert seen["in time"] > 10


def test_what_was_sent_before_an_answer_is_there_when_that_comes() -> None:
    """Late or not: signals between two processes arrive in the order sent, and an answer is one."""
    late: list[float] = []

    async def worker() -> None:
        client, ref = await receive()
        send(client, "progress")
        ref.set_result(None)

    async def client(parent: Any) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        send(spawn(worker), (self_pid(), answer))
        await answer
        answered = _now()
        assert await receive(timeout=0) == "progress"
        late.append(_now() - answered)
        send(parent, "done")

    async def program() -> None:
        spawn(client, self_pid())
        await receive()

    simulate(program, seeds=range(60), faults=Faults(delay=0.5, only=[client]), max_faults=1)
    assert max(late) > 0.5


def test_a_late_message_is_not_lost_by_a_cancelled_wait() -> None:
    """It is put back, whether its delay is over or not."""
    seen: Counter[str] = Counter()

    async def waiter(parent: Any) -> None:
        try:
            async with asyncio.timeout(1.0):
                assert await receive() == "first"
        except TimeoutError:
            seen["late"] += 1
            assert await receive() == "first"
        assert await receive() == "second"
        send(parent, "done")

    async def program() -> None:
        pid = spawn(waiter, self_pid())
        send(pid, "first")
        send(pid, "second")
        await receive()

    simulate(program, seeds=range(60), faults=Faults(delay=0.5), max_faults=2)
    assert seen["late"] > 10


def test_a_cancelled_wait_for_a_certain_message_leaves_the_order() -> None:
    """What came before it and was not wanted is still before it."""
    seen: Counter[str] = Counter()

    async def waiter(parent: Any) -> None:
        try:
            async with asyncio.timeout(1.0):
                assert await receive(str) == "second"
                assert await receive() == 1
        except TimeoutError:
            seen["late"] += 1
            assert [await receive(), await receive()] == [1, "second"]
        send(parent, "done")

    async def program() -> None:
        pid = spawn(waiter, self_pid())
        send(pid, 1)
        send(pid, "second")
        await receive()

    simulate(program, seeds=range(60), faults=Faults(delay=0.7), max_faults=1)
    assert seen["late"] > 10


def test_a_late_down_can_still_be_flushed() -> None:
    """It lies in the mailbox, and so ``demonitor`` finds it."""

    async def watcher(parent: Any) -> None:
        pid = spawn(_pass_on, parent, 0)
        ref = monitor(pid)
        with pytest.raises(TimeoutError):
            await receive(lambda got: got == "news", timeout=1.0)
        demonitor(ref, flush=True)
        with pytest.raises(TimeoutError):
            await receive(timeout=100.0)
        send(parent, "done")

    async def program() -> None:
        spawn(watcher, self_pid())
        await receive()

    assert simulate(program, seeds=range(30), faults=Faults(delay=1.0)).faults >= 30


def test_a_suspended_process_gets_nothing_when_a_delay_is_over() -> None:
    """Only when it is resumed."""

    async def program() -> None:
        pid = spawn(_pass_on, self_pid(), 1)
        send_after(1.0, self_pid(), "suspend")
        send_after(2.0, pid, "news")
        send_after(50.0, self_pid(), "resume")
        assert await receive() == "suspend"
        await suspend(pid)
        assert await receive() == "resume"
        await resume(pid)
        _, when = await receive()
        assert when >= 50.0

    assert simulate(program, seeds=range(30), faults=Faults(delay=1.0)).faults >= 30


def test_a_crash_is_raised_where_the_message_is_received() -> None:
    """And can be caught there, as any other exception of that code."""
    seen: Counter[str] = Counter()

    async def careful(parent: Any) -> None:
        try:
            await receive()
        except InjectedFault as error:
            seen[str(error.fault)] += 1
        send(parent, "done")

    async def program() -> None:
        pid, ref = spawn_monitor(_pass_on, self_pid(), 1)
        send(pid, "news")
        message = await receive()
        if isinstance(message, Down):
            assert message.ref is ref
            assert isinstance(message.reason, Crashed)
            assert isinstance(message.reason.exception, InjectedFault)
            seen["crashed"] += 1
        send(spawn(careful, self_pid()), "news")
        await receive(lambda got: got == "done")

    simulate(program, seeds=range(60), faults=Faults(crash=0.3), max_faults=1)
    assert seen["crashed"] > 5
    assert seen["crash: careful receives 'news' (1st time)"] > 5


@pytest.mark.parametrize("kind", ["crash", "delay"])
def test_what_it_needs_is_found_and_can_be_seen_again(kind: str) -> None:
    """One fault at one place, whichever it is."""

    async def program() -> None:
        pid = spawn(_pass_on, self_pid(), 3)
        for number in range(3):
            send(pid, number)
        for _ in range(3):
            _, when = await receive(timeout=1000.0)
            assert when < 2.0

    faults = Faults(crash=0.2) if kind == "crash" else Faults(delay=0.4)
    with pytest.raises(SimulationFailed) as caught:
        simulate(program, faults=faults)
    failed = caught.value
    assert [fault.kind for fault in failed.faults] == [kind]
    assert failed.choices == ()
    with pytest.raises(SimulationFailed) as again:
        replay(program, failed.token)
    assert again.value.trace == failed.trace
