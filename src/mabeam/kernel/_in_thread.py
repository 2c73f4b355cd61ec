"""Running code that blocks: in one of the Runtime's threads, which belongs to the process that asked."""

from __future__ import annotations

import contextvars
import inspect
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from mabeam.errors import UsageError
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._current import current_process
from mabeam.kernel._frames import stack_of
from mabeam.kernel._plain import label_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._process import Process

__all__ = ("ThreadOwner", "in_thread", "run_blocking")

P = ParamSpec("P")
R = TypeVar("R")


class ThreadOwner(Activation):
    """Stands for its process in one of its threads.

    Attributes:
        waiter: the activation that waits for the thread.
        ident: the thread, while it runs the function.
        label: what the function is called.
    """

    __slots__ = ("ident", "label", "waiter")

    def __init__(self, process: Process, message: Any, waiter: Activation | None, label: str) -> None:
        """Made by ``run_blocking`` only."""
        super().__init__(process, None, message, _is_no_activation)
        self.in_thread = True
        self.waiter = waiter
        self.label = label
        self.ident: int | None = None
        self.caller = waiter.caller if waiter is not None else None
        self.within = waiter

    def run(self, function: Callable[[], Any]) -> Any:
        """Run something in the thread."""
        self.ident = threading.get_ident()
        try:
            return function()
        finally:
            self.ident = None

    def left_behind(self) -> None:
        """Nobody waits for it any more; tell if it goes on all the same."""
        self.over = True
        thread = self.ident
        if thread is not None:
            stack = stack_of(sys._current_frames().get(thread))
            self.process.kernel.incidents.fenced(self.process, self.label, stack)


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
        UsageError: ``function`` is no plain function.
        BaseException: what it raised.
    """
    _check_plain(function)
    return cast("R", await run_blocking(current_process(), None, partial(function, *args, **kwargs)))


def _check_plain(function: object) -> None:
    """Refuse what would block no thread, or run nothing.

    Raises:
        UsageError: it is a coroutine function; or no function, because it was called already, say.
    """
    if inspect.iscoroutine(function):
        function.close()
    if inspect.iscoroutinefunction(function):
        msg = (
            f"in_thread expects a plain function that blocks, got the async function {label_of(function)}: it would only be "
            f"called there, and never awaited. Await it here: await {label_of(function)}(...)"
        )
        raise UsageError(msg)
    if not callable(function):
        msg = (
            f"in_thread expects a function and its arguments, got {function!r}: was the function called?\n"
            "    wrong:  await in_thread(read(path))\n    right:  await in_thread(read, path)"
        )
        raise UsageError(msg)


async def run_blocking(process: Process, message: Any, function: Callable[[], Any]) -> Any:
    """Run ``function`` in a thread for ``process``; fenced once nobody waits for it any more."""
    waiter = here.get(None)
    is_own = isinstance(waiter, Activation) and waiter.process is process
    label = label_of(function.func if isinstance(function, partial) else function)
    owner = ThreadOwner(
        process, message, waiter if isinstance(waiter, Activation) and is_own else None, label
    )
    context = contextvars.copy_context()
    context.run(here.set, owner)
    try:
        return await process.kernel.threads.run(owner.run, function, context=context)
    finally:
        owner.left_behind()


def _is_no_activation(_activation: Activation, _value: object, _error: BaseException | None) -> None:
    """The one that waits for the thread is told; the thread itself is no activation."""
