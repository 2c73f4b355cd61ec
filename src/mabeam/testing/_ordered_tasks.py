"""Tasks and futures that have the same place in a set in each run.

The place of an ordinary one follows from its address. Task groups, anyio and ``asyncio.wait`` keep tasks in sets, and so cancel
and return them in another order in each run. The loop numbers them up or down, as a simulation chooses.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("OrderedFuture", "OrderedTask")


@final
class OrderedFuture(asyncio.Future[Any]):
    """A future whose place in a set follows from when it was made, not from where it is in memory."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


@final
class OrderedTask(asyncio.Task[Any]):  # noqa: TID251  (it belongs to whoever asked the loop for a task)
    """The same for a task."""

    def __init__(
        self,
        number: int,
        coro: Coroutine[Any, Any, Any],
        loop: asyncio.AbstractEventLoop,
        options: dict[str, Any],
    ) -> None:
        self._number = number
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number
