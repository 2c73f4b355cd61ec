"""Timers: messages that are sent later, unless somebody thinks better of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import in_thread, kill, receive, register, self_pid, send, send_after, spawn, unregister
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import process_of, spawn_idle, wait_for_ever

if TYPE_CHECKING:
    from mabeam.kernel import Runtime
    from mabeam.testing import VirtualLoop


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_message_is_sent_when_its_time_has_come() -> None:
    """In the order of the times; equal ones in the order they were set."""
    for seconds, message in ((2, "c"), (1, "a"), (1, "b"), (0, "now")):
        send_after(seconds, self_pid(), message)
    assert [(await receive(), _now()) for _ in range(4)] == [("now", 0), ("a", 1), ("b", 1), ("c", 2)]


async def test_a_timer_tells_what_is_left(virtual_loop: VirtualLoop) -> None:
    """Nothing, when it is over."""
    timer = send_after(10, self_pid(), "late")
    await virtual_loop.advance(4)
    assert timer.read() == 6
    assert "6 s left" in repr(timer)
    assert timer.cancel() == 6
    assert timer.read() is None
    assert timer.cancel() is None
    assert "over" in repr(timer)
    with pytest.raises(TimeoutError):
        await receive(timeout=20)


async def test_a_thread_may_cancel_a_timer_and_the_loop_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop keeps of it is for the loop's thread; but nothing is sent from the moment of cancelling on."""
    timer = send_after(10, self_pid(), "never")
    handle, threads = timer._handle, list[int]()

    class Watched:
        def cancel(self) -> None:
            threads.append(threading.get_ident())
            handle.cancel()  # type: ignore[union-attr]  # it has begun

    monkeypatch.setattr(timer, "_handle", Watched())
    assert await in_thread(timer.cancel) == 10
    assert timer.read() is None
    await wait_until_idle()
    assert threads == [threading.get_ident()]
    assert not process_of(self_pid()).timers
    with pytest.raises(TimeoutError):
        await receive(timeout=20)


async def test_a_timer_that_a_thread_cancels_when_it_is_due_sends_nothing(virtual_loop: VirtualLoop) -> None:
    """The loop comes to the timer first, and to what the thread has handed over after that."""

    def cancel_in_thread() -> None:
        thread = threading.Thread(target=timer.cancel)
        thread.start()
        thread.join()

    virtual_loop.call_later(1, cancel_in_thread)
    timer = send_after(1, self_pid(), "never")
    timer_behind = send_after(1, self_pid(), "behind")
    assert await receive() == "behind"
    assert timer.read() is timer_behind.read() is None


@pytest.mark.real_time(loop="uvloop")
async def test_a_timer_that_is_due_at_once_tells_what_is_left_on_uvloop() -> None:
    """There it is no timer of the loop, which counts in milliseconds."""
    timer = send_after(0.0, self_pid(), "never")
    assert timer.read() == 0
    assert "0 s left" in repr(timer)
    assert timer.cancel() == 0
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


async def test_a_timer_that_has_fired_cannot_be_cancelled() -> None:
    """And its process no longer holds it."""
    timer = send_after(1, self_pid(), "sent")
    await receive()
    assert timer.read() is None
    assert timer.cancel() is None
    assert not process_of(self_pid()).timers


async def test_a_timer_goes_with_its_receiver(runtime: Runtime, virtual_loop: VirtualLoop) -> None:
    """Not even a dead letter is left."""
    pid = spawn(wait_for_ever)
    timer = send_after(1, pid, "never")
    await wait_until_idle()
    kill(pid)
    await wait_until_idle()
    assert timer.read() is None
    await virtual_loop.advance(2)
    assert len(runtime.dead_letters) == 0


async def test_a_timer_outlives_its_sender() -> None:
    """It belongs to whom it is for."""
    probe = Probe.start()
    spawn(send_after, 1, probe.pid, "from beyond")
    assert await probe.next() == "from beyond"


async def test_a_name_is_looked_up_when_the_time_has_come(runtime: Runtime) -> None:
    """Its process of then gets the message; if there is none, the dead letters do."""
    first, probe = spawn_idle(), Probe.start()
    register("server", first)
    send_after(1, "server", "to whom it may concern")
    send_after(2, "server", "to nobody")
    unregister("server")
    register("server", probe.pid)
    assert await probe.next() == "to whom it may concern"
    unregister("server")
    with pytest.raises(TimeoutError):
        await probe.next()
    assert runtime.dead_letters.counts == {"no_name": 1}


async def test_a_timer_for_the_dead_is_a_dead_letter(runtime: Runtime, virtual_loop: VirtualLoop) -> None:
    """As any message to it."""
    pid = spawn(lambda: None)
    await wait_until_idle()
    send_after(1, pid, "late")
    await virtual_loop.advance(1)
    assert len(runtime.dead_letters) == 1


@pytest.mark.parametrize("seconds", [-1, math.nan, "1", None], ids=["negative", "nan", "str", "None"])
async def test_what_is_no_time_is_refused(seconds: Any) -> None:
    """A NaN would spoil the order of all timers of the loop."""
    with pytest.raises(UsageError, match="seconds >= 0"):
        send_after(seconds, self_pid(), "x")


async def test_a_full_mailbox_refuses_a_timer_too(runtime: Runtime) -> None:
    """It is a message of a user like any other."""
    from tests.kernel._scenes import Idle

    process = runtime.kernel.spawn(Idle("small", mailbox_limit=1), None, runtime.root, link=False)
    send_after(0, process.pid, 1)
    send(process.pid, 1)
    send(process.pid, 2)
    await wait_until_idle()
    assert runtime.dead_letters.counts.get("full") == 1


SESSION: contextvars.ContextVar[object] = contextvars.ContextVar("session")


class Session:
    """What a process has in its context."""


async def test_a_timer_keeps_nothing_that_its_sender_had_in_its_context() -> None:
    """It may be due long after the sender has ended."""
    kept: list[weakref.ref[Session]] = []
    sink = spawn_idle()

    async def sends() -> None:
        session = Session()
        SESSION.set(session)
        kept.append(weakref.ref(session))
        send_after(3600, sink, "later")

    sender = Probe.start()
    sender.watch(spawn(sends))
    await sender.next()
    gc.collect()
    assert kept[0]() is None
