"""Waking one who waits, from whatever thread: a task in its own loop, or a thread that stands still."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, TypeAlias, final

__all__ = ("TaskWaker", "ThreadWaker", "Waker")


@final
class TaskWaker:
    """For a task of the running loop.

    Attributes:
        future: what the task awaits.
        outcome: what it is told; ``None`` for nothing but that it is its turn.
    """

    __slots__ = ("future", "outcome")

    def __init__(self) -> None:
        """To be made in the loop of the task."""
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcome: Any = None

    def wake(self) -> bool:
        """Wake it; false when its loop is closed: there is nobody left to wake."""
        try:
            self.future.get_loop().call_soon_threadsafe(self._set)
        except RuntimeError:
            return False
        return True

    def is_gone(self) -> bool:
        """Whether its loop is closed, so that it will never go on."""
        return self.future.get_loop().is_closed()

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


@final
class ThreadWaker:
    """For a thread.

    Attributes:
        event: what the thread waits for.
        outcome: as in :class:`TaskWaker`.
    """

    __slots__ = ("event", "outcome")

    def __init__(self) -> None:
        """Not woken yet."""
        self.event = threading.Event()
        self.outcome: Any = None

    def wake(self) -> bool:
        """Wake it."""
        self.event.set()
        return True

    def is_gone(self) -> bool:
        """Never: a thread goes on."""
        return False


Waker: TypeAlias = TaskWaker | ThreadWaker
"""Whoever waits."""
