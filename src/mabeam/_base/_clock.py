"""The only road to time.

Four questions, four functions: *when is it* for timers and deadlines of a loop (:func:`now`), *when is it* for what
several threads and loops share (:func:`monotonic`), *how long did it take* for measurements (:func:`stopwatch_of`), *what
date is it* for people who read a label (:func:`wall_time`). What is made in one place and used in any asks
:func:`clock_here` once for the clock that it keeps. And :func:`pause_thread` waits without a loop.
"""

from __future__ import annotations

import time
from asyncio import _get_running_loop
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

__all__ = (
    "clock_here",
    "clock_of",
    "monotonic",
    "nanoseconds_of",
    "now",
    "pause_thread",
    "stopwatch_of",
    "wall_time",
)


def now(loop: AbstractEventLoop) -> float:
    """Return the loop's time, the one that its timers are set by.

    Guarantees:
        Never goes backwards. Virtual on a virtual loop.

    Args:
        loop: the event loop whose time it is.

    Returns:
        Seconds since an arbitrary start; only differences mean something.
    """
    return loop.time()


def clock_of(loop: AbstractEventLoop | None) -> Callable[[], float]:
    """Return what :func:`monotonic` reads in code that runs on this loop, or on none: to be asked once for many readings.

    Args:
        loop: the running loop of this thread, if there is one.

    Returns:
        A function giving seconds since an arbitrary start.
    """
    virtual: Callable[[], float] | None = getattr(loop, "virtual_stopwatch", None)
    return time.monotonic if virtual is None else virtual


def monotonic() -> float:
    """Return the time of whoever asks: the same for all threads and loops, except on a virtual loop, which has its own.

    Not ``loop.time()``: on uvloop that is as old as the loop's turn, and in a thread without a loop there is none.

    Guarantees:
        Never goes backwards, as long as virtual and real askers are not mixed. May be asked in any thread.

    Returns:
        Seconds since an arbitrary start; only differences mean something.
    """
    loop = _get_running_loop()
    return time.monotonic() if loop is None else clock_of(loop)()


def wall_time() -> float:
    """Return the date, to be written into labels and reports.

    Guarantees:
        None: it may jump either way, and it is the real one on a virtual loop too. Never compute a wait from it.

    Returns:
        Seconds since 1970 (UTC).
    """
    return time.time()


def stopwatch_of(loop: AbstractEventLoop) -> Callable[[], float]:
    """Return the function to read before and after something, to tell how long it took.

    The loop's own time will not do on every loop: uvloop reads the clock once per iteration, so everything that happens
    within one would take 0 seconds. A loop with virtual time brings its own ``virtual_stopwatch``, so that measured
    durations are the virtual ones, and the same in each run.

    Guarantees:
        Never goes backwards. May be read from any thread.

    Args:
        loop: the event loop on which the measured thing happens.

    Returns:
        A function giving seconds since an arbitrary start.
    """
    virtual: Callable[[], float] | None = getattr(loop, "virtual_stopwatch", None)
    return time.perf_counter if virtual is None else virtual


def clock_here() -> Callable[[], float]:
    """Return the clock for something that is made here and may be used anywhere.

    Guarantees:
        What it returns never goes backwards and may be read from any thread.

    Returns:
        The time of the running loop where that is a virtual one, else the monotonic clock of the system: in seconds
        since an arbitrary start.
    """
    return clock_of(_get_running_loop())


def nanoseconds_of(clock: Callable[[], float]) -> Callable[[], int]:
    """Return the same clock in whole nanoseconds, for what counts exactly and often.

    Args:
        clock: seconds.

    Returns:
        A function giving nanoseconds since the same start.
    """
    return time.monotonic_ns if clock is time.monotonic else lambda: int(clock() * 1e9 + 0.5)


def pause_thread(seconds: float) -> None:
    """Let this thread wait, and everything that it runs. For synchronous code that has nothing else to do.

    Args:
        seconds: for how long; nothing happens for 0 or less.
    """
    if seconds > 0:
        time.sleep(seconds)
