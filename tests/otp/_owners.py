"""What the tests of tasks share: functions for tasks, and processes that own some."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam import TaskSupervisor
from mabeam.kernel import current_kernel, find, receive, self_pid, send, spawn
from mabeam.testing import Probe, wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mabeam import Ref
    from mabeam.kernel import Pid, Process, Target


class Boom(Exception):
    """What failing tasks raise."""


async def double(number: int) -> int:
    return 2 * number


def double_plain(number: int) -> int:
    return 2 * number


async def fail(word: str = "boom") -> None:
    raise Boom(word)


async def hang() -> None:
    await asyncio.get_running_loop().create_future()


async def obey() -> Any:
    """Return the first message."""
    return await receive()


async def obey_or_fail() -> Any:
    """Return the first message, or raise it."""
    message = await receive()
    if isinstance(message, BaseException):
        raise message
    return message


async def refuse_to_end() -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    timer = loop.call_later(seconds, _wake, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


async def turn() -> None:
    """Let the loop have one turn."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_wake, waiter)
    await waiter


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def process_of(target: Target) -> Process:
    process = find(current_kernel(), target)
    assert process is not None
    return process


def ties_of(target: Target) -> tuple[int, int]:
    """How many links and monitors a process has."""
    process = process_of(target)
    return len(process.links), len(process.monitors or ())


def spawn_owner(body: Callable[[], Coroutine[Any, Any, object]]) -> tuple[Pid, Probe]:
    """A plain process that runs ``body`` and then waits for ever; a probe gets what it came to."""
    probe = Probe.start("owner")

    async def own() -> None:
        try:
            send(probe.pid, ("value", await body()))
        except Exception as error:
            send(probe.pid, ("error", error))
        await receive(lambda message: message == "end")

    pid = spawn(own)
    probe.watch(pid)
    return pid, probe


async def nothing_is_left(tasks: Ref[TaskSupervisor]) -> None:
    """No task, no tie of this process, no message, no registration."""
    await wait_until_idle()
    me = process_of(self_pid())
    assert (await tasks.call(TaskSupervisor.count_children)).specs == 0
    assert ties_of(self_pid()) == (1, 0)
    assert me.mailbox is None
    assert not me.registrations
    assert not process_of(tasks).registrations


__all__ = (
    "Boom",
    "double",
    "double_plain",
    "fail",
    "hang",
    "nothing_is_left",
    "obey",
    "obey_or_fail",
    "pause",
    "process_of",
    "refuse_to_end",
    "self_pid",
    "spawn_owner",
    "ties_of",
    "turn",
    "wait_until_idle",
)
