"""Inside an OS process that measures: the stopwatch, its rounds, the counts that must come out, memory and GC pauses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "CountError",
    "Figures",
    "GcPauses",
    "Rounds",
    "check",
    "clock_overhead",
    "quantile",
    "resident_bytes",
)

Figures: TypeAlias = dict[str, list[float]]
"""What came of a measure: the samples of each figure, in seconds, bytes or per second."""


class CountError(AssertionError):
    """A measure did not do what it says, so its time means nothing."""


def check(what: str, got: object, expected: object) -> None:
    """See to it that a measure did what it says.

    Raises:
        CountError: it did not.
    """
    if got != expected:
        raise CountError(f"{what}: expected {expected!r}, got {got!r}; the measurement is void")


class Rounds:
    """The rounds of one measure in one OS process: the first warms up and does not count.

    ``for _ in rounds:`` prepares what a round needs, ``with rounds.timing():`` inside of it takes the time of ``size``
    operations. Setting up and tidying up stay outside of the block.

    Attributes:
        size: operations in one round.
        operations: operations in all rounds together, warming up included.
        notes: what the report says about this subject's figure.
    """

    def __init__(self, size: int, rounds: int) -> None:
        """So many timed rounds of so many operations."""
        self.size = size
        self.operations = size * (rounds + 1)
        self.notes: list[str] = []
        self.leave: Callable[[Figures], NoReturn] = _not_in_a_worker
        """Hands the figures in and ends the OS process: for measures whose tidying up would take minutes."""
        self._rounds = rounds
        self._seconds: list[float] = []
        self._cpu: list[float] = []

    def __iter__(self) -> Iterator[int]:
        """Count the rounds, beginning with the one that warms up."""
        return iter(range(self._rounds + 1))

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Take the time of one round. What the rounds before have left is collected first, the GC stays on."""
        gc.collect()
        cpu, began = time.process_time(), time.perf_counter()
        yield
        self.add(time.perf_counter() - began, time.process_time() - cpu)

    def add(self, seconds: float, cpu: float | None = None) -> None:
        """Hand in a round that does not fit into a block: its seconds, and those of them that the processor worked."""
        self._seconds.append(seconds)
        if cpu is not None:
            self._cpu.append(cpu)

    def per_operation(self, *, elsewhere: bool = False) -> Figures:
        """Seconds for one operation, a sample for each round that counts; and those that the processor worked, one for all.

        A single round may be shorter than the step in which a system tells that.

        Args:
            elsewhere: other OS processes do the work, so that the processor time of this one says nothing.
        """
        check("rounds timed", len(self._seconds), self._rounds + 1)
        figures = {"value": [seconds / self.size for seconds in self._seconds[1:]]}
        if len(self._cpu) == len(self._seconds) and not elsewhere:
            figures["cpu"] = [sum(self._cpu[1:]) / self._rounds / self.size]
        return figures

    def note(self, text: str) -> None:
        """Say in the report in what this subject differs."""
        if text not in self.notes:
            self.notes.append(text)


def _not_in_a_worker(_figures: Figures) -> NoReturn:
    raise CountError("there is no OS process of its own that this measure could leave")


class GcPauses:
    """Watches the cyclic garbage collector of this interpreter.

    Attributes:
        longest: seconds of the longest collection.
        total: seconds of all of them.
        count: collections.
    """

    def __init__(self) -> None:
        """Begin to watch."""
        self.longest = self.total = self._began = 0.0
        self.count = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            seconds = time.perf_counter() - self._began
            self.longest = max(self.longest, seconds)
            self.total += seconds
            self.count += 1

    def reset(self) -> None:
        """Forget what has been."""
        self.longest = self.total = 0.0
        self.count = 0


def resident_bytes(pid: int | None = None) -> int:
    """What an OS process holds in memory (its resident set); garbage of this one is collected before."""
    if pid is None:
        gc.collect()
    if sys.platform == "linux":
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    listing = subprocess.run(
        ["/bin/ps", "-o", "rss=", "-p", str(pid or os.getpid())], capture_output=True, check=True
    )
    return int(listing.stdout) * 1024


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of all values are (the nearest one; no interpolation)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def clock_overhead(reads: int = 20_000) -> float:
    """Seconds that one look at the stopwatch takes: what a round is too short by."""
    clock = time.perf_counter
    began = clock()
    for _ in range(reads):
        clock()
    return (clock() - began) / reads
