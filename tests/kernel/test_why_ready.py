"""``why`` of who goes on already: what it waited for has come, and it has only not had its turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    Caller,
    GenServer,
    Postpone,
    StateMachine,
    become,
    handle_call,
    kill,
    receive,
    reply_later,
    send,
    spawn,
    state,
    why,
)
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn
from tests.kernel._why_scenes import asker, kinds
from tests.otp._servers import state_of


class Keeping(GenServer):
    def __init__(self) -> None:
        self.kept: list[Caller[None]] = []

    @handle_call
    def get(self) -> None:
        return reply_later(self.kept.append)


class Postponing(StateMachine):
    def __init__(self) -> None:
        become(self.idle)

    @state
    def idle(self) -> None: ...

    @idle.handle_call
    def get(self) -> None:
        raise Postpone


async def test_who_has_just_been_answered() -> None:
    server = await Keeping.start_link()
    pid = asker(server, Keeping.get)
    await wait_until_idle()
    assert kinds(why(pid)) == ["call", "kept_caller"]
    state_of(server).kept.pop().reply(None)
    assert kinds(why(pid)) == ["ready"]


@pytest.mark.parametrize("kind", [Keeping, Postponing])
async def test_who_was_waiting_for_one_that_has_just_died(kind: Any) -> None:
    """The dead have kept nobody."""
    server = await kind.child_spec().start()
    pid = asker(server, kind.get)
    await wait_until_idle()
    assert kinds(why(pid)) == ["call", "kept_caller"]
    kill(server)
    assert kinds(why(pid)) == ["ready"]
    await wait_until_idle()


async def test_who_has_just_got_what_it_waits_for() -> None:
    """A message, an item of a queue, the value of a future."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def await_it() -> None:
        await future

    receiving, getting, awaiting = spawn(receive), spawn(queue.get), spawn(await_it)
    await wait_until_idle()
    assert [kinds(why(pid)) for pid in (receiving, getting, awaiting)] == [
        ["empty_mailbox"],
        ["queue"],
        ["unknown"],
    ]
    send(receiving, "message")
    queue.put_nowait(1)
    future.set_result(None)
    assert [kinds(why(pid)) for pid in (receiving, getting, awaiting)] == [["ready"]] * 3


async def test_who_only_lets_others_have_their_turn() -> None:
    async def spin() -> None:
        while True:
            await Turn()

    pid = spawn(spin)
    for _ in range(3):
        await Turn()
    assert kinds(why(pid)) == ["ready"]
    kill(pid)
    await wait_until_idle()
