"""Tasks that libraries create: they belong to the process whose code created them, and die with it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from mabeam.kernel import (
    Crashed,
    Down,
    Killed,
    Normal,
    Runtime,
    kill,
    receive,
    self_pid,
    send,
    spawn,
    spawn_monitor,
)
from mabeam.otp import GenServer, handle_call
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import Turn, never, process_of, reason_of, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def _mark(log: list[str], word: str) -> None:
    log.append(f"{word} begun")
    try:
        await never()
    finally:
        log.append(f"{word} ended")


async def test_a_task_of_a_task_belongs_to_the_process() -> None:
    """However it was made: by a callback, by ``ensure_future``, by ``gather``."""
    log: list[str] = []

    async def outer() -> None:
        loop = asyncio.get_running_loop()
        keep.append(asyncio.ensure_future(_mark(log, "of a task")))
        loop.call_soon(lambda: keep.append(loop.create_task(_mark(log, "of a callback"))))
        loop.call_later(1, lambda: keep.append(loop.create_task(_mark(log, "of a timer"))))
        await asyncio.gather(_mark(log, "of gather"), never())

    async def body() -> None:
        keep.append(asyncio.create_task(outer()))
        await receive()

    keep: list[asyncio.Future[None]] = []
    pid = spawn(body)
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(2, passed.set_result, None)
    await passed
    words = {"of a task", "of a callback", "of a timer", "of gather"}
    assert set(log) == {f"{word} begun" for word in words}
    assert len(process_of(pid).tasks or ()) == 6
    send(pid, "end")
    await wait_until_idle()
    assert {line for line in log if line.endswith("ended")} == {f"{word} ended" for word in words}
    assert reason_of(pid) == Normal()


async def test_a_task_of_a_handler_outlives_the_handler_and_ends_with_the_server() -> None:
    """It is the process that owns it."""
    log: list[str] = []

    class Server(GenServer):
        @handle_call
        async def begin(self) -> None:
            self.task = asyncio.create_task(_mark(log, "task"))
            await Turn()

    server = await Server.start_link()
    await server.call(Server.begin)
    await wait_until_idle()
    assert log == ["task begun"]
    await server.stop()
    assert log == ["task begun", "task ended"]


async def test_a_task_that_a_dead_process_creates_is_not_run_for_ever() -> None:
    """A callback that it left behind in the loop makes one: it ends with the Runtime at the latest."""
    log: list[str] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: keep.append(loop.create_task(_mark(log, "late"))))
        await receive()

    keep: list[asyncio.Task[None]] = []
    async with Runtime():
        ended, killed = spawn(body), spawn(body)
        await wait_until_idle()
        send(ended, "end")
        kill(killed)
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(2, passed.set_result, None)
        await passed
        assert len(keep) == 2
        assert keep[1].cancelled()
        assert not keep[0].done()
    assert log == ["late begun", "late ended"]
    await wait_until_idle()
    assert keep[0].done()


async def test_a_generator_that_a_process_leaves_open_is_cleaned_up() -> None:
    """By the loop, after the process has ended, as asyncio does it."""
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await Turn()
            log.append("closed")

    async def body() -> None:
        async for _ in numbers():
            return

    spawn(body)
    await wait_until_idle()
    assert log == ["closed"]


async def test_results_and_errors_of_owned_tasks_are_those_of_asyncio() -> None:
    """Values, exceptions, cancellation with its message, names, contexts given."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[Any] = []

    async def value() -> int:
        return variable.get()

    async def error() -> None:
        raise KeyError("key")

    async def body() -> None:
        context = contextvars.copy_context()
        context.run(variable.set, 7)
        seen.append(await asyncio.create_task(value(), context=context, name="named"))
        with pytest.raises(KeyError):
            await asyncio.create_task(error())
        task = asyncio.create_task(never(), name="named")
        seen.append(task.get_name())
        await Turn()
        task.cancel("message")
        with pytest.raises(asyncio.CancelledError, match="message"):
            await task
        variable.set(8)
        seen.append(await asyncio.create_task(value()))

    pid, ref = spawn_monitor(body)
    assert await receive() == Down(ref, pid, Normal())
    assert seen == [7, "named", 8]


async def test_a_task_that_fails_unseen_is_told_to_the_loop_and_ends_nothing() -> None:
    """As in asyncio: the process goes on."""
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: problems.append(context["message"])
    )

    async def error() -> None:
        raise KeyError("unseen")

    async def body() -> None:
        task = asyncio.create_task(error())
        await asyncio.wait((task,))
        del task
        await receive()

    pid = spawn(body)
    await wait_until_idle()
    assert pid.is_alive
    assert len(problems) == 1


