"""Events as metrics: what both adapters make of them, over a real scrape and in the real SDK."""

from __future__ import annotations

import threading
import urllib.request
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

import mabeam
from mabeam import GenServer, Runtime, TaskSupervisor, handle_cast
from mabeam.errors import UsageError
from mabeam.integrations import OpenTelemetryMetrics, PrometheusMetrics, SeriesStatistics
from mabeam.telemetry import CATALOGUE, Bus, EventSpec, FixedRate, span
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = dict[tuple[str, tuple[str, ...]], float]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


@pytest.fixture
def scrape() -> Callable[[PrometheusMetrics], Samples]:
    """Serves one request of a WSGI application over loopback, and reads it as Prometheus does."""

    def fetch(metrics: PrometheusMetrics) -> Samples:
        with make_server("127.0.0.1", 0, metrics.wsgi(), handler_class=Quiet) as server:
            server.timeout = 10
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            try:
                address = f"http://127.0.0.1:{server.server_port}/metrics"
                with urllib.request.urlopen(address, timeout=10) as response:
                    assert response.headers["Content-Type"].startswith("text/plain")
                    text = response.read().decode()
            finally:
                thread.join(20)
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return fetch


class Worker(GenServer):
    @handle_cast
    def fail(self) -> None:
        raise ValueError("no")


async def work(bus: Bus) -> None:
    """A program that does a bit of everything."""

    async def task() -> int:
        return 1

    async with Runtime(bus=bus):
        tasks = await TaskSupervisor.start_link()
        for _ in range(3):
            await (await TaskSupervisor.start_task(tasks, task))
        worker = await Worker.child_spec().start()
        mabeam.unlink(worker)
        worker.cast(Worker.fail)
        await wait_until_idle()
        worker.cast(Worker.fail)  # to nobody
    await wait_until_idle()


async def test_what_a_program_does_is_counted() -> None:
    """By label, with durations as histograms."""
    bus, metrics = Bus(), PrometheusMetrics()
    bus.attach(metrics)
    await work(bus)
    shown = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    label = "work.<locals>.task"
    assert shown["mabeam_task_finished_total", (label,)] == 3
    assert shown["mabeam_task_finished_duration_seconds_count", (label,)] == 3
    assert shown["mabeam_process_crashed_total", ("Worker",)] == 1
    assert shown["mabeam_process_exited_total", ("Worker",)] == 1
    assert shown["mabeam_message_dead_letter_total", ("dead",)] == 1
    assert shown["mabeam_runtime_started_total", ()] == 1


def test_a_scrape_over_http_reads_the_same(scrape: Any) -> None:
    bus, metrics = Bus(), PrometheusMetrics()
    bus.attach(metrics)
    for seconds in (0.5, 2.0):
        bus.emit(
            "task.finished", {"duration": seconds}, {"pid": 7, "label": "load", "owner": 1, "reason": "x"}
        )
    first = scrape(metrics)
    bus.emit("call.expired", {"count": 4}, {"pid": 7, "handler": "A.b", "why": "dropped"})
    second = scrape(metrics)
    assert first["mabeam_task_finished_total", ("load",)] == 2
    assert first["mabeam_task_finished_duration_seconds_sum", ("load",)] == 2.5
    assert first["mabeam_task_finished_duration_seconds_bucket", ("load", "1.0")] == 1
    assert ("mabeam_call_expired_total", ("A.b", "dropped")) not in first
    assert second["mabeam_call_expired_total", ("A.b", "dropped")] == 4


async def test_an_asgi_server_can_mount_it() -> None:
    metrics, sent = PrometheusMetrics(), list[dict[str, Any]]()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await metrics.asgi()(scope, receive, send)
    assert sent[0]["status"] == 200
    assert b"# TYPE mabeam_process_exited_total counter" in sent[1]["body"]


