"""What a server does by itself: going on after a handler, and noticing silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    GenServer,
    IdleTimeout,
    ProcessDied,
    UsageError,
    continue_with,
    get_state,
    handle_call,
    handle_cast,
    idle_timeout,
    resume,
    send,
    suspend,
)
from mabeam.kernel import Crashed, Shutdown, current_process
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, pause, pid_of, state_of


class Stepper(GenServer):
    """Goes on by itself."""

    def __init__(self, steps: int = 0) -> None:
        self.log: list[Any] = []
        if steps:
            continue_with(steps)

    @handle_call
    def step(self, *numbers: int) -> str:
        for number in numbers:
            continue_with(number)
        return "begun"

    @handle_cast
    def step_on(self, number: int) -> None:
        continue_with(number)

    @handle_cast
    def put(self, item: object) -> None:
        self.log.append(item)

    def handle_continue(self, argument: object) -> None:
        assert isinstance(argument, int)
        self.log.append(argument)
        if argument < 0:
            raise ValueError(argument)
        if argument > 1:
            continue_with(argument - 1)

    @handle_call
    def read(self) -> list[Any]:
        return list(self.log)


async def test_a_continuation_runs_before_any_message_that_waits() -> None:
    """Asked for in __init__, it comes before the first message; asked for in a handler, before the next."""
    server = await Stepper.start_link(3)
    server.cast(Stepper.put, "a")
    assert await server.call(Stepper.read) == [3, 2, 1, "a"]
    server.cast(Stepper.put, "b")
    stepped = asyncio.create_task(server.call(Stepper.step, 2))
    log = asyncio.create_task(server.call(Stepper.read))
    assert await stepped == "begun"
    assert await log == [3, 2, 1, "a", "b", 2, 1]
    server.cast(Stepper.put, "c")
    assert await server.call(Stepper.read) == [3, 2, 1, "a", "b", 2, 1, "c"]


async def test_continuations_run_in_the_order_asked_for() -> None:
    """Also when there are several of one handler."""
    server = await Stepper.start_link()
    assert await server.call(Stepper.step, 1, 0, 1) == "begun"
    assert await server.call(Stepper.read) == [1, 0, 1]


@pytest.mark.simulate(False, reason="how soon others have their turn is promised for the ordinary order only")
async def test_a_chain_of_continuations_may_be_long_and_starves_nobody() -> None:
    """Each link is a turn of the server's, not a deeper call."""
    seen: list[int] = []

    class Watcher(GenServer):
        @handle_cast
        def look(self) -> None:
            seen.append(len(state_of(long).log))

    long = await Stepper.start_link()
    other = await Watcher.start_link()
    long.cast(Stepper.step_on, 20_000)
    long.cast(Stepper.put, "after")
    other.cast(Watcher.look)
    await wait_until_idle()
    assert seen[0] < 100
    log = await long.call(Stepper.read)
    assert len(log) == 20_001
    assert log[-1] == "after"


async def test_a_continuation_that_raises_crashes_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """The call that asked for it has its answer; the report names the continuation."""
    probe = Probe.start()
    server = await Stepper.child_spec().start()
    probe.watch(server)
    assert await server.call(Stepper.step, -1) == "begun"
    assert (await probe.next()).reason == Crashed(ValueError(-1))
    assert "Stepper.handle_continue" in caplog.text


async def test_continue_with_needs_handle_continue_and_a_server() -> None:
    """Both mistakes say what is missing."""

    class Forgetful(GenServer):
        @handle_call
        def go(self) -> None:
            continue_with(1)

    with pytest.raises(UsageError, match="belongs in a GenServer"):
        continue_with(1)
    server = await Forgetful.child_spec().start()
    probe = Probe.start()
    probe.watch(server)
    await server.call(Forgetful.go)
    reason = (await probe.next()).reason
    assert "must define handle_continue" in str(reason.exception)


