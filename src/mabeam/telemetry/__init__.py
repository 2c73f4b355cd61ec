"""Events about what happens: who emits them, who hears them, and the catalogue of all there are.

Part of the platform tells what it does by :func:`emit`; a :class:`Bus` brings it to whoever attached. Nobody listening
costs next to nothing. Every event is described in :data:`CATALOGUE`, and ``docs/reference/telemetry.md`` is made from it.
"""

from mabeam.telemetry._bus import Bus, BusStatistics, Handler, Subscription
from mabeam.telemetry._catalogue import CATALOGUE
from mabeam.telemetry._current import current_bus, emit
from mabeam.telemetry._reference import reference_table
from mabeam.telemetry._span import Span, span
from mabeam.telemetry._spec import EventSpec

__all__ = (
    "CATALOGUE",
    "Bus",
    "BusStatistics",
    "EventSpec",
    "Handler",
    "Span",
    "Subscription",
    "current_bus",
    "emit",
    "reference_table",
    "span",
)
