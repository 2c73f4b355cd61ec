"""Direct hand-off, law by law: who goes on, who waits, who gets a turn."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from mabeam import (
    ExitReason,
    GenServer,
    Pid,
    ProcessDied,
    Ref,
    Runtime,
    Stop,
    UsageError,
    handle_call,
    handle_cast,
    kill,
    self_pid,
    send,
    send_exit,
)
from mabeam.kernel import Exited, Killed, Normal, Shutdown, in_thread
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import Turn


class Echo(GenServer):
    """Plain handlers only."""

    @handle_call
    def echo(self, value: int) -> int:
        return value

    @handle_call
    def end(self, pid: Pid, reason: ExitReason) -> None:
        if reason == Killed():
            kill(pid)
        else:
            send_exit(pid, reason)

    @handle_call
    def crash(self) -> None:
        raise ValueError

    @handle_call(raises=(KeyError,))
    def refuse(self) -> None:
        raise KeyError

    @handle_call
    def look_around(self) -> tuple[object, object]:
        return asyncio.current_task(), sys.exception()

    @handle_call
    def end_with_a_look(self, seen: list[object]) -> None:
        self.seen = seen
        raise Stop(Shutdown())

    def terminate(self, reason: ExitReason) -> None:
        if hasattr(self, "seen"):
            self.seen.append((asyncio.current_task(), sys.exception()))


class Client(GenServer):
    """Calls from a handler of its own."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    @handle_call
    async def ask(self, echo: Ref[Echo], reason: ExitReason) -> str:
        try:
            await echo.call(Echo.end, self_pid(), reason)
            self.log.append("went on")
        finally:
            self.log.append("cleaned up")
        return "asked"


@pytest.mark.parametrize("reason", [Killed(), Exited("x"), Shutdown()])
async def test_a_caller_that_is_ended_by_the_handler_it_calls_does_not_go_on(reason: ExitReason) -> None:
    """Its ``finally`` blocks run, and nothing else of it."""
    log: list[Any] = []
    echo = await Echo.start_link()
    client = await Client.child_spec(log).start()
    with pytest.raises(ProcessDied) as caught:
        await client.call(Client.ask, echo, reason)
    assert caught.value.reason == reason
    assert log == ["cleaned up"]


async def test_a_caller_whose_linked_callee_crashes_does_not_go_on() -> None:
    """The link's signal comes before the error of the call."""
    log: list[Any] = []

    class Linked(GenServer):
        @handle_call
        async def begin(self) -> None:
            echo = await Echo.start_link()
            try:
                await echo.call(Echo.crash)
            except ProcessDied:
                log.append("went on")

    linked = await Linked.child_spec().start()
    with pytest.raises(ProcessDied):
        await linked.call(Linked.begin)
    assert log == []


async def test_a_signal_that_ends_nothing_lets_the_caller_go_on() -> None:
    """Normal is ignored by one that does not trap."""
    log: list[Any] = []
    echo = await Echo.start_link()
    client = await Client.child_spec(log).start()
    assert await client.call(Client.ask, echo, Normal()) == "asked"
    assert log == ["went on", "cleaned up"]


async def test_calls_in_a_row_let_the_loop_have_its_turn() -> None:
    """After 64 at the latest, whoever waits for the loop gets on."""
    echo = await Echo.start_link()
    turns: list[int] = []
    loop = asyncio.get_running_loop()
    done = 0
    loop.call_soon(lambda: turns.append(done))
    for number in range(200):
        assert await echo.call(Echo.echo, number) == number
        done += 1
        if turns:
            break
    assert turns[0] <= 64


@pytest.mark.simulate(False, reason="how soon others have their turn is promised for the ordinary order only")
@pytest.mark.parametrize(("seconds", "most"), [(0.003, 1), (0.0006, 2), (0.0001, 16), (0.00001, 64)])
async def test_calls_in_a_row_let_the_loop_have_its_turn_when_the_time_is_over(
    seconds: float, most: int, runtime: Any
) -> None:
    """A millisecond; but the time is looked at after 1 call, 2, 4, 8 and so on."""
    now, done = 0.0, 0

    class Slow(GenServer):
        @handle_call
        def work(self) -> None:
            nonlocal now, done
            now += seconds
            done += 1

    slow = await Slow.start_link()
    runtime.kernel.scheduler.stopwatch = lambda: now
    turns: list[int] = []
    await Turn()
    asyncio.get_running_loop().call_soon(lambda: turns.append(done))
    while not turns:
        await slow.call(Slow.work)
    assert turns[0] == most


async def test_calls_in_a_row_that_are_refused_let_the_loop_have_its_turn() -> None:
    """What a handler raises takes another road back than what it returns."""
    echo = await Echo.start_link()
    turns: list[int] = []
    done = 0
    asyncio.get_running_loop().call_soon(lambda: turns.append(done))
    while not turns:
        with pytest.raises(KeyError):
            await echo.call(Echo.refuse)
        done += 1
    assert turns[0] <= 65  # the last of the row is answered first


