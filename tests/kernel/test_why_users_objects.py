"""Whoever looks at what others wait for asks nothing of objects of users: that would run their code in his turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mabeam import GenServer, handle_call, in_thread, kill, spawn, unlink, why
from mabeam.testing import wait_until_idle
from tests.kernel._why_scenes import asker, kinds, stuck_in_thread

ASKED: list[str] = []


class Touchy:
    """An object that notes whoever asks it for what it has not; and what it has is a property, that is code."""

    def __getattr__(self, name: str) -> object:
        ASKED.append(name)
        raise RuntimeError(name)

    @property
    def future(self) -> object:
        ASKED.append("future")
        raise RuntimeError("future")

    def __eq__(self, other: object) -> bool:
        ASKED.append("==")
        return False

    __hash__ = object.__hash__

    def __call__(self, future: object) -> None: ...

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def be_told(self) -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(self)
        await future

    async def pass_on(self) -> None:
        future: Any = Passing(loop=asyncio.get_running_loop())
        await future

    def run(self, begun: threading.Event, release: threading.Event) -> None:
        stuck_in_thread(begun, release)


class Passing(asyncio.Future[None]):
    """A future of a user."""

    def __getattr__(self, name: str) -> object:
        ASKED.append(name)
        raise RuntimeError(name)


class Using(GenServer):
    """Waits in a method of such an object."""

    @handle_call
    async def use(self, method: str) -> None:
        await getattr(Touchy(), method)()

    @handle_call
    def ping(self) -> str:
        return "pong"


@pytest.mark.parametrize("method", ["connect", "be_told", "pass_on"])
async def test_nothing_is_asked_of_objects_of_users(method: str) -> None:
    """It would run their code in the turn of whoever looks, or calls."""
    ASKED.clear()
    server = await Using.start_link()
    first = asker(server, Using.use, method)
    await wait_until_idle()
    second = asker(server, Using.ping)
    await wait_until_idle()
    assert kinds(why(second))[0] == "call"
    assert ASKED == []
    kill(first)
    unlink(server)
    kill(server)
    await wait_until_idle()


async def test_nothing_is_asked_of_objects_of_users_in_threads() -> None:
    """A look for the thread of a job goes through the frames of all."""
    ASKED.clear()
    release, begun = threading.Event(), [threading.Event(), threading.Event()]
    pids = [
        spawn(asyncio.to_thread, Touchy().run, begun[0], release),
        spawn(asyncio.to_thread, stuck_in_thread, begun[1], release),
    ]
    try:
        for each in begun:
            await in_thread(each.wait, 30)
        assert [kinds(why(pid)) for pid in pids] == [["thread"], ["thread"]]
    finally:
        release.set()
        while any(pid.is_alive for pid in pids):
            await in_thread(int)
    assert ASKED == []
