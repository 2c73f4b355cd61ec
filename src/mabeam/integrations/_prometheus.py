"""Events as metrics of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from mabeam.errors import UsageError
from mabeam.integrations._extras import need
from mabeam.integrations._series import Series, SeriesStatistics, amount_of, check_limit, distributions
from mabeam.telemetry import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from mabeam.telemetry import EventSpec

__all__ = ("PrometheusMetrics",)

_BUCKETS: Final = {
    "seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    "bytes": tuple(float(4**power) for power in range(3, 14)),
    "count": (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0),
}
_ENDINGS: Final = {"seconds": "_seconds", "bytes": "_bytes", "count": ""}


@final
class PrometheusMetrics:
    """Makes metrics of events, and shows them to whoever scrapes. A handler for ``bus.attach``.

    ``process.exited`` becomes the counter ``mabeam_process_exited_total``, split by its label; its other measurements become
    histograms, such as ``mabeam_task_finished_duration_seconds``. What is no label in the catalogue splits nothing.

    Guarantees:
        At most ``max_series`` sets of label values for each event; what comes after that is counted under ``other``, and
        in :meth:`statistics`. Opens no port and starts no thread: the program serves :meth:`text`, or mounts :meth:`asgi`
        or :meth:`wsgi` where it serves anyway. From any thread.

    Args:
        registry: where the metrics are kept; one of its own unless given.
        catalogue: the events that metrics are made of; ``{**CATALOGUE, **EventSpec.of_span(...)}`` adds own ones.
        prefix: how all names begin.
        max_series: sets of label values to keep apart, for each event.

    Raises:
        UsageError: prometheus-client is not installed; ``max_series`` is no such number; or two events have one name once
            their dots are underscores.

    Example:
        >>> from mabeam.telemetry import Bus
        >>> bus, metrics = Bus(), PrometheusMetrics()
        >>> subscription = bus.attach(metrics)
        >>> bus.emit("message.dead_letter", {"count": 1}, {"target": "<pid 7>", "why": "full"})
        >>> [line for line in metrics.text().decode().splitlines() if "dead_letter_total{" in line]
        ['mabeam_message_dead_letter_total{why="full"} 1.0']
    """

    __slots__ = ("_client", "_counters", "_histograms", "_series", "registry")

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        catalogue: Mapping[str, EventSpec] = CATALOGUE,
        prefix: str = "mabeam",
        max_series: int = 200,
    ) -> None:
        self._client = client = need("prometheus_client", extra="prometheus", by="PrometheusMetrics")
        self._series = Series(catalogue, check_limit("PrometheusMetrics", max_series))
        self.registry: CollectorRegistry = client.CollectorRegistry() if registry is None else registry
        self._counters: dict[str, Any] = {}
        self._histograms: dict[str, list[tuple[str, Any]]] = {}
        for spec in catalogue.values():
            name = f"{prefix}_{spec.name.replace('.', '_')}"
            try:
                self._counters[spec.name] = client.Counter(
                    name, spec.description, spec.labels, registry=self.registry
                )
                self._histograms[spec.name] = [
                    (
                        field,
                        client.Histogram(
                            f"{name}_{field}{_ENDINGS[unit]}",
                            f"{spec.description} {field}, in {unit}.",
                            spec.labels,
                            buckets=_BUCKETS[unit],
                            registry=self.registry,
                        ),
                    )
                    for field, unit in distributions(spec)
                ]
            except ValueError as error:
                raise UsageError(
                    f"PrometheusMetrics cannot make a metric of event {spec.name!r}: {error}. Two adapters in one registry "
                    "need prefixes of their own; names of events need letters, digits and underscores between the dots."
                ) from error

    def __call__(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /
    ) -> None:
        """Hear one event."""
        spec = self._series.spec_of(event)
        if spec is None:
            return
        labels = self._series.labels_of(spec, metadata)
        counter = self._counters[event]
        (counter.labels(*labels) if labels else counter).inc(amount_of(measurements))
        for field, histogram in self._histograms[event]:
            if field in measurements:
                (histogram.labels(*labels) if labels else histogram).observe(measurements[field])

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format, for whatever serves them.

        Serve it as ``text/plain; version=0.0.4; charset=utf-8``.
        """
        shown: bytes = self._client.generate_latest(self.registry)
        return shown

    def wsgi(self) -> Any:
        """Return a WSGI application that answers a scrape, format and compression negotiated."""
        return self._client.make_wsgi_app(self.registry)

    def asgi(self) -> Any:
        """Return an ASGI application that answers a scrape: ``app.mount("/metrics", metrics.asgi())``."""
        return self._client.make_asgi_app(self.registry)

    def statistics(self) -> SeriesStatistics:
        """Return counts, as of now."""
        return self._series.statistics()

    def __repr__(self) -> str:
        seen = self.statistics()
        return f"<PrometheusMetrics {len(self._counters)} events, {seen.series} series, {seen.merged} merged>"
