"""The kernel suite: processes, their messages, their starts and their ends."""

from typing import Final

from benchmarks._suite import Suite
from benchmarks.kernel._measures import MEASURES
from benchmarks.kernel._subjects import SUBJECTS

__all__ = ("SUITE",)

SUITE: Final = Suite(
    name="kernel",
    title="Processes",
    intro="Erlang runs on one scheduler (`+S 1`), as Python does. mabeam and bare asyncio are measured on uvloop, which "
    "`mabeam.run` uses where it is installed, and on the standard loop. Bare asyncio is a task with a queue, written by hand: "
    "without supervision, names, limits, timeouts or checks, it is a floor rather than a competitor.",
    measures=MEASURES,
    subjects=SUBJECTS,
    reference="erlang",
)
