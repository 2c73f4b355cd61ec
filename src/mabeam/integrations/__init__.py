"""Adapters that take telemetry to where it is kept: OpenTelemetry and Prometheus.

Nothing here is needed by the rest of mabeam, and importing this package imports neither. Each adapter imports its library
when it is made, and says which extra to install when that is missing.
"""

from mabeam.integrations._opentelemetry_metrics import OpenTelemetryMetrics
from mabeam.integrations._opentelemetry_tracer import OpenTelemetryTracer
from mabeam.integrations._prometheus import PrometheusMetrics
from mabeam.integrations._series import SeriesStatistics

__all__ = (
    "OpenTelemetryMetrics",
    "OpenTelemetryTracer",
    "PrometheusMetrics",
    "SeriesStatistics",
)
