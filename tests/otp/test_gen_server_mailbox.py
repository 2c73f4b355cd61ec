"""A mailbox has a limit: what is rejected there, and what is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    ExitReason,
    GenServer,
    ProcessDied,
    RejectedError,
    Runtime,
    handle_call,
    handle_cast,
    handle_stream,
    kill,
    monitor,
    send,
    send_after,
    send_exit,
    spawn,
    trap_exit,
)
from mabeam.kernel import Down, Exited, ExitSignal, Shutdown
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mabeam import Ref


class Small(GenServer):
    """Has room for three messages."""

    mailbox_limit = 3

    def __init__(self) -> None:
        trap_exit()
        self.gate = asyncio.Event()
        self.got: list[Any] = []

    @handle_call
    async def block(self) -> None:
        await self.gate.wait()

    @handle_call
    def watch(self, pid: Any) -> None:
        monitor(pid)

    @handle_call
    def note(self, item: object) -> None:
        self.got.append(item)

    @handle_call
    def ping(self) -> str:
        return "pong"

    @handle_cast
    def put(self, item: object) -> None:
        self.got.append(item)

    @handle_stream
    async def flow(self) -> AsyncIterator[int]:
        yield 1

    def handle_info(self, message: object) -> None:
        self.got.append(message)

    def terminate(self, reason: ExitReason) -> None:
        self.got.append(reason)


async def full() -> tuple[Ref[Small], asyncio.Task[None], Probe]:
    """A server whose mailbox is full, and who watches the probe."""
    probe = Probe.start()
    server = await Small.child_spec().start()
    await server.call(Small.watch, probe.pid)
    blocked = await begun(server.options(timeout=None).call(Small.block))
    for number in range(3):
        server.cast(Small.put, number)
    return server, blocked, probe


async def test_a_call_to_a_full_mailbox_is_rejected_at_once() -> None:
    """Nothing was done; a stream is a call in this."""
    server, blocked, _ = await full()
    with pytest.raises(RejectedError, match="mailbox"):
        await server.call(Small.ping)
    with pytest.raises(RejectedError, match="mailbox"):
        async with server.stream(Small.flow):
            pass
    assert clock().time() == 0.0
    state_of(server).gate.set()
    await blocked
    assert await server.call(Small.ping) == "pong"


async def test_a_cast_a_message_and_a_timer_become_dead_letters(runtime: Runtime) -> None:
    """They never raise."""
    server, blocked, _ = await full()
    send_after(1, pid_of(server), "timer")
    server.cast(Small.put, "cast")
    send(pid_of(server), "raw")
    await clock().advance(2)
    assert [letter.why for letter in runtime.dead_letters.latest] == ["full"] * 3
    assert [letter.message for letter in runtime.dead_letters.latest][1:] == ["raw", "timer"]
    state_of(server).gate.set()
    await blocked
    await server.call(Small.ping)
    assert state_of(server).got == [0, 1, 2]


async def test_signals_and_stop_are_exempt() -> None:
    """They take their place behind what is there."""
    server, blocked, probe = await full()
    state = state_of(server)
    spawn(send_exit, server, Exited("signal"))  # from a stranger: the parent's would end the server
    await wait_until_idle()
    probe.kill()
    await wait_until_idle()
    stopping = await begun(server.stop(Shutdown("enough")))
    state.gate.set()
    await blocked
    await stopping
    kinds = [type(each) if isinstance(each, ExitSignal | Down) else each for each in state.got]
    assert kinds == [0, 1, 2, ExitSignal, Down, Shutdown("enough")]


async def test_a_flood_costs_no_more_than_the_limit(runtime: Runtime) -> None:
    """What is too much is counted, and only the latest is kept."""
    server, blocked, _ = await full()
    for number in range(5_000):
        server.cast(Small.put, number)
    assert len(runtime.dead_letters) == 5_000
    assert len(runtime.dead_letters.latest) == 1_000
    state_of(server).gate.set()
    await blocked
    await server.stop()


async def test_what_waits_in_the_mailbox_of_a_server_that_ends_has_a_known_fate(runtime: Runtime) -> None:
    """Callers and readers are told, the rest are dead letters."""
    server = await Small.child_spec().start()
    blocked = await begun(server.options(timeout=None).call(Small.block))
    calling = await begun(server.call(Small.ping))
    server.cast(Small.put, 1)
    send(pid_of(server), "raw")
    kill(server)
    for task in (blocked, calling):
        with pytest.raises(ProcessDied):
            await task
    assert [letter.why for letter in runtime.dead_letters.latest] == ["ended", "ended"]


async def test_a_call_that_was_cancelled_in_the_mailbox_still_runs() -> None:
    """As in OTP: the request was made; only its answer reaches nobody."""
    server = await Small.start_link()
    blocked = await begun(server.options(timeout=None).call(Small.block))
    cancelled = await begun(server.call(Small.note, "late"))
    cancelled.cancel()
    state_of(server).gate.set()
    await blocked
    await wait_until_idle()
    assert "late" in state_of(server).got


async def test_a_cast_that_does_not_fit_is_a_dead_letter_and_the_server_lives(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the sender's mistake, and no code of the handler has run."""
    server: Any = await Small.start_link()
    server.cast(Small.put, 1, 2, 3)
    await wait_until_idle()
    assert pid_of(server).is_alive
    assert runtime.dead_letters.counts == {"not_understood": 1}
    assert "does not fit" in caplog.text
