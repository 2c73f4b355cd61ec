"""An answer that nobody reads any more is no error: asyncio must not be left to complain of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from typing import TYPE_CHECKING, NoReturn

import pytest

from mabeam import GenServer, handle_call, kill, link, self_pid, spawn
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    from mabeam import Pid, Ref


class Crashing(GenServer):
    """Crashes in the turn of its caller."""

    @handle_call
    def fail(self) -> NoReturn:
        raise ValueError("fail")


async def linked_caller(server: Ref[Crashing]) -> None:
    """Ends with the server, within its own call."""
    link(server)
    await server.call(Crashing.fail)


async def cancelled_caller(server: Ref[Crashing]) -> None:
    """Is cancelled between the answer and reading it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await server.call(Crashing.fail)


async def killed_caller(server: Ref[Crashing]) -> None:
    """Is killed in that moment."""
    me: Pid = self_pid()
    asyncio.get_running_loop().call_soon(contextvars.copy_context().run, lambda: kill_quietly(me))
    await server.call(Crashing.fail)


def kill_quietly(pid: Pid) -> None:
    """Killing oneself raises where it is said."""
    try:
        kill(pid)
    except asyncio.CancelledError:
        pass


@pytest.mark.parametrize("caller", [linked_caller, cancelled_caller, killed_caller])
async def test_a_caller_that_ends_in_the_call_leaves_no_unread_error(
    caller: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever has ended it: the crash was reported already, once."""
    # A kept log record would keep the future with it, and asyncio complains only when that goes.
    caplog.set_level(logging.CRITICAL + 1, logger="mabeam")
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context["message"])
    )
    server = await Crashing.child_spec().start()
    pid = spawn(caller, server)  # type: ignore[arg-type]  # any of the three
    await wait_until_idle()
    assert not pid.is_alive
    gc.collect()
    assert complaints == []