def of_sdk(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The data points of each metric, by name and attributes."""
    data: Any = reader.get_metrics_data()
    return {
        metric.name: {tuple(point.attributes.values()): point for point in metric.data.data_points}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }


async def test_the_sdk_of_opentelemetry_collects_the_same() -> None:
    reader, bus = InMemoryMetricReader(), Bus()
    bus.attach(OpenTelemetryMetrics(MeterProvider([reader])))
    await work(bus)
    seen = of_sdk(reader)
    label = "work.<locals>.task"
    assert seen["mabeam.task.finished"][label,].value == 3
    assert seen["mabeam.task.finished.duration"][label,].count == 3
    assert seen["mabeam.process.crashed"]["Worker",].value == 1
    assert seen["mabeam.message.dead_letter"]["dead",].value == 1
    assert seen["mabeam.runtime.started"][()].value == 1


def test_units_are_those_of_the_catalogue() -> None:
    reader, bus = InMemoryMetricReader(), Bus()
    own = {
        "file.read": EventSpec(
            "file.read",
            description="Read.",
            measurements={"size": "bytes", "lines": "count", "time": "seconds"},
        )
    }
    bus.attach(OpenTelemetryMetrics(MeterProvider([reader]), catalogue=own))
    metrics = PrometheusMetrics(catalogue=own, prefix="own")
    bus.attach(metrics)
    bus.emit("file.read", {"size": 10, "lines": 2, "time": 0.5}, {})
    data: Any = reader.get_metrics_data()
    units = {each.name: each.unit for each in data.resource_metrics[0].scope_metrics[0].metrics}
    assert units == {
        "mabeam.file.read": "1",
        "mabeam.file.read.size": "By",
        "mabeam.file.read.lines": "1",
        "mabeam.file.read.time": "s",
    }
    for name in (
        "own_file_read_size_bytes_sum 10.0",
        "own_file_read_lines_sum 2.0",
        "own_file_read_time_seconds_sum 0.5",
    ):
        assert name in metrics.text().decode()


def test_spans_of_a_program_are_metrics_whatever_is_sampled() -> None:
    """Sampling is of traces; a count of a sample would be wrong."""
    bus = Bus(sampler=FixedRate(0.0))
    own = EventSpec.of_span("order", description="An order.", metadata=("kind", "id"), labels=("kind",))
    metrics = PrometheusMetrics(catalogue={**CATALOGUE, **own})
    bus.attach(metrics)
    for number in range(3):
        with span("order", {"kind": "book", "id": number}, stopwatch=lambda: 1.0, bus=bus):
            pass
    with pytest.raises(ValueError, match="no"), span("order", {"kind": "pen", "id": 4}, bus=bus):
        raise ValueError("no")
    text = metrics.text().decode()
    assert 'mabeam_order_stop_duration_seconds_count{kind="book"} 3.0' in text
    assert 'mabeam_order_exception_total{kind="pen"} 1.0' in text
    assert metrics.statistics().unknown == 0


@pytest.mark.parametrize("kind", ["prometheus", "opentelemetry"])
def test_the_number_of_series_is_bounded(kind: str) -> None:
    """What comes after the limit is counted, under another name."""
    reader = InMemoryMetricReader()
    metrics = (
        PrometheusMetrics(max_series=2)
        if kind == "prometheus"
        else OpenTelemetryMetrics(MeterProvider([reader]), max_series=2)
    )
    bus = Bus()
    bus.attach(metrics)
    for number in range(50):
        bus.emit("process.exited", {"count": 1}, {"pid": number, "label": f"made-up-{number}", "reason": "x"})
    bus.emit("process.exited", {"count": 1}, {"pid": 51, "label": "made-up-1", "reason": "x"})
    bus.emit("no.such_event", {}, {})
    assert metrics.statistics() == SeriesStatistics(series=2, merged=48, unknown=1)
    if isinstance(metrics, PrometheusMetrics):
        text = metrics.text().decode()
        assert 'mabeam_process_exited_total{label="other"} 48.0' in text
        assert 'mabeam_process_exited_total{label="made-up-1"} 2.0' in text
        assert text.count("mabeam_process_exited_total{") == 3
    else:
        points = of_sdk(reader)["mabeam.process.exited"]
        assert {key: point.value for key, point in points.items()} == {
            ("made-up-0",): 1,
            ("made-up-1",): 2,
            ("other",): 48,
        }


def test_two_adapters_share_nothing_unless_they_are_told_to() -> None:
    first, second = PrometheusMetrics(), PrometheusMetrics()
    bus = Bus()
    bus.attach(first)
    bus.emit("runtime.started", {}, {"runtime": "r"})
    assert b"mabeam_runtime_started_total 1.0" in first.text()
    assert b"mabeam_runtime_started_total 0.0" in second.text()
    PrometheusMetrics(first.registry, prefix="other")
    with pytest.raises(UsageError, match="prefixes of their own"):
        PrometheusMetrics(first.registry)


@pytest.mark.parametrize("limit", [0, True, 1.5, None])
@pytest.mark.parametrize("adapter", [PrometheusMetrics, OpenTelemetryMetrics])
def test_the_limit_is_a_number(adapter: Any, limit: object) -> None:
    with pytest.raises(UsageError, match="max_series"):
        adapter(max_series=limit)


def test_adapters_show_their_state_in_one_line() -> None:
    metrics = PrometheusMetrics(catalogue={})
    assert repr(metrics) == "<PrometheusMetrics 0 events, 0 series, 0 merged>"
    assert repr(OpenTelemetryMetrics(catalogue={})) == "<OpenTelemetryMetrics 0 events, 0 series, 0 merged>"
