"""Policies that keep a program well when others are not: caches and limits, for tasks and threads alike.

Needs neither a Runtime nor anything installed.
"""

from mabeam.resilience._cache import Cache
from mabeam.resilience._cache_options import CacheLookup, CacheOutcome, CacheStatistics, RunRefresh
from mabeam.resilience._cached import CallKey, cached, call_key
from mabeam.resilience._rate_limiter import RateLimiter
from mabeam.resilience._rate_limiter_options import OnLimit, RateLimiterStatistics, RateLimitStatus
from mabeam.resilience._rate_limits import RateLimit

__all__ = (
    "Cache",
    "CacheLookup",
    "CacheOutcome",
    "CacheStatistics",
    "CallKey",
    "OnLimit",
    "RateLimit",
    "RateLimitStatus",
    "RateLimiter",
    "RateLimiterStatistics",
    "RunRefresh",
    "cached",
    "call_key",
)