async def test_tasks_of_the_block_belong_to_whoever_wrote_it() -> None:
    """The Runtime does not end them."""
    async with Runtime():
        task = asyncio.create_task(never())
    await Turn()
    assert not task.done()
    task.cancel()
    await asyncio.wait((task,))


async def test_asyncio_timeout_and_task_groups_work_in_processes() -> None:
    """Their cancellations are their own."""
    log: list[str] = []

    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await never()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(_mark(log, "member"))
                await Turn()
                group.create_task(_fail())
        log.append(repr(caught.value.exceptions))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never(), 1)

    pid, ref = spawn_monitor(body)
    assert await receive() == Down(ref, pid, Normal())
    assert log == ["member begun", "member ended", "(ValueError('member'),)"]


async def _fail() -> None:
    raise ValueError("member")


async def _use_anyio(log: list[object]) -> None:
    send_stream, receive_stream = anyio.create_memory_object_stream[int](1)

    async def produce() -> None:
        async with send_stream:
            for number in range(3):
                await send_stream.send(number)
        log.append(self_pid())

    async with anyio.create_task_group() as group, receive_stream:
        group.start_soon(produce)
        log.extend([number async for number in receive_stream])
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep_forever()
    log.append(scope.cancelled_caught)


async def _use_httpx(log: list[object]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = await asyncio.gather(*(client.get(f"http://{host}:{port}/") for _ in range(3)))
            log.extend(answer.text for answer in answers)


async def _libraries_work() -> None:
    log: list[object] = []

    async def body() -> None:
        await _use_anyio(log)
        await _use_httpx(log)

    class Server(GenServer):
        @handle_call
        async def work(self) -> None:
            await body()

    pid, ref = spawn_monitor(body)
    assert await receive(timeout=20) == Down(ref, pid, Normal())
    assert [item for item in log if item != pid] == [0, 1, 2, True, "hello", "hello", "hello"]
    assert pid in log
    log.clear()
    server = await Server.start_link()
    await server.options(timeout=20).call(Server.work)
    assert log[-3:] == ["hello"] * 3


@pytest.mark.real_time
async def test_anyio_and_httpx_work_in_processes_on_asyncio() -> None:
    """Task groups, cancel scopes, sockets."""
    await _libraries_work()


@pytest.mark.real_time(loop="uvloop")
async def test_anyio_and_httpx_work_in_processes_on_uvloop() -> None:
    """The same."""
    await _libraries_work()


async def _killed_in_a_socket() -> None:
    probe = Probe.start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        send(probe.pid, "served")

    async def listen() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            send(probe.pid, server.sockets[0].getsockname())
            await receive()

    async def connect(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            send(probe.pid, "connected")
            await reader.read()
        finally:
            writer.close()

    listener = spawn(listen)
    host, port = await probe.next(timeout=20)
    client = spawn(connect, host, port)
    assert await probe.next(timeout=20) == "connected"
    ref = probe.watch(client)
    kill(client)
    assert await probe.wait_for(Down, timeout=20) == Down(ref, client, Killed())
    assert await probe.next(timeout=20) == "served"
    send(listener, "stop")
    ref = probe.watch(listener)
    assert (await probe.next(timeout=20)).reason == Normal()


@pytest.mark.real_time
async def test_a_process_killed_at_a_socket_closes_it_on_asyncio() -> None:
    """In its ``finally``; the check for leaks sees to the rest."""
    await _killed_in_a_socket()


@pytest.mark.real_time(loop="uvloop")
async def test_a_process_killed_at_a_socket_closes_it_on_uvloop() -> None:
    """The same."""
    await _killed_in_a_socket()


async def test_a_crash_reaches_past_the_tasks_of_the_process() -> None:
    """The reason is that of the function, not of what its tasks made of their end."""

    async def body() -> None:
        keep.append(asyncio.create_task(wait_then_raise()))
        await Turn()
        raise ValueError("the crash")

    async def wait_then_raise() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            return

    keep: list[asyncio.Task[None]] = []
    pid, ref = spawn_monitor(body)
    assert await receive() == Down(ref, pid, Crashed(ValueError("the crash")))
    assert spawn(wait_for_ever).is_alive


async def test_a_task_that_is_made_while_the_others_are_cancelled_is_cancelled_as_well() -> None:
    """Nobody would come back for it, and its process would never be dead."""
    log: list[str] = []

    async def first() -> None:
        try:
            await never()
        finally:
            log.append("clean-up")
            keep.append(asyncio.create_task(_mark(log, "second")))

    async def body() -> None:
        keep.append(asyncio.create_task(first()))
        await receive()

    keep: list[asyncio.Task[None]] = []
    pid, _ = spawn_monitor(body)
    await wait_until_idle()
    send(pid, "end")
    assert (await receive(Down)).reason == Normal()
    assert log == ["clean-up"]
    assert all(task.done() for task in keep)
