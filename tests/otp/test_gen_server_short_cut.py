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
    Stop,
    handle_call,
    handle_cast,
    kill,
    self_pid,
    send,
    send_exit,
)
from mabeam.kernel import Exited, Killed, Normal, Shutdown, in_thread
from mabeam.testing import Probe, wait_until_idle


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
