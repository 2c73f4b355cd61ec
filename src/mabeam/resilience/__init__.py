"""Policies that keep a program well when others are not: caches and limits, for tasks and threads alike.

Needs neither a Runtime nor anything installed.
"""

from mabeam.resilience._cache import Cache
from mabeam.resilience._cache_options import CacheLookup, CacheOutcome, CacheStatistics, RunRefresh
from mabeam.resilience._cached import CallKey, cached, call_key

__all__ = (
    "Cache",
    "CacheLookup",
    "CacheOutcome",
    "CacheStatistics",
    "CallKey",
    "RunRefresh",
    "cached",
    "call_key",
)
