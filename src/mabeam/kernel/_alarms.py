"""Which timers will wake a process, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam._base import innermost_frame
from mabeam.kernel._awaited import is_of_library

if TYPE_CHECKING:
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._process import Process

__all__ = ("next_alarm", "wakes_at")

_NAMES_OF_TIMERS = ("h", "timer")
"""What the timer is called where asyncio and mabeam wait for time to pass."""


def next_alarm(process: Process) -> tuple[float, str] | None:
    """When the first of its timers sends a process something, in loop time, and what that is."""
    return min(process.behaviour.alarms(process), default=None)


def wakes_at(activation: Activation) -> float | None:
    """When code that sleeps, or waits within a limit, goes on at the latest, in loop time; ``None`` where no timer runs."""
    frame = innermost_frame(activation.coroutine)
    if frame is None or not is_of_library(frame):
        return None  # what a user calls a timer may be anything
    for name in _NAMES_OF_TIMERS:
        when = getattr(frame.f_locals.get(name), "when", None)
        if callable(when):
            return float(when())
    return None
