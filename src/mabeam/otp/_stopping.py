"""Stopping a child: it is asked to end, has its time for that, and is killed when it is over."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from mabeam.kernel import Shutdown, kill_process, waiting_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mabeam.kernel import Process

__all__ = ("begin_stop", "stop_process", "stops_over")


async def stop_process(process: Process, supervisor: Process, seconds: float | None) -> None:
    """Stop a child: ``Shutdown()``, its time, then ``kill``; killed at once when it has no time.

    It stays linked until it is dead, so that it cannot outlive a supervisor that is killed meanwhile.
    """
    ended = begin_stop(process, supervisor, seconds)
    if ended is not None:
        await stops_over({process: ended})


async def stops_over(stops: Mapping[Process, asyncio.Future[None]]) -> None:
    """Wait until all have ended, each with what :func:`begin_stop` gave for it. It is seen whom that waits for."""

    def alive() -> Iterable[Process]:
        return (each for each in stops if each.is_alive)

    process = next(iter(alive()), None)
    if process is None:
        return
    if len(stops) == 1:
        with waiting_for(process, "to end", kind="stop"):
            await stops[process]
        return
    with waiting_for(process, "to end", kind="stop", all_of=alive):
        # One wait for all: between one and the next it would be seen to go on, and a cycle would not be seen.
        await asyncio.wait(stops.values())


def begin_stop(process: Process, supervisor: Process, seconds: float | None) -> asyncio.Future[None] | None:
    """As :func:`stop_process`; returns what to wait for with :func:`stops_over`, if it is not over yet."""
    kernel = supervisor.kernel
    if seconds is None:
        kill_process(process)
    else:
        process.grace_until = math.inf if math.isinf(seconds) else kernel.loop.time() + seconds
        kernel.signal(process, supervisor, Shutdown())
    if not process.is_alive:
        return None
    ended: asyncio.Future[None] = kernel.loop.create_future()
    process.on_death = [*(process.on_death or ()), ended]
    if seconds is not None and not math.isinf(seconds):
        timer = kernel.loop.call_later(seconds, kill_process, process)
        ended.add_done_callback(lambda _ended: timer.cancel())
    return ended
