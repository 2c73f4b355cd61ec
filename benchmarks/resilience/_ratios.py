"""The hit ratio of anything that can be asked for keys, on every trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks._rounds import check
from benchmarks.resilience._traces import TRACES, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures

__all__ = ("ENTRIES", "ratios")

#: Entries of the caches whose hit ratios are measured.
ENTRIES = 1_000


def ratios(make: Callable[[], Callable[[int], bool]], requests: int) -> Figures:
    """The share of hits on each trace.

    Args:
        make: makes an empty cache; what it returns asks for a key, puts it if it is not there, and tells whether it was.
        requests: how many of each trace.
    """
    figures: Figures = {}
    for title, trace in TRACES.items():
        keys = trace(requests)
        check(f"requests of {title}", len(keys), requests)
        ask = make()
        figures[name_of(title)] = [sum(map(ask, keys)) / requests]
    return figures
