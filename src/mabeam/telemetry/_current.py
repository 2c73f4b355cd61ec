"""The bus that belongs to the code that is running."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.telemetry._bus import Bus

__all__ = ("current_bus", "emit")

current_bus: ContextVar[Bus | None] = ContextVar("mabeam_current_bus", default=None)
"""The bus of the surrounding Runtime; ``None`` outside of any. The Runtime sets it for its processes and its block."""


def emit(event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /) -> None:
    """Emit an event on the current bus; outside of any Runtime this does nothing.

    Where making the two mappings costs something, look at ``bus.listening`` first and emit on the bus directly.

    Guarantees:
        As :meth:`Bus.emit`.

    Args:
        event: its name in the catalogue.
        measurements: the numbers that come with it.
        metadata: what else comes with it.
    """
    bus = current_bus.get()
    if bus is not None and bus.listening:
        bus.emit(event, measurements, metadata)