async def test_two_callers_in_a_row_share_its_length() -> None:
    """Else many that call in one turn of the loop would hold it up, each for as long as one may."""
    echo = await Echo.start_link()
    loop, done, turns = asyncio.get_running_loop(), 0, list[int]()

    async def call() -> None:
        nonlocal done
        for number in range(40):
            await echo.call(Echo.echo, number)
            done += 1

    loop.call_soon(lambda: loop.call_soon(lambda: turns.append(done)))
    await asyncio.gather(*(call() for _ in range(10)))
    assert turns[0] <= 64 + 10


async def test_a_time_limit_holds_for_a_caller_that_only_makes_short_calls() -> None:
    """It would otherwise never be cancelled."""
    echo = await Echo.start_link()
    rounds = 0
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        while rounds < 1000:
            await echo.call(Echo.echo, 1)
            rounds += 1
    task.uncancel()
    assert rounds <= 65


class Noting(GenServer):
    """Notes what it gets."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    @handle_cast
    def note(self, item: object) -> None:
        self.log.append(item)

    @handle_call
    def ask(self, item: object) -> None:
        self.log.append(item)


async def test_a_call_does_not_overtake_a_cast_before_it() -> None:
    """The mailbox is not empty, so the call waits in it."""
    log: list[Any] = []
    echo = await Noting.start_link(log)
    echo.cast(Noting.note, 1)
    await echo.call(Noting.ask, 2)
    assert log == [1, 2]


async def test_a_probe_sees_the_same_order_of_links_and_answers() -> None:
    """What a handed-off handler sends arrives before what its caller sends afterwards."""
    probe = Probe.start()

    class Teller(GenServer):
        @handle_call
        def tell(self, number: int) -> None:
            send(probe.pid, number)

    teller = await Teller.start_link()
    for number in range(3):
        await teller.call(Teller.tell, number)
        send(probe.pid, ("after", number))
    await wait_until_idle()
    assert probe.messages == (0, ("after", 0), 1, ("after", 1), 2, ("after", 2))


async def test_code_in_a_thread_is_not_handed_anything() -> None:
    """It goes through the portal, and so through a process of its own."""
    echo = await Echo.start_link()

    def ask() -> int:
        from mabeam import portal

        answer: int = portal().call(echo, Echo.echo, 3)
        return answer

    assert await in_thread(ask) == 3


async def test_the_task_of_the_caller_is_not_that_of_the_handler() -> None:
    """A handler runs in no task, as it does for a message; it could cancel its caller otherwise."""
    echo, seen = await Echo.start_link(), list[object]()
    task = asyncio.current_task()
    assert await echo.call(Echo.look_around) == (None, None)
    assert asyncio.current_task() is task
    ending = await Echo.child_spec().start()
    with pytest.raises(ProcessDied):
        await ending.call(Echo.end_with_a_look, seen)
    assert seen == [(None, None)]
    assert asyncio.current_task() is task


async def test_an_exception_that_the_caller_handles_is_not_seen_by_the_handler() -> None:
    """It would be chained to the exceptions of the handler, and raised by an empty ``raise``."""
    echo = await Echo.child_spec().start()
    try:
        raise LookupError("the caller's")
    except LookupError:
        assert await echo.call(Echo.look_around) == (None, None)
        with pytest.raises(ProcessDied) as caught:
            await echo.call(Echo.crash)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.__context__ is None


async def test_code_of_the_loop_that_runs_in_no_task_is_not_handed_anything() -> None:
    """A coroutine that is stepped by hand, in a callback: its call is a message like that of all others."""
    echo, seen = await Echo.start_link(), list[object]()
    asked = echo.call(Echo.echo, 1)

    def step() -> None:
        assert asyncio.current_task() is None
        seen.append(asked.send(None))

    asyncio.get_running_loop().call_soon(step)
    await wait_until_idle()
    assert len(seen) == 1  # it waits for the answer, as in any other turn
    with pytest.raises(StopIteration) as answer:
        asked.send(None)
    assert answer.value.value == 1


@pytest.mark.real_time  # with two loops of its own
def test_a_loop_that_stands_still_is_not_mistaken_for_the_one_that_runs_in_its_thread() -> None:
    """A call from there is refused, whatever was called in the same thread just before."""
    ours, theirs = asyncio.new_event_loop(), asyncio.new_event_loop()
    runtime = Runtime()

    async def begin() -> Ref[Echo]:
        await runtime.__aenter__()
        echo = await Echo.start_link()
        assert await echo.call(Echo.echo, 1) == 1  # begins a row
        return echo

    async def end() -> None:
        await runtime.__aexit__(None, None, None)

    try:
        echo = ours.run_until_complete(begin())
        with pytest.raises(UsageError, match="loop"):
            theirs.run_until_complete(echo.call(Echo.echo, 2))
        ours.run_until_complete(end())
    finally:
        ours.close()
        theirs.close()
