"""Events about what happens: who emits them, who hears them, and the catalogue of all there are.

Part of the platform tells what it does by :func:`emit`; a :class:`Bus` brings it to whoever attached. Nobody listening
costs next to nothing. Every event is described in :data:`CATALOGUE`, and ``docs/reference/telemetry.md`` is made from it.
"""

from mabeam.telemetry._bus import Bus, BusStatistics, Handler, Subscription
from mabeam.telemetry._catalogue import CATALOGUE
from mabeam.telemetry._current import current_bus, emit
from mabeam.telemetry._reference import reference_table
from mabeam.telemetry._sampled import Sampled, SampledStatistics
from mabeam.telemetry._sampler import Adaptive, FixedRate, PerSecond, Sampler
from mabeam.telemetry._span import Span, Tracer, current_span, span
from mabeam.telemetry._spec import EventSpec
from mabeam.telemetry._trace import TraceContext, continue_trace, current_trace, enter_trace

__all__ = (
    "CATALOGUE",
    "Adaptive",
    "Bus",
    "BusStatistics",
    "EventSpec",
    "FixedRate",
    "Handler",
    "PerSecond",
    "Sampled",
    "SampledStatistics",
    "Sampler",
    "Span",
    "Subscription",
    "TraceContext",
    "Tracer",
    "continue_trace",
    "current_bus",
    "current_span",
    "current_trace",
    "emit",
    "enter_trace",
    "reference_table",
    "span",
)
