"""Waiting in async code: a timer of the running loop, so that virtual time sees it."""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ("wait",)


async def wait(seconds: float) -> None:
    """Wait so many seconds; 0 yields to the loop once. Cancellation ends it at once, and leaves no timer."""
    loop = get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, _end, over)
    try:
        await over
    finally:
        timer.cancel()


def _end(over: Future[None]) -> None:
    if not over.done():
        over.set_result(None)
