"""Events as metrics of OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from mabeam.integrations._extras import need
from mabeam.integrations._series import Series, SeriesStatistics, amount_of, check_limit, distributions
from mabeam.telemetry import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import MeterProvider

    from mabeam.telemetry import EventSpec

__all__ = ("OpenTelemetryMetrics",)

_UNITS: Final = {"seconds": "s", "bytes": "By", "count": "1"}  # as UCUM writes them


@final
class OpenTelemetryMetrics:
    """Makes metrics of events. A handler for ``bus.attach``.

    ``process.exited`` becomes the counter ``mabeam.process.exited``, with its label as attribute; its other measurements
    become histograms, such as ``mabeam.task.finished.duration`` in seconds. What is no label in the catalogue is left out.

    Guarantees:
        At most ``max_series`` sets of attributes for each event; what comes after that is counted under ``other``, and in
        :meth:`statistics`. From any thread.

    Args:
        provider: where the instruments are made; the global one unless given.
        catalogue: the events that metrics are made of; ``{**CATALOGUE, **EventSpec.of_span(...)}`` adds own ones.
        max_series: sets of attributes to keep apart, for each event.

    Raises:
        UsageError: opentelemetry-api is not installed; or ``max_series`` is no such number.

    Example:
        >>> from opentelemetry.sdk.metrics import MeterProvider
        >>> from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        >>> from mabeam.telemetry import Bus
        >>> reader = InMemoryMetricReader()
        >>> bus = Bus()
        >>> subscription = bus.attach(OpenTelemetryMetrics(MeterProvider([reader])))
        >>> bus.emit("message.dead_letter", {"count": 1}, {"target": "<pid 7>", "why": "full"})
        >>> metric = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0]
        >>> metric.name, metric.data.data_points[0].value
        ('mabeam.message.dead_letter', 1)
    """

    __slots__ = ("_counters", "_histograms", "_series")

    def __init__(
        self,
        provider: MeterProvider | None = None,
        *,
        catalogue: Mapping[str, EventSpec] = CATALOGUE,
        max_series: int = 200,
    ) -> None:
        metrics = need("opentelemetry.metrics", extra="opentelemetry", by="OpenTelemetryMetrics")
        self._series = Series(catalogue, check_limit("OpenTelemetryMetrics", max_series))
        meter = (metrics.get_meter_provider() if provider is None else provider).get_meter("mabeam")
        self._counters: dict[str, Any] = {}
        self._histograms: dict[str, list[tuple[str, Any]]] = {}
        for spec in catalogue.values():
            name = f"mabeam.{spec.name}"
            self._counters[spec.name] = meter.create_counter(name, unit="1", description=spec.description)
            self._histograms[spec.name] = [
                (
                    field,
                    meter.create_histogram(
                        f"{name}.{field}", unit=_UNITS[unit], description=f"{spec.description} {field}."
                    ),
                )
                for field, unit in distributions(spec)
            ]

    def __call__(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Hear one event."""
        spec = self._series.spec_of(event)
        if spec is None:
            return
        attributes = dict(zip(spec.labels, self._series.labels_of(spec, metadata), strict=True))
        self._counters[event].add(amount_of(measurements), attributes)
        for field, histogram in self._histograms[event]:
            if field in measurements:
                histogram.record(measurements[field], attributes)

    def statistics(self) -> SeriesStatistics:
        """Return counts, as of now."""
        return self._series.statistics()

    def __repr__(self) -> str:
        seen = self.statistics()
        return (
            f"<OpenTelemetryMetrics {len(self._counters)} events, {seen.series} series, {seen.merged} merged>"
        )
