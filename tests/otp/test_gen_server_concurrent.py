"""Handlers that run beside the server."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest

from mabeam import (
    Caller,
    CallTimeout,
    GenServer,
    HandlerFailed,
    ProcessDied,
    RejectedError,
    Stop,
    UsageError,
    handle_call,
    reply_later,
    resume,
    stop_self,
    suspend,
)
from mabeam.kernel import Crashed, Normal, Shutdown
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause, process_of, state_of


class Beside(GenServer):
    """At most two at a time."""

    mailbox_limit = 3

    def __init__(self) -> None:
        self.gates: dict[int, asyncio.Event] = {}
        self.log: list[Any] = []
        self.callers: list[Caller[str]] = []

    @handle_call(concurrent=2)
    async def work(self, number: int) -> int:
        self.log.append(("begin", number))
        gate = self.gates[number] = asyncio.Event()
        await gate.wait()
        self.log.append(("end", number))
        return number

    @handle_call(concurrent=1, raises=(ArithmeticError,))
    async def fail(self, error: BaseException) -> NoReturn:
        await wait_until_idle()
        raise error

    @handle_call(concurrent=1)
    async def stop_here(self, reason: Any) -> str:
        stop_self(reason)
        return "stopping"

    @handle_call(concurrent=1)
    async def later(self) -> str:
        return reply_later(self.callers.append)

    @handle_call(concurrent=1)
    async def stubborn(self) -> None:
        try:
            await for_ever()
        finally:
            await for_ever()

    @handle_call
    def read(self) -> list[Any]:
        return list(self.log)


async def test_at_most_n_run_at_once_and_the_rest_wait_in_order() -> None:
    """Each end lets the next begin; the answers go to their own callers."""
    server = await Beside.start_link()
    tasks = [await begun(server.call(Beside.work, number)) for number in range(5)]
    state = state_of(server)
    assert state.log == [("begin", 0), ("begin", 1)]
    state.gates[1].set()
    assert await tasks[1] == 1
    await wait_until_idle()
    assert state.log[2:] == [("end", 1), ("begin", 2)]
    for number in (0, 2, 3, 4):
        await wait_until_idle()
        state.gates[number].set()
    assert [await task for task in tasks] == [0, 1, 2, 3, 4]
    assert [number for what, number in state.log if what == "begin"] == [0, 1, 2, 3, 4]


async def test_the_server_stays_responsive_meanwhile() -> None:
    """Plain calls are answered, however many wait for their turn."""
    server = await Beside.start_link()
    tasks = [await begun(server.call(Beside.work, number)) for number in range(4)]
    assert await server.call(Beside.read) == [("begin", 0), ("begin", 1)]
    for number in range(4):
        state_of(server).gates[number].set()
        await tasks[number]


async def test_those_that_wait_are_bounded_by_the_mailbox_limit() -> None:
    """A flood of calls to a slow concurrent handler is rejected, and the server lives."""
    server = await Beside.start_link()
    tasks = [await begun(server.options(timeout=None).call(Beside.work, number)) for number in range(5)]
    with pytest.raises(RejectedError):
        await server.call(Beside.work, 5)
    assert len(await server.call(Beside.read)) == 2
    for number in range(5):
        state_of(server).gates[number].set()
        await tasks[number]


async def test_one_whose_caller_has_given_up_runs_in_its_turn() -> None:
    """As a serial one does: whoever stops waiting does not take the request back."""
    server = await Beside.start_link()
    tasks = [await begun(server.call(Beside.work, number)) for number in range(4)]
    tasks[2].cancel()
    state_of(server).gates[0].set()
    assert await tasks[0] == 0
    await wait_until_idle()
    assert state_of(server).log[-1] == ("begin", 2)
    for number in (1, 2, 3):
        await wait_until_idle()
        state_of(server).gates[number].set()
    assert [await tasks[1], await tasks[3]] == [1, 3]


async def test_a_suspended_server_gives_no_place_to_those_that_wait() -> None:
    server = await Beside.start_link()
    tasks = [await begun(server.call(Beside.work, number)) for number in range(5)]
    await suspend(server)
    for number in range(2):
        state_of(server).gates[number].set()
    assert [await tasks[0], await tasks[1]] == [0, 1]
    await wait_until_idle()
    begins = [number for what, number in state_of(server).log if what == "begin"]
    assert begins == [0, 1]
    await resume(server)
    for number in range(2, 5):
        await wait_until_idle()
        state_of(server).gates[number].set()
    assert [await task for task in tasks] == [0, 1, 2, 3, 4]


class Slow(GenServer):
    mailbox_limit = 2
    on_full = "block"

    def __init__(self) -> None:
        self.done = 0

    @handle_call(concurrent=1)
    async def work(self) -> None:
        self.done += 1
        await pause(0.5)

    @handle_call
    def served(self) -> int:
        return self.done


async def test_one_that_only_waited_for_room_is_told_that_nothing_was_done() -> None:
    """As in front of a full mailbox: one has the place, two wait for it, the others for room."""
    server = await Slow.start_link()
    tasks = [await begun(server.options(timeout=0.1).call(Slow.work)) for _ in range(10)]
    outcomes = [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]
    assert outcomes == [CallTimeout] * 3 + [RejectedError] * 7
    await pause(5.0)
    assert await server.call(Slow.served) == 1


async def test_one_that_waited_for_room_and_got_it_is_served() -> None:
    server = await Slow.start_link()
    tasks = [await begun(server.options(timeout=5.0).call(Slow.work)) for _ in range(6)]
    assert await asyncio.gather(*tasks) == [None] * 6


async def test_a_server_forgets_callers_who_have_given_up() -> None:
    """Those who had a place, those who waited for one, and one that was cancelled before it was taken."""
    server = await Slow.start_link()
    for _ in range(3):
        calls = [server.options(timeout=0.1).call(Slow.work) for _ in range(5)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in outcomes} == {CallTimeout, RejectedError}
        await pause(5.0)
        assert not process_of(server).callers
    await suspend(server)
    cancelled = await begun(server.options(timeout=0.1).call(Slow.work))
    cancelled.cancel()
    await resume(server)
    await pause(5.0)
    assert not process_of(server).callers


async def test_one_whose_arguments_do_not_fit_does_not_hold_up_those_behind_it() -> None:
    """It is refused when its turn comes, and the turn is the next one's."""
    server = await Beside.start_link()
    tasks = [await begun(server.call(Beside.work, number)) for number in range(2)]
    wrong = await begun(server.call(Beside.work))  # type: ignore[call-overload]
    tasks.append(await begun(server.call(Beside.work, 2)))
    for number in range(3):
        state_of(server).gates[number].set()
        assert await tasks[number] == number
    with pytest.raises(UsageError, match="does not fit"):
        await wrong


