"""Policies for calls that may fail: circuit breaker, retry, bulkhead, limits, and what composes them.

Works in any asyncio program and in plain threads, without a Runtime. A policy only admits, waits and records: the function
runs in the caller.
"""

from mabeam._base import Backoff
from mabeam.resilience._circuit_breaker import CircuitBreaker, CircuitStatistics
from mabeam.resilience._circuit_rules import CircuitRules, Outcome
from mabeam.resilience._circuit_state import Phase
from mabeam.resilience._permit import Permit
from mabeam.resilience._policy import Policy

__all__ = (
    "Backoff",
    "CircuitBreaker",
    "CircuitRules",
    "CircuitStatistics",
    "Outcome",
    "Permit",
    "Phase",
    "Policy",
)
