"""cachetools: LFUCache, for its hit ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cachetools

from benchmarks.resilience._cachetools import asking
from benchmarks.resilience._ratios import ENTRIES, ratios

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def hit_ratio(rounds: Rounds) -> Figures:
    """``LFUCache``."""
    return ratios(lambda: asking(cachetools.LFUCache(ENTRIES)), rounds.size)


MEASURES = {"hit_ratio": hit_ratio}
