"""How late a timer and an I/O callback of a busy event loop come."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks._rounds import check, quantile

if TYPE_CHECKING:
    from benchmarks._rounds import Figures

__all__ = ("WRITER", "Lateness", "all_busy", "lateness_figures", "ring_of", "seconds_of_load")

INTERVAL: Final = 0.001

#: The other OS process: writes when it is, in ns as 8 bytes, every millisecond. Its clock is the same as ours (the monotonic
#: one of the system). It ends when nobody reads any more, and after a minute at the latest.
WRITER: Final = """
import os, struct, time
until = time.perf_counter() + 60
try:
    while time.perf_counter() < until:
        time.sleep(0.001)
        os.write(1, struct.pack("<Q", time.perf_counter_ns()))
except OSError:
    pass
"""


def seconds_of_load(size: int) -> float:
    """How long the lateness is watched under load of so many servers."""
    return 3.0 if size >= 10_000 else 1.0


def ring_of(count: int) -> list[tuple[int, int]]:
    """Who hands on to whom: one ring of all numbers below ``count``, in an order that has nothing to do with theirs.

    In the order in which they were started, messages would pile up like snow before a plough.
    """
    order = list(range(count))
    random.Random(1).shuffle(order)
    return list(zip(order, [*order[1:], order[0]], strict=True))


async def all_busy(tally: list[int]) -> None:
    """Wait until each of those who count there has handed something on.

    Raises:
        CountError: not within 20 s.
    """
    until = time.perf_counter() + 20
    while not all(tally) and time.perf_counter() < until:  # noqa: ASYNC110  (a counter has no event to wait for)
        await asyncio.sleep(0.05)
    check("busy servers that were idle", tally.count(0), 0)


def lateness_figures(timer: list[float], pipe: list[float], messages_per_second: float) -> Figures:
    """The figures of the measure, from single latenesses in seconds."""
    check("timers that came", len(timer) > 0, True)
    check("writes that were seen", len(pipe) > 0, True)
    figures: Figures = {"messages": [messages_per_second]}
    for name, values in (("timer", timer), ("pipe", pipe)):
        figures[f"{name}_p50"] = [quantile(values, 0.5)]
        figures[f"{name}_p99"] = [quantile(values, 0.99)]
        figures[f"{name}_max"] = [max(values)]
    return figures


class Lateness:
    """Watches the running event loop, from :meth:`start` to :meth:`stop`.

    Attributes:
        timer: how late each timer was, in seconds.
        pipe: how late each write was seen, in seconds.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.timer: list[float] = []
        self.pipe: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._writer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Set the timer and start the other OS process."""
        self._writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE)
        assert self._writer.stdout is not None
        self._loop.add_reader(self._writer.stdout.fileno(), self._readable, self._writer.stdout.fileno())
        self._set_timer()

    def stop(self) -> None:
        """Stop watching."""
        if self._handle is not None:
            self._handle.cancel()
        if self._writer is not None and self._writer.stdout is not None:
            self._loop.remove_reader(self._writer.stdout.fileno())
            self._writer.kill()
            self._writer.communicate()

    def _set_timer(self) -> None:
        self._due = time.perf_counter() + INTERVAL
        self._handle = self._loop.call_later(INTERVAL, self._fired)

    def _fired(self) -> None:
        # Loops that count in milliseconds may be a fraction of one too early.
        self.timer.append(max(0.0, time.perf_counter() - self._due))
        self._set_timer()

    def _readable(self, descriptor: int) -> None:
        now = time.perf_counter_ns()
        data = os.read(descriptor, 65_536)
        self.pipe.extend((now - written) / 1e9 for (written,) in struct.iter_unpack("<Q", data))
