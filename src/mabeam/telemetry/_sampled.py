"""A handler that hears a sample of the events, for what writes each event down somewhere."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from mabeam.telemetry._catalogue import CATALOGUE
from mabeam.telemetry._trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.telemetry._bus import Handler
    from mabeam.telemetry._sampler import Sampler
    from mabeam.telemetry._spec import EventSpec

__all__ = ("Sampled", "SampledStatistics")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SampledStatistics:
    """What a :class:`Sampled` handler has let through.

    Attributes:
        kept: events that the handler was given.
        dropped: events that it was not.
        doubtful: of those kept, how many because the sampler raised.
    """

    kept: int
    dropped: int
    doubtful: int


@final
class Sampled:
    """Gives a handler only some of the events. Not for metrics: counts of a sample are wrong.

    Guarantees:
        Events within a trace go with their trace: all of it, or nothing but its failures. Outside of any, the sampler is
        asked for each. Failures (``*.exception``, and what the catalogue marks so) always pass, and so does everything
        when the sampler raises.

    Args:
        handler: what hears what is left.
        sampler: decides about events outside of any trace.
        catalogue: says which events are failures.

    Example:
        >>> from mabeam.telemetry import Bus, FixedRate
        >>> bus, heard = Bus(), []
        >>> subscription = bus.attach(
        ...     Sampled(lambda event, _measured, _more: heard.append(event), sampler=FixedRate(0.0))
        ... )
        >>> bus.emit("registry.registered", {}, {})
        >>> bus.emit("order.exception", {}, {})
        >>> heard
        ['order.exception']
    """

    __slots__ = ("_catalogue", "_doubtful", "_dropped", "_handler", "_kept", "_lock", "_sampler")

    def __init__(
        self, handler: Handler, *, sampler: Sampler, catalogue: Mapping[str, EventSpec] = CATALOGUE
    ) -> None:
        self._handler = handler
        self._sampler = sampler
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._kept = self._dropped = self._doubtful = 0

    def __call__(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Hear one event."""
        doubtful = False
        try:
            kept = self._keeps(event)
        except Exception:  # noqa: BLE001  (whatever it is, the event is kept)
            kept = doubtful = True
        with self._lock:
            self._kept += kept
            self._dropped += not kept
            self._doubtful += doubtful
        if kept:
            self._handler(event, measurements, metadata)

    def statistics(self) -> SampledStatistics:
        """Return counts, as of now."""
        with self._lock:
            return SampledStatistics(kept=self._kept, dropped=self._dropped, doubtful=self._doubtful)

    def __repr__(self) -> str:
        return f"<Sampled {self._handler!r} by {self._sampler!r}, {self._kept} kept, {self._dropped} dropped>"

    def _keeps(self, event: str) -> bool:
        spec = self._catalogue.get(event)
        if event.endswith(".exception") or (spec is not None and spec.failure):
            return True
        trace = current_trace()
        return trace.sampled if trace is not None else self._sampler.keep(event)
