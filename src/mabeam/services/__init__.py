"""Services that many agents share: supervised, bounded, and never held up by what one user gives them to do."""

from mabeam.services._circuit_breakers import CircuitBreakers
from mabeam.services._circuit_breakers_ref import CircuitBreakersRef
from mabeam.services._circuit_breakers_statistics import CircuitBreakersStatistics
from mabeam.services._circuit_settings import CircuitChange, CircuitSettings
from mabeam.services._connection_manager import ConnectionManager
from mabeam.services._connections import Connections
from mabeam.services._health_check import HealthCheck
from mabeam.services._health_checker import HealthChecker
from mabeam.services._health_checker_ref import HealthCheckerRef
from mabeam.services._health_statistics import HealthCheckerStatistics
from mabeam.services._health_values import (
    CheckChange,
    CheckFunction,
    CheckReport,
    Health,
    HealthChanged,
    HealthReport,
    HealthStatus,
)
from mabeam.services._pool_options import PoolOptions, TlsOptions
from mabeam.services._pool_statistics import PoolStatistics

__all__ = (
    "CheckChange",
    "CheckFunction",
    "CheckReport",
    "CircuitBreakers",
    "CircuitBreakersRef",
    "CircuitBreakersStatistics",
    "CircuitChange",
    "CircuitSettings",
    "ConnectionManager",
    "Connections",
    "Health",
    "HealthChanged",
    "HealthCheck",
    "HealthChecker",
    "HealthCheckerRef",
    "HealthCheckerStatistics",
    "HealthReport",
    "HealthStatus",
    "PoolOptions",
    "PoolStatistics",
    "TlsOptions",
)
