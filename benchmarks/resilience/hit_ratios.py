"""``python -m benchmarks.resilience.hit_ratios [--requests N] [--entries N ...]``: the eviction policies that were candidates.

Prints a table in Markdown: a line for each trace, a column for each policy, beside cachetools' LRU and LFU, and last what
mabeam's cache does in the end. ``docs/adr/0008-evict-by-s3-fifo.md`` holds one, and what was made of it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import cachetools

from benchmarks.resilience._cachetools import asking
from benchmarks.resilience._policies import CANDIDATES
from benchmarks.resilience._traces import TRACES
from mabeam.resilience import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("main",)


def _mabeam(entries: int) -> Callable[[int], bool]:
    cache: Cache[int, bool] = Cache(max_entries=entries)
    return lambda key: cache.get(key, False) or not cache.put(key, True)


def _subjects(entries: int) -> Iterator[tuple[str, Callable[[int], bool]]]:
    yield "LRU", asking(cachetools.LRUCache(entries))
    yield "LFU", asking(cachetools.LFUCache(entries))
    for name, make in CANDIDATES.items():
        yield name, make(entries).ask
    yield "mabeam", _mabeam(entries)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience.hit_ratios")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100])
    options = parser.parse_args()
    for entries in options.entries:
        names = [name for name, _ in _subjects(entries)]
        print(f"\n| {entries:,} entries, hits in % | {' | '.join(names)} |")
        print("| --- |" + " --- |" * len(names))
        for title, trace in TRACES.items():
            keys = trace(options.requests)
            shares = [100 * sum(map(ask, keys)) / len(keys) for _, ask in _subjects(entries)]
            print(f"| {title} | {' | '.join(f'{share:.1f}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
