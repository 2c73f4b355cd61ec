"""Policies for calls that may fail and callers that are too many: circuit breaker, retry, limits, cache, and what composes them.

Works in any asyncio program and in plain threads, without a Runtime and with nothing installed. A policy only admits, waits
and records: the function runs in the caller.
"""

from mabeam._base import Backoff
from mabeam.resilience._bulkhead import Bulkhead, BulkheadStatistics
from mabeam.resilience._cache import Cache
from mabeam.resilience._cache_options import CacheLookup, CacheOutcome, CacheStatistics, RunRefresh
from mabeam.resilience._cached import CallKey, cached, call_key
from mabeam.resilience._chaos import Chaos, ChaosStatistics
from mabeam.resilience._circuit_breaker import CircuitBreaker
from mabeam.resilience._circuit_rules import CircuitRules, Outcome
from mabeam.resilience._circuit_state import Phase
from mabeam.resilience._circuit_statistics import CircuitStatistics
from mabeam.resilience._fallback import Fallback, FallbackStatistics
from mabeam.resilience._hedge import Hedge, HedgeStatistics
from mabeam.resilience._permit import Permit
from mabeam.resilience._pipeline import Pipeline
from mabeam.resilience._policy import Policy
from mabeam.resilience._rate_limiter import RateLimiter
from mabeam.resilience._rate_limiter_options import OnLimit, RateLimiterStatistics, RateLimitStatus
from mabeam.resilience._rate_limits import RateLimit
from mabeam.resilience._retry import Retry, RetryStatistics
from mabeam.resilience._retry_after import retry_after_of
from mabeam.resilience._retry_state import Jitter
from mabeam.resilience._time_limit import TimeLimit, TimeLimitStatistics

__all__ = (
    "Backoff",
    "Bulkhead",
    "BulkheadStatistics",
    "Cache",
    "CacheLookup",
    "CacheOutcome",
    "CacheStatistics",
    "CallKey",
    "Chaos",
    "ChaosStatistics",
    "CircuitBreaker",
    "CircuitRules",
    "CircuitStatistics",
    "Fallback",
    "FallbackStatistics",
    "Hedge",
    "HedgeStatistics",
    "Jitter",
    "OnLimit",
    "Outcome",
    "Permit",
    "Phase",
    "Pipeline",
    "Policy",
    "RateLimit",
    "RateLimitStatus",
    "RateLimiter",
    "RateLimiterStatistics",
    "Retry",
    "RetryStatistics",
    "RunRefresh",
    "TimeLimit",
    "TimeLimitStatistics",
    "cached",
    "call_key",
    "retry_after_of",
)
