"""Everything is an instance: two Runtimes in one loop, one inside the other, and in two threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from mabeam import GenServer, Lock, Ref, get_state, handle_stream, in_thread, send_after, suspend
from mabeam.errors import UsageError
from mabeam.kernel import (
    Runtime,
    Turn,
    kill,
    open_portal,
    portal,
    receive,
    register,
    self_pid,
    send,
    spawn,
    whereis,
)
from mabeam.testing import VirtualLoop, wait_until_idle
from tests.kernel._scenes import never, process_of, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def _count_tasks() -> None:
    keep = asyncio.create_task(never())
    await asyncio.wait((keep,))


async def test_two_runtimes_of_one_loop_end_in_any_order() -> None:
    """Tasks of the one that is left still belong to its processes, and the last takes the task factory away."""
    loop = asyncio.get_running_loop()
    outer_factory = loop.get_task_factory()
    leave_first, leave_second = asyncio.Event(), asyncio.Event()
    pids = []

    async def live(leave: asyncio.Event) -> None:
        async with Runtime():
            await leave.wait()
            pids.append(pid := spawn(_count_tasks))
            await wait_until_idle()
            assert len(process_of(pid).tasks or ()) == 1

    first, second = asyncio.create_task(live(leave_first)), asyncio.create_task(live(leave_second))
    await wait_until_idle()
    leave_first.set()
    await first
    leave_second.set()
    await second
    assert loop.get_task_factory() is outer_factory
    assert not any(pid.is_alive for pid in pids)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_task_factory_is_gone_after_interleaved_runtimes() -> None:
    """Whoever came first need not go last."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = Runtime(), Runtime()
        opened, closed = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with other:
                opened.set()
                await closed.wait()

        async with one:
            task = loop.create_task(live())
            await opened.wait()
        assert loop.get_task_factory() is not None
        closed.set()
        await task
        assert loop.get_task_factory() is None

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_a_factory_built_upon_ours_is_left_alone() -> None:
    """What is left of ours only passes on."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Runtime():
            ours = loop.get_task_factory()
            assert ours is not None

            def upon(loop: asyncio.AbstractEventLoop, coro: object, **options: object) -> object:
                return ours(loop, coro, **options)  # type: ignore[arg-type]  # a factory, whatever it takes

            loop.set_task_factory(upon)  # type: ignore[arg-type]  # see above
        assert loop.get_task_factory() is upon
        await asyncio.create_task(asyncio.wait((asyncio.create_task(asyncio.Event().wait()),), timeout=1))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def test_a_runtime_in_a_process_of_another_lives_with_it() -> None:
    """Its processes end when its block is left by a cancellation."""
    inner_pids = []

    async def body() -> None:
        async with Runtime():
            inner_pids.append(spawn(wait_for_ever))
            register("inner", inner_pids[0])
            await receive()

    pid = spawn(body)
    await wait_until_idle()
    assert whereis("inner") is None
    assert inner_pids[0].is_alive
    assert inner_pids[0].runtime_id != self_pid().runtime_id
    send(inner_pids[0], "across")
    from mabeam.kernel import Exited, send_exit

    send_exit(pid, Exited("end"))
    await wait_until_idle()
    assert not inner_pids[0].is_alive
    assert not pid.is_alive


def test_two_runtimes_in_two_threads_only_send() -> None:
    """Messages may cross; what would reach into the other loop is refused."""
    got: list[object] = []
    heard = threading.Event()

    async def listen() -> None:
        got.append(await receive())
        heard.set()
        await receive()

    async def start() -> object:
        return spawn(listen)

    async def reach(pid: object) -> None:
        send(pid, "across")  # type: ignore[arg-type]  # a Pid
        with pytest.raises(UsageError, match="another event loop"):
            kill(pid)  # type: ignore[arg-type]  # a Pid

    with open_portal() as listener_parent, open_portal() as other:
        # The listener is spawned by a process that ends: it is an orphan then, and lives on.
        pid = listener_parent.run(start)
        other.run(reach, pid)
        heard.wait()
    assert got == ["across"]


class _Named(GenServer):
    def handle_info(self, message: object) -> None:
        _threads.append(threading.get_ident())

    @handle_stream
    async def numbers(self) -> AsyncIterator[int]:
        yield 1


_threads: list[int] = []


async def _start_named() -> Ref[_Named]:
    return await _Named.child_spec().start()


@pytest.mark.real_time
async def test_what_is_sent_later_to_another_thread_s_process_is_taken_there() -> None:
    with open_portal() as portal:
        server = await in_thread(portal.run, _start_named)
        _threads.clear()
        timer = send_after(0.0, server, "hello")
        while timer.read() is not None:
            await Turn()
        await in_thread(portal.run, state, server)  # it has come to what was sent before
        assert _threads
        assert threading.get_ident() not in _threads
        timer = send_after(0.0, server, "too late")
    while timer.read() is not None:
        await Turn()
    assert threading.get_ident() not in _threads


async def state(server: Ref[_Named]) -> object:
    return await get_state(server)


@pytest.mark.real_time
async def test_a_server_of_another_thread_is_neither_stopped_nor_read_nor_asked_from_here() -> None:
    """It was stopped, by code that ran beside it, and who asked got an error of asyncio."""
    with open_portal() as portal:
        server = await in_thread(portal.run, _start_named)
        for attempt in (server.stop(), get_state(server), suspend(server), _read(server)):
            with pytest.raises(UsageError, match="portal"):
                await attempt
        with pytest.raises(UsageError, match="lives in another Runtime, which has names of its own"):
            register("theirs", server)
        assert server.pid is not None
        assert server.pid.is_alive
        assert whereis("theirs") is None


async def _read(server: Ref[_Named]) -> None:
    async with server.stream(_Named.numbers):
        pass


class Listener(GenServer):
    """Says in which thread it got a message."""

    def __init__(self, heard: list[threading.Thread], done: threading.Event) -> None:
        self.heard, self.done = heard, done

    def handle_info(self, message: object, /) -> None:
        self.heard.append(threading.current_thread())
        if message == "last":
            self.done.set()


def test_what_is_sent_to_a_handle_of_another_thread_is_handled_there() -> None:
    """By the handle itself, from a process and from a thread of one."""
    heard: list[threading.Thread] = []
    done = threading.Event()

    async def start() -> tuple[Ref[Listener], threading.Thread]:
        server = await Listener.child_spec(heard, done).start()
        return server, threading.current_thread()

    async def talk(server: Ref[Listener]) -> None:
        send(server, "from a process")
        await in_thread(portal().send, server, "last")

    with open_portal() as there, open_portal() as here:
        server, thread = there.run(start)
        here.run(talk, server)
        assert done.wait(30)
    assert heard == [thread, thread]


async def test_what_is_sent_to_a_dead_handle_of_another_runtime_is_a_dead_letter_there() -> None:
    async with Runtime() as first:
        server = await Listener.child_spec([], threading.Event()).start()
        kill(server)
        await wait_until_idle()
        async with Runtime() as second:
            send(server, "too late")
            assert not second.dead_letters.latest
        assert [letter.message for letter in first.dead_letters.latest] == ["too late"]


async def test_a_lock_that_another_loop_holds_is_refused() -> None:
    """Its holder could not wake who waits: a loop is not to be touched by others."""
    lock = Lock("printer")

    async def take() -> str:
        async with lock:
            return "taken"

    with open_portal() as gate:
        async with lock:
            with pytest.raises(
                UsageError, match="expected the printer to be used in one event loop"
            ) as caught:
                await in_thread(gate.run, take)
        assert "reach that through a portal" in str(caught.value)
        assert await in_thread(gate.run, take) == "taken"
