"""Async generators that a process runs: they are its own, and nobody else may step or close them."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ("begin", "finish")

_TRIES: Final = 3
"""How often a generator is told to close that yields again each time. One that yields in ``finally`` needs two."""


def begin(generator: Any) -> Awaitable[Any]:
    """Ask for the first item, without the event loop's knowledge.

    A loop closes all generators that it has seen when it ends, and each one that is collected: the clean-up of a process
    that was killed would run after all, and one that was left behind in the middle of something cannot be closed.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        first: Awaitable[Any] = generator.__anext__()
        return first
    finally:
        sys.set_asyncgen_hooks(*hooks)


async def finish(generator: Any) -> bool:
    """Close a generator. False when it did not let itself be closed at once: it yielded again.

    One that never ends is left behind for good: the garbage collector would tell it once more, and complain.
    """
    if not isinstance(generator, AsyncGeneratorType):
        await generator.aclose()
        return True
    for attempt in range(_TRIES):
        # Not aclose(), after which nothing can be asked of it any more.
        with suppress(GeneratorExit, StopAsyncIteration):
            await generator.athrow(GeneratorExit)
        if generator.ag_frame is None:
            return attempt == 0
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(generator))
    return False
