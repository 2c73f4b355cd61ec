"""Probes record what they get; idle is when nothing more happens by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import (
    Crashed,
    Down,
    Exited,
    ExitSignal,
    Killed,
    Pid,
    Runtime,
    Shutdown,
    kill,
    receive,
    self_pid,
    send,
    send_after,
    send_exit,
    spawn,
)
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.mabeam


async def _serve() -> None:
    while True:
        sender, text = await receive()
        send(sender, text.upper())


async def test_a_probe_records_messages_in_the_order_of_arrival() -> None:
    """Each is given out once, and all stay to be looked at."""
    probe = Probe.start()
    for number in range(3):
        send(probe.pid, number)
    assert [await probe.next() for _ in range(3)] == [0, 1, 2]
    assert probe.messages == (0, 1, 2)
    assert probe.pending == ()


async def test_a_probe_can_be_waited_for_before_the_message_comes() -> None:
    """Those who wait are served in their order."""
    probe = Probe.start()
    send_after(10, probe.pid, "late")
    assert await probe.next(timeout=11) == "late"
    assert asyncio.get_running_loop().time() == 10.0


async def test_wait_for_takes_what_matches_and_leaves_the_rest() -> None:
    """By class, by several, by predicate; among what is there and what is to come."""
    probe = Probe.start()
    for message in (1, "two", 3.0, 40):
        send(probe.pid, message)
    send_after(1, probe.pid, "five")
    assert await probe.wait_for(str) == "two"
    assert await probe.wait_for((float, str)) == 3.0
    assert await probe.wait_for(lambda message: message == 40) == 40
    assert await probe.wait_for(str) == "five"
    assert probe.pending == (1,)
    assert await probe.next() == 1


@pytest.mark.parametrize("match", [int | str, (int | None, str)])
async def test_a_probe_takes_unions_as_receive_does(match: Any) -> None:
    """And leaves what is of none of their classes."""
    probe = Probe.start()
    for message in (1.0, "two"):
        send(probe.pid, message)
    assert await probe.wait_for(match) == "two"
    assert probe.pending == (1.0,)


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        (5, r"wait_for expects a class, .*got 5: a limit is given by name, wait_for\(timeout=5\)"),
        (list[int], r"wait_for expects a class, .*got list\[int\]"),
        (_serve, "wait_for asks .*_serve.*must be a plain function, and it is async"),
    ],
)
async def test_a_probe_refuses_what_receive_refuses(match: Any, problem: str) -> None:
    """Before it waits, and with its own name in the error."""
    probe = Probe.start()
    send(probe.pid, 5)
    with pytest.raises(UsageError, match=problem):
        await probe.wait_for(match)
    assert await probe.next() == 5


async def test_a_probe_that_waits_in_vain_says_what_it_got() -> None:
    """After its time, and it loses nothing."""
    probe = Probe.start("mailbox")
    send(probe.pid, "other")
    with pytest.raises(
        TimeoutError,
        match=r"'mailbox'.* expected a message that fits <class 'int'> within 2 s; it has 'other'",
    ):
        await probe.wait_for(int, timeout=2)
    assert asyncio.get_running_loop().time() == 2.0
    assert await probe.next() == "other"


async def test_a_cancelled_wait_loses_no_message() -> None:
    """Also when the message has been handed over, and whoever waited for it is cancelled before it could take it."""
    loop = asyncio.get_running_loop()
    probe = Probe.start()

    def cancel_after_the_hand_over(_message: object) -> bool:
        # Runs right before the hand-over, so the cancellation comes after it and before the waiter's turn.
        loop.call_soon(waiting.cancel)
        return True

    waiting = asyncio.create_task(probe.wait_for(cancel_after_the_hand_over))
    await wait_until_idle()
    send(probe.pid, "precious")
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    assert probe.pending == ("precious",)


async def test_a_message_and_a_timeout_in_one_turn_lose_nothing() -> None:
    """Either it is given out, or it stays."""
    probe = Probe.start()
    await wait_until_idle()
    waiting = asyncio.ensure_future(probe.next(timeout=0.0))
    send(probe.pid, "in time")
    try:
        got = await waiting
    except TimeoutError:
        (got,) = probe.pending
    assert got == "in time"


async def test_a_cancelled_wait_leaves_the_order_of_arrival() -> None:
    """What was just being given out goes to the next who waits for it, or back to its place."""
    probe = Probe.start()
    first = asyncio.ensure_future(probe.wait_for(str))
    await wait_until_idle()
    for message in (1, "word", 2):
        send(probe.pid, message)
    while probe.messages != (1, "word", 2):
        await Turn()
    assert first.cancel()
    await wait_until_idle()
    assert first.cancelled()
    assert probe.pending == (1, "word", 2)
    first, second = (asyncio.ensure_future(probe.wait_for(bytes)) for _ in range(2))
    await wait_until_idle()
    send(probe.pid, b"bytes")
    while len(probe.messages) != 4:
        await Turn()
    first.cancel()
    assert await second == b"bytes"


async def test_the_error_of_a_match_belongs_to_who_waits() -> None:
    """The probe goes on, and the message goes to others."""
    probe = Probe.start()

    def fussy(message: Any) -> bool:
        raise StopIteration if message == "stop" else LookupError(message)

    asking = [asyncio.ensure_future(probe.wait_for(match)) for match in (fussy, str)]
    await wait_until_idle()
    send(probe.pid, "word")
    with pytest.raises(LookupError, match="word"):
        await asking[0]
    assert await asking[1] == "word"
    again = asyncio.ensure_future(probe.wait_for(fussy))
    await wait_until_idle()
    send(probe.pid, "stop")
    with pytest.raises(RuntimeError, match="StopIteration"):
        await again
    assert probe.pid.is_alive
    assert probe.pending == ("stop",)


async def test_a_match_that_ends_the_wait_loses_no_message() -> None:
    """It goes to the next who asks."""
    probe = Probe.start()

    def cancel_at_once(_message: object) -> bool:
        return waiting.cancel()

    waiting = asyncio.create_task(probe.wait_for(cancel_at_once))
    await wait_until_idle()
    send(probe.pid, "precious")
    await asyncio.wait((waiting,))
    assert await probe.next() == "precious"


async def test_an_exit_signal_is_a_message_and_ends_nothing() -> None:
    """Except ``Shutdown`` from whoever started the probe."""
    probe, other = Probe.start(), Probe.start()
    other._act(send_exit, probe.pid, Shutdown())
    send_exit(probe.pid, Exited("enough"))
    assert await probe.next() == ExitSignal(other.pid, Shutdown())
    assert await probe.next() == ExitSignal(self_pid(), Exited("enough"))
    send_exit(probe.pid, Shutdown())
    await wait_until_idle()
    assert not probe.pid.is_alive


async def test_a_probe_talks_with_a_process() -> None:
    """As any other process."""
    server = spawn(_serve)
    probe = Probe.start()
    probe.send(server, (probe.pid, "hello"))
    assert await probe.next() == "HELLO"


async def test_a_watching_probe_is_told_of_the_end() -> None:
    """Once for each monitor that it still has."""
    server = spawn(_serve)
    probe = Probe.start()
    kept, ended = probe.watch(server), probe.watch(server)
    probe.unwatch(ended)
    kill(server)
    assert await probe.next() == Down(kept, server, Killed())
    await wait_until_idle()
    assert probe.pending == ()


async def test_the_end_of_what_a_probe_is_linked_to_is_a_message() -> None:
    """It traps exits, from the first moment."""

    async def crash() -> None:
        raise ValueError("no")

    probe = Probe.start()
    pid = spawn(_wait_and(crash))
    probe.link(pid)
    send(pid, "go")
    assert await probe.wait_for(ExitSignal) == ExitSignal(pid, Crashed(ValueError("no")))


def _wait_and(function: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def body() -> None:
        await receive()
        await function()

    return body


async def test_the_end_of_a_probe_is_a_signal_to_those_linked_to_it() -> None:
    """Unless the link was cut."""
    linked, unlinked = spawn(_serve), spawn(_serve)
    probe, watcher = Probe.start(), Probe.start()
    probe.link(linked)
    probe.link(unlinked)
    probe.unlink(unlinked)
    down = watcher.watch(linked)
    probe.kill()
    assert await watcher.next() == Down(down, linked, Killed())
    await wait_until_idle()
    assert unlinked.is_alive
    assert "dead" in repr(probe)


async def test_idle_is_when_all_that_was_sent_has_had_its_effect() -> None:
    """Through any number of processes, and without time passing."""
    probe = Probe.start()

    async def relay(following: Pid) -> None:
        send(following, await receive())

    first = probe.pid
    for _ in range(50):
        first = spawn(relay, first)
    send(first, "passed on")
    send_after(1, probe.pid, "later")
    await wait_until_idle()
    assert probe.messages == ("passed on",)
    assert asyncio.get_running_loop().time() == 0.0


async def _passed_on_through_many(runtime: Runtime) -> None:
    probe = Probe.start()

    async def relay(following: Pid) -> None:
        send(following, await receive())

    first = probe.pid
    for _ in range(50):
        first = spawn(relay, first)
    send(first, "passed on")
    await asyncio.gather(wait_until_idle(runtime), wait_until_idle())
    assert probe.messages == ("passed on",)


@pytest.mark.real_time
async def test_idle_is_exact_on_a_real_loop(runtime: Runtime) -> None:
    """Also when two wait for it at once, who would otherwise see each other at work."""
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)
    await _passed_on_through_many(runtime)


@pytest.mark.real_time(loop="uvloop")
async def test_idle_works_on_uvloop(runtime: Runtime) -> None:
    """For chains that are not too long."""
    assert type(asyncio.get_running_loop()).__module__ == "uvloop"
    await _passed_on_through_many(runtime)


def test_outside_of_any_runtime_there_are_no_probes() -> None:
    """And the error says what to do."""
    with pytest.raises(UsageError, match="async with Runtime"):
        Probe.start()


def test_a_probe_stops_with_its_runtime() -> None:
    """At once, though it traps exits."""

    async def main() -> tuple[Probe, float]:
        async with Runtime():
            probe = Probe.start()
        return probe, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        probe, time = runner.run(main())
    assert not probe.pid.is_alive
    assert time == 0.0
