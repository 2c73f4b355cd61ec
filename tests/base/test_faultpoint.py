"""Fault points: nothing without a listener, and otherwise whatever that wants."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import pytest

import mabeam
from mabeam._base import fault_listener, fault_point
from mabeam.kernel import Runtime, in_thread, receive, self_pid, send, spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator


class Listener:
    """Notes where the program passes, and fails at one place."""

    def __init__(self, fails_at: str = "") -> None:
        self.names: list[str] = []
        self.awaited: list[str] = []
        self._fails_at = fails_at

    def passed(self, name: str) -> Awaitable[None]:
        self.names.append(name)
        if name == self._fails_at:
            raise LookupError(name)
        return Pause(self, name)


class Pause:
    """Notes that it was awaited."""

    def __init__(self, listener: Listener, name: str) -> None:
        self._listener = listener
        self._name = name

    def __await__(self) -> Generator[Any, None, None]:
        self._listener.awaited.append(self._name)
        yield


def test_it_is_one_of_the_names_of_mabeam() -> None:
    """Production code imports it from there, never from mabeam.testing."""
    assert mabeam.fault_point is fault_point


async def test_without_a_listener_it_does_nothing() -> None:
    """Awaiting it is over at once: the loop has no turn."""
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    fault_point("anywhere")
    await fault_point("anywhere")
    assert turns == []


def test_it_needs_no_event_loop() -> None:
    """It may stand in plain code."""
    fault_point("anywhere")


def test_a_listener_hears_each_and_may_raise() -> None:
    """Where it raises, the code after the point does not run."""
    listener = Listener(fails_at="b")

    def run() -> None:
        fault_listener.set(listener)
        fault_point("a")
        with pytest.raises(LookupError, match="b"):
            fault_point("b")

    contextvars.copy_context().run(run)
    assert listener.names == ["a", "b"]
    assert listener.awaited == []
    assert fault_listener.get() is None


def test_processes_and_their_threads_inherit_the_listener() -> None:
    """It is set once, before the Runtime begins."""
    listener = Listener()

    async def child(parent: Any) -> None:
        await fault_point("in a process")
        await in_thread(fault_point, "in a thread")
        send(parent, "done")

    async def main() -> None:
        fault_listener.set(listener)
        async with Runtime():
            spawn(child, self_pid())
            await receive()

    asyncio.run(main())
    assert listener.names == ["in a process", "in a thread"]
    assert listener.awaited == ["in a process"]
