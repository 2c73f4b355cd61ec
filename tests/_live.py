"""A Runtime that stands still between the steps of a state machine, so that each step can be compared with a model."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, TypeVar

from mabeam.kernel import Runtime
from mabeam.testing import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

__all__ = ("LiveRuntime",)


class LiveRuntime:
    """Runs one thing after the other as the root process, each until nothing more happens by itself."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop: Any = self._runner.get_loop()
        self._over = self.loop.create_future()
        self._context: contextvars.Context | None = None
        ready = self.loop.create_future()
        self._main = self.loop.create_task(self._stay(ready))
        self.loop.run_until_complete(ready)

    async def _stay(self, ready: asyncio.Future[None]) -> None:
        async with Runtime() as self.runtime:
            self._context = contextvars.copy_context()
            ready.set_result(None)
            await self._over

    def do(self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any) -> T:
        """Run an async function as the root process; then let everything happen that it has led to."""

        async def doing() -> T:
            try:
                return await function(*args)
            finally:
                await self.loop.wait_until_idle()

        result: T = self.loop.run_until_complete(self.loop.create_task(doing(), context=self._context))
        return result

    def act(self, function: Callable[..., T], /, *args: Any) -> T:
        """The same for a plain function."""

        async def acting() -> T:
            return function(*args)

        return self.do(acting)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.loop.run_until_complete(self.loop.advance(seconds))

    def close(self) -> None:
        """Leave the Runtime."""
        if not self._over.done():
            self._over.set_result(None)
        self.loop.run_until_complete(self._main)
        self._runner.close()
