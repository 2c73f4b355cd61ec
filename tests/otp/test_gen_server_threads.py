"""Handlers that run in threads: what they may do, and what becomes of one that hangs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mabeam import (
    GenServer,
    NoSuchProcess,
    ProcessDied,
    handle_call,
    handle_cast,
    in_thread,
    portal,
    self_pid,
    spawn,
)
from mabeam.kernel import Killed, Runtime, Shutdown, kill
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import clock, pid_of, process_of, state_of


class Echo(GenServer):
    """Answers at once."""

    @handle_call
    def read(self) -> list[Any]:
        return []


class Blocking(GenServer):
    """Runs code that blocks."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.escaped: list[BaseException] = []
        self.left = threading.Event()

    @handle_call(thread=True)
    def where(self) -> int:
        return threading.get_ident()

    @handle_call(thread=True)
    def ask_back(self, other: Any) -> Any:
        return portal().call(other, Echo.read)

    @handle_call(thread=True)
    def touch(self) -> Any:
        return self_pid()

    @handle_call(thread=True)
    def hang(self) -> None:
        try:
            self.release.wait(30)
            try:
                portal().send("anybody", "hello")
            except BaseException as error:
                self.escaped.append(error)
            try:
                self_pid()
            except BaseException as error:
                self.escaped.append(error)
        finally:
            self.left.set()

    @handle_call
    def ping(self) -> str:
        return "pong"


async def test_a_thread_handler_runs_off_the_loop_and_the_server_waits_for_it() -> None:
    """Its answer comes as any other."""
    server = await Blocking.start_link()
    assert await server.call(Blocking.where) != threading.get_ident()


async def test_the_portal_leads_back_from_a_thread() -> None:
    """While the handler of the thread's own server waits."""
    other = await Echo.start_link()
    server = await Blocking.start_link()
    assert await server.call(Blocking.ask_back, other) == []


async def test_the_kernel_cannot_be_touched_from_a_thread() -> None:
    """It says what to use instead."""
    server = await Blocking.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Blocking.touch)
    assert "portal" in str(caught.value.__cause__)


@pytest.mark.parametrize("how", ["stop", "kill", "exit"])
async def test_a_thread_that_hangs_is_left_behind_and_fenced(how: str, runtime: Runtime) -> None:
    """Its server ends without it, and what it asks of the kernel from then on raises."""
    probe = Probe.start()
    server = await Blocking.child_spec().start()
    probe.watch(server)
    state = state_of(server)
    call = asyncio.create_task(server.options(timeout=None).call(Blocking.hang))
    await wait_until_idle()
    if how == "stop":
        stopping = asyncio.create_task(server.stop())
        await wait_until_idle()
        assert not stopping.done()  # in the order of the mailbox, behind the handler
        stopping.cancel()
    if how == "kill":
        kill(server)
    else:
        probe.send(pid_of(server), "x")
        process_of(server).kernel.signal(process_of(server), runtime.root, Shutdown("x"))
    assert (await probe.next()).reason == (Killed() if how == "kill" else Shutdown("x"))
    with pytest.raises(ProcessDied):
        await call
    state.release.set()
    with clock().outside():
        assert state.left.wait(30)
    assert [type(error) for error in state.escaped] == [NoSuchProcess, NoSuchProcess]
    await wait_until_idle()


class Listener(GenServer):
    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    @handle_cast
    def hear(self, word: str) -> None:
        self.heard.append(word)


@pytest.mark.real_time
@pytest.mark.parametrize("in_thread_of", [in_thread, asyncio.to_thread], ids=["in_thread", "to_thread"])
async def test_a_cast_of_a_thread_that_was_left_behind_is_refused(in_thread_of: Any) -> None:
    """Whoever made the thread: its process is dead, and nobody answers for what it does."""
    heard: list[str] = []
    listener = await Listener.start_link(heard)
    begun, release, left = threading.Event(), threading.Event(), threading.Event()
    outcome: list[BaseException] = []

    def late() -> None:
        begun.set()
        release.wait()
        try:
            listener.cast(Listener.hear, "from the grave")
        except BaseException as error:
            outcome.append(error)
        left.set()

    async def body() -> None:
        await in_thread_of(late)

    pid = spawn(body)
    await in_thread(begun.wait)
    kill(pid)
    while pid.is_alive:
        await in_thread(int)
    release.set()
    await in_thread(left.wait)
    assert [type(each) for each in outcome] == [NoSuchProcess]
    listener.cast(Listener.hear, "the living")
    while not heard:
        await in_thread(int)
    assert heard == ["the living"]
