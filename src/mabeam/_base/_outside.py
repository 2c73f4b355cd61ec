"""The one road to what is not the event loop: threads, and the mark of what is out there.

Two things must be known about all work that leaves the loop. Who owns it: threads are started here only, and carry
the place they were started at. And that it is on its way: a loop with virtual time must not jump past an answer
that is still being worked on. The mark for that is :func:`leaving` and :func:`returned`; it is counted by the loop
itself (a virtual one has two methods for it), so there is no state here, and on real loops it costs a look-up.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from mabeam._base._stacks import Position, creation_stack

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterator

__all__ = ("OwnedThread", "leaving", "let_out", "outside", "returned", "start_thread", "thread_asks")


def leaving(loop: AbstractEventLoop) -> None:
    """Say that something went out of the loop and will come back into it.

    Guarantees:
        Each call is matched by one :func:`returned`. Until then a virtual clock stands still.

    Args:
        loop: the loop that will be answered. To be called in its thread.
    """
    mark: Callable[[], None] | None = getattr(loop, "outside_left", None)
    if mark is not None:
        mark()


def returned(loop: AbstractEventLoop) -> None:
    """Say that what was marked by :func:`leaving` has come back, or that nobody waits for it any more.

    Args:
        loop: the same loop, in its thread: from another thread the loop might look idle before it sees the answer.
    """
    mark: Callable[[], None] | None = getattr(loop, "outside_returned", None)
    if mark is not None:
        mark()


def let_out(loop: AbstractEventLoop, start: Callable[[], None], thread: int | None) -> Callable[[], None]:
    """Have a thread begin, or go on with, its work: at once, unless the loop wants to decide.

    A simulation does: it lets one thread at a time run, in an order that follows from its seed.

    Args:
        loop: the loop that the thread answers.
        start: lets the thread run; called once, in the loop's thread, now or later.
        thread: its identifier.

    Returns:
        What to call, in the loop's thread, when the thread has answered, or is not waited for any more. Calling it again does
        nothing.
    """
    gate: Callable[[Callable[[], None], int | None], Callable[[], None]] | None = getattr(
        loop, "let_out", None
    )
    if gate is not None:
        return gate(start, thread)
    start()
    return _nothing


def _nothing() -> None:
    pass


def thread_asks(loop: AbstractEventLoop, thread: int) -> Callable[[Callable[[], None]], None]:
    """Say that a thread waits for something of the loop: if it is out, a virtual clock may move until it has that.

    Args:
        loop: the loop that is asked. To be called in its thread.
        thread: the identifier of the thread that waits; of any, the loop knows whom it has let out.

    Returns:
        Takes, in the loop's thread, the function that hands the thread its answer, and calls it.
    """
    asked: Callable[[int], Callable[[Callable[[], None]], None]] | None = getattr(loop, "thread_asks", None)
    return _call if asked is None else asked(thread)


def _call(answer: Callable[[], None]) -> None:
    answer()


@contextmanager
def outside(loop: AbstractEventLoop) -> Iterator[None]:
    """Mark the block's waiting as waiting for something outside the loop.

    Args:
        loop: the loop in whose thread the block runs.

    Yields:
        Nothing.
    """
    leaving(loop)
    try:
        yield
    finally:
        returned(loop)


@final
class OwnedThread(threading.Thread):
    """A thread of ours: a daemon that knows where it was started.

    A daemon, because a function that hangs for ever must not keep the interpreter from ending.
    """

    def __init__(self, name: str, target: Callable[[], None], started_at: tuple[Position, ...]) -> None:
        super().__init__(name=name, target=target, daemon=True)
        self.started_at = started_at


def start_thread(name: str, target: Callable[[], None]) -> OwnedThread:
    """Start a thread; the caller owns it and sees to its end.

    Guarantees:
        The thread runs when this returns. Nothing is done about its end: ``target`` must return when its owner closes,
        and must not let an exception out.

    Args:
        name: what it is called in reports: the owner, not the function.
        target: what it runs.

    Returns:
        The thread.

    Raises:
        RuntimeError: the operating system refused another thread.
    """
    thread = OwnedThread(name, target, creation_stack(skip=1))
    thread.start()
    return thread
