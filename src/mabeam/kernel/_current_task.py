"""Which task of asyncio is the current one, taken away while one process runs something in the turn of another.

What runs there must not find the other's task: ``asyncio.current_task().cancel()`` would cancel a stranger.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ("current_tasks",)


class _OfThisThread:
    """The two things that are done with ``current_tasks``, where asyncio has no dict of them."""

    def pop(self, loop: asyncio.AbstractEventLoop, default: None) -> Any | None:
        try:
            task: Any | None = _tasks._swap_current_task(loop, None)
        except RuntimeError:  # this loop does not run here
            return default
        return task

    def __setitem__(self, loop: asyncio.AbstractEventLoop, task: Any) -> None:
        _tasks._swap_current_task(loop, task)


_tasks: Any = asyncio.tasks
current_tasks: MutableMapping[asyncio.AbstractEventLoop, Any]
"""The current task of each loop. ``pop(loop, None)`` says which it is, if any, and from then on there is none."""
try:
    from _asyncio import _current_tasks as current_tasks  # type: ignore[attr-defined,no-redef]  # private
except ImportError:  # from Python 3.14 on each thread has its own
    current_tasks = _OfThisThread()  # type: ignore[assignment]  # no more of a mapping is needed
