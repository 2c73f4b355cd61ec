"""Running code that blocks: in one of the Runtime's threads, which belongs to the process that asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from mabeam.kernel._activation import Activation, here
from mabeam.kernel._current import current_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._process import Process

__all__ = ("in_thread", "run_blocking")

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function that blocks in a thread of the Runtime, and wait for it.

    Guarantees:
        At most ``max_threads`` of the Runtime run at once; further ones wait. A thread cannot be interrupted: when the
        caller is cancelled or its process ends, it stops waiting, the thread goes on by itself, its result is dropped,
        and from then on it is fenced: what it asks of the kernel raises ``NoSuchProcess``. In the thread,
        ``mabeam.portal()`` leads back.

    Args:
        function: what to run.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Returns:
        What it returned.

    Raises:
        BaseException: what it raised.
    """
    return cast("R", await run_blocking(current_process(), None, partial(function, *args, **kwargs)))


async def run_blocking(process: Process, message: Any, function: Callable[[], Any]) -> Any:
    """Run ``function`` in a thread for ``process``; fenced once nobody waits for it any more."""
    owner = Activation(process, None, message, _is_no_activation)
    owner.in_thread = True
    context = process.context.copy()
    context.run(here.set, owner)
    try:
        return await process.kernel.threads.run(function, context=context)
    finally:
        owner.over = True


def _is_no_activation(_activation: Activation, _value: object, _error: BaseException | None) -> None:
    """The one that waits for the thread is told; the thread itself is no activation."""
