"""Waiting until nothing more happens by itself."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from mabeam.kernel import current_kernel
from mabeam.testing._virtual_loop import VirtualLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

    from mabeam.kernel import Runtime

__all__ = ("turn", "wait_until_idle")

_QUIET_TURNS = 1000


async def wait_until_idle(runtime: Runtime | None = None) -> None:
    """Wait until no process can go on unless time passes or somebody outside answers.

    What was sent has been received then, and what that led to has happened: the moment to look at states, and to say
    that something did *not* happen.

    Guarantees:
        No virtual time passes. Everything that runs on the loop counts, tasks that belong to no process too. Exact on a
        virtual loop and on asyncio's own. uvloop does not show what is ready: there the run queue must have been empty
        for a thousand turns, and a chain of tasks that wake each other for longer than that is missed.

    Args:
        runtime: whose processes; the current Runtime's unless given.

    Raises:
        UsageError: there is no current Runtime, and none was given.
    """
    kernel = current_kernel() if runtime is None else runtime.kernel
    loop = kernel.loop
    if isinstance(loop, VirtualLoop):
        await loop.wait_until_idle()
    elif hasattr(loop, "_ready"):
        idle = loop.create_future()
        loop.call_soon(_Look(loop, idle))
        await idle
    else:
        quiet = 0
        while quiet < _QUIET_TURNS:
            await turn()
            quiet = quiet + 1 if kernel.scheduler.is_idle else 0


class _Look:
    """A callback that looks, once in each turn, whether the loop has anything else to do.

    Other looks do not count, or two who wait for idleness would keep each other waiting.
    """

    def __init__(self, loop: Any, idle: asyncio.Future[None]) -> None:
        self._loop = loop
        self._idle = idle

    def __call__(self) -> None:
        if self._idle.done():
            return  # cancelled
        if all(isinstance(handle._callback, _Look) for handle in self._loop._ready):
            self._idle.set_result(None)
        else:
            self._loop.call_soon(self)


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Let the loop have one turn."""
    yield