# ------------------------------------------------------------------------------------------------- silence


class Sleepy(GenServer):
    """Notes when it was left alone."""

    def __init__(self, first: float | None = None) -> None:
        self.idle_at: list[float] = []
        if first is not None:
            idle_timeout(first)

    @handle_call
    def wait(self, seconds: float) -> None:
        idle_timeout(seconds)

    @handle_call
    async def wait_later(self, seconds: float) -> None:
        await pause(1.0)
        idle_timeout(seconds)

    @handle_call(concurrent=1)
    async def touch(self) -> None: ...

    @handle_cast
    def nothing(self) -> None: ...

    def handle_info(self, message: object) -> None:
        if isinstance(message, IdleTimeout):
            self.idle_at.append(current_process().kernel.loop.time())


async def test_silence_for_as_long_as_asked_reaches_handle_info_once() -> None:
    """Measured from the end of the handler; it has to be asked for again."""
    server = await Sleepy.start_link(2.0)
    await clock().advance(10)
    assert state_of(server).idle_at == [2.0]
    await server.call(Sleepy.wait, 3.0)
    await clock().advance(10)
    assert state_of(server).idle_at == [2.0, 13.0]


async def test_introspection_does_not_break_a_silence() -> None:
    """Somebody who looks at a server must not change what it does."""
    server = await Sleepy.start_link()
    await server.call(Sleepy.wait, 2.0)
    await clock().advance(1)
    await get_state(server)
    await suspend(server)
    await resume(server)
    await clock().advance(5)
    assert state_of(server).idle_at == [2.0]


async def test_introspection_that_waits_in_the_mailbox_does_not_break_a_silence() -> None:
    server = await Sleepy.start_link()
    holding = await begun(server.call(Sleepy.wait_later, 2.0))
    looking = await begun(get_state(server))
    await holding
    await looking
    await clock().advance(5)
    assert state_of(server).idle_at == [3.0]


@pytest.mark.parametrize("how", ["call", "concurrent", "cast", "info"])
async def test_any_message_ends_the_wait_for_silence(how: str) -> None:
    """Whatever it is, and whether it runs beside the server or not."""
    server = await Sleepy.start_link()
    await server.call(Sleepy.wait, 2.0)
    await clock().advance(1)
    if how == "call":
        with pytest.raises(UsageError, match="does not fit"):
            await server.call(Sleepy.wait)  # type: ignore[call-overload]
    elif how == "concurrent":
        await server.call(Sleepy.touch)
    elif how == "cast":
        server.cast(Sleepy.nothing)
    else:
        send(pid_of(server), how)
    await clock().advance(10)
    assert state_of(server).idle_at == []


async def test_a_silence_of_0_comes_at_once_unless_a_message_waits() -> None:
    """The message is taken instead."""
    server = await Sleepy.start_link()
    await server.call(Sleepy.wait, 0)
    await wait_until_idle()
    await clock().advance(0)
    assert state_of(server).idle_at == [0.0]
    server.cast(Sleepy.nothing)
    waited = asyncio.create_task(server.call(Sleepy.wait, 0))
    touched = asyncio.create_task(server.call(Sleepy.touch))
    await asyncio.wait((waited, touched))
    await clock().advance(10)
    assert state_of(server).idle_at == [0.0]


async def test_the_wait_for_silence_ends_with_its_process() -> None:
    """No timer of a dead process is left in the loop."""
    loop: Any = clock()
    before = len(loop._scheduled)
    server = await Sleepy.start_link(3600.0)
    assert len(loop._scheduled) > before
    await server.stop(Shutdown())
    assert not [timer for timer in loop._scheduled if not timer.cancelled()][before:]


async def test_a_negative_wait_for_silence_is_refused() -> None:
    """It is a mistake of the handler, and crashes it."""
    server = await Sleepy.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Sleepy.wait, -1.0)
    assert isinstance(caught.value.__cause__, UsageError)
