"""Threads that work for a loop of ours, which has to know those that wait for it when they ask for something."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Out", "Work")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Out:
    """A thread that works for the loop, or is to.

    Attributes:
        start: lets it begin, or go on.
        asks: it waits for the loop.
        over: nobody waits for it any more.
    """

    __slots__ = ("asks", "over", "start")

    def __init__(self, start: Callable[[], None]) -> None:
        self.start = start
        self.asks = False
        self.over = False


class Work(Generic[*Arguments, T]):
    """A function that an executor runs for the loop: it notes in which thread."""

    def __init__(self, function: Callable[[*Arguments], T], out: Out, threads: dict[int | None, Out]) -> None:
        self._function = function
        self._out = out
        self._threads = threads

    def __call__(self, *args: *Arguments) -> T:
        thread = threading.get_ident()
        self._threads[thread] = self._out
        try:
            return self._function(*args)
        finally:
            self._threads.pop(thread, None)

    def __reduce__(self) -> tuple[Any, ...]:
        # An executor that sends it to another OS process sends the function alone: there the loop is not.
        return partial, (self._function,)
