"""What the tests of servers and supervisors share: looking inside, and doing two things at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from mabeam.testing import VirtualLoop, wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mabeam import Pid, Ref
    from mabeam.kernel import Process

T = TypeVar("T")


def process_of(server: Ref[Any]) -> Process:
    """The process behind a handle."""
    assert server.pid is not None
    process = server.pid._process
    assert process is not None
    return process


def state_of(server: Ref[Any]) -> Any:
    """The instance behind a handle, for looking at it from outside."""
    return process_of(server).body


def pid_of(server: Ref[Any]) -> Pid:
    """The pid behind a handle."""
    assert server.pid is not None
    return server.pid


def clock() -> VirtualLoop:
    """The running virtual loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


async def begun(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has come as far as it can without time passing."""
    task = asyncio.create_task(coroutine)
    await wait_until_idle()
    return task


async def for_ever() -> None:
    """Wait for something that never comes."""
    await asyncio.get_running_loop().create_future()


async def pause(seconds: float) -> None:
    """Let virtual time pass for the one who waits."""
    # Not asyncio.timeout: before Python 3.11.3 it takes its own end for the cancellation that is being cleaned up after.
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