@pytest.mark.parametrize(
    "error", [KeyError("k"), asyncio.CancelledError(), UsageError("mine"), TypeError("mine"), GeneratorExit()]
)
async def test_an_undeclared_error_reaches_the_caller_as_handler_failed_and_the_server_lives(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause is chained, and one report is logged."""
    server = await Beside.start_link()
    with pytest.raises(HandlerFailed) as caught:
        await server.call(Beside.fail, error)
    assert caught.value.__cause__ is error
    assert caught.value.handler == "Beside.fail"
    assert [record.levelname for record in caplog.records if record.name == "mabeam"] == ["ERROR"]
    assert await server.call(Beside.read) == []
    with pytest.raises(ArithmeticError, match="declared"):
        await server.call(Beside.fail, ArithmeticError("declared"))


async def test_stop_raised_in_one_ends_the_server_and_its_caller_gets_no_answer() -> None:
    """So do the callers of the others."""
    server = await Beside.child_spec().start()
    other = await begun(server.call(Beside.work, 1))
    with pytest.raises(ProcessDied) as caught:
        await server.call(Beside.fail, Stop(Shutdown("enough")))
    assert caught.value.reason == Shutdown("enough")
    with pytest.raises(ProcessDied) as caught:
        await other
    assert caught.value.reason == Shutdown("enough")


async def test_stop_self_in_one_answers_its_caller_and_ends_the_server() -> None:
    """In the order of the mailbox."""
    probe = Probe.start()
    server = await Beside.child_spec().start()
    probe.watch(server)
    assert await server.call(Beside.stop_here, Shutdown("done")) == "stopping"
    assert (await probe.next()).reason == Shutdown("done")


async def test_reply_later_works_in_one() -> None:
    """The handler's place is free before the answer comes."""
    server = await Beside.start_link()
    first = await begun(server.call(Beside.later))
    second = await begun(server.call(Beside.later))
    for caller in state_of(server).callers:
        caller.reply("now")
    assert [await first, await second] == ["now", "now"]


async def test_those_that_run_are_cancelled_at_the_end_and_have_the_grace() -> None:
    """One that swallows its cancellation is frozen after a second, and holds nothing up."""
    server = await Beside.child_spec().start()
    call = await begun(server.options(timeout=None).call(Beside.stubborn))
    await server.stop()
    assert clock().time() == 1.0
    with pytest.raises(ProcessDied):
        await call


def test_a_handler_cannot_be_declared_in_a_way_that_makes_no_sense() -> None:
    """Each is found where the class is written."""
    with pytest.raises(UsageError, match="exclude each other"):
        handle_call(concurrent=1, thread=True)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="concurrent expects"):
        handle_call(concurrent=-1)
    with pytest.raises(UsageError, match="raises expects"):
        handle_call(raises=ValueError)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="needs 'async def'"):

        @handle_call(concurrent=1)  # type: ignore[type-var]
        def plain(self: Any) -> None: ...

    with pytest.raises(UsageError, match="needs a plain 'def'"):

        @handle_call(thread=True)
        async def waiting(self: Any) -> None: ...


async def test_normal_is_the_reason_of_a_server_that_stops_itself_normally() -> None:
    """Crashed is for exceptions only."""
    probe = Probe.start()
    server = await Beside.child_spec().start()
    probe.watch(server)
    await server.call(Beside.stop_here, Normal())
    reason = (await probe.next()).reason
    assert reason == Normal()
    assert not isinstance(reason, Crashed)
