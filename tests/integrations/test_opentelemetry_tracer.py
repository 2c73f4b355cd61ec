"""Spans in OpenTelemetry's own SDK: ids, parents across processes, times, failures, sampling, what is current."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import StatusCode

import mabeam
from mabeam import GenServer, Runtime, TaskSupervisor, handle_call, handle_cast
from mabeam.integrations import OpenTelemetryTracer
from mabeam.telemetry import Bus, FixedRate, TraceContext, continue_trace, current_trace, span
from mabeam.testing import wait_until_idle
from tests.otp._servers import pause

if TYPE_CHECKING:
    from collections.abc import Callable


class Kept:
    """What was exported."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def bus(self, clock: Callable[[], float] = lambda: 1_000.0, **options: Any) -> Bus:
        bus = Bus(**options)
        bus.trace_with(OpenTelemetryTracer(self.provider, clock=clock))
        return bus

    def spans(self) -> dict[str, ReadableSpan]:
        found = {each.name: each for each in self.exporter.get_finished_spans()}
        assert len(found) == len(self.exporter.get_finished_spans())
        return found

    def tree(self) -> dict[str, str | None]:
        """The name of the parent of each."""
        names = {self.context(each).span_id: name for name, each in self.spans().items()}
        return {
            name: None if each.parent is None else names.get(each.parent.span_id, "?")
            for name, each in self.spans().items()
        }

    def traces(self) -> set[int]:
        return {self.context(each).trace_id for each in self.spans().values()}

    @staticmethod
    def context(each: ReadableSpan) -> trace.SpanContext:
        context = each.get_span_context()
        assert context is not None
        return context


class _ByName(Sampler):
    """Drops the roots of one name."""

    def __init__(self, dropped: str) -> None:
        self._dropped = dropped

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
    ) -> SamplingResult:
        return SamplingResult(Decision.DROP if name == self._dropped else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return f"not {self._dropped}"


@pytest.fixture
def kept() -> Kept:
    return Kept()


class Stock(GenServer):
    @handle_call
    def reserve(self) -> None:
        with span("reserve"):
            pass

    @handle_call
    async def pack(self) -> None:
        with span("pack"):
            await pause(1)

    @handle_cast
    def log(self) -> None:
        with span("log"):
            pass

    def handle_info(self, message: object) -> None:
        with span(str(message)):
            pass


async def test_one_trace_goes_through_calls_casts_timers_and_tasks(kept: Kept) -> None:
    """Also to what happens when the span that caused it is over."""

    async def bill() -> None:
        with span("bill"):
            await pause(1)

    async with Runtime(bus=kept.bus()):
        stock = await Stock.start_link()
        tasks = await TaskSupervisor.start_link()
        with span("order"):
            await stock.call(Stock.reserve)
            await stock.call(Stock.pack)
            task = await TaskSupervisor.start_task(tasks, bill)
            with span("follow-up"):
                mabeam.send_after(60.0, stock, "reminder")
                stock.cast(Stock.log)
            await task
        await pause(100)
        await wait_until_idle()
    assert kept.tree() == {
        "order": None,
        "reserve": "order",
        "pack": "order",
        "bill": "order",
        "follow-up": "order",
        "log": "follow-up",
        "reminder": "follow-up",
    }
    assert len(kept.traces()) == 1


async def test_messages_without_a_trace_begin_new_ones(kept: Kept) -> None:
    async with Runtime(bus=kept.bus()):
        stock = await Stock.start_link()
        with span("order"):
            await stock.call(Stock.reserve)
        await stock.call(Stock.pack)
    assert kept.tree() == {"order": None, "reserve": "order", "pack": None}
    assert len(kept.traces()) == 2


def test_the_ids_are_those_of_opentelemetry(kept: Kept) -> None:
    """So that a traceparent sent to another service leads back here."""
    with span("a", bus=kept.bus()):
        inside = current_trace()
    assert inside is not None
    context = kept.context(kept.spans()["a"])
    assert (int(inside.trace_id, 16), int(inside.span_id, 16)) == (context.trace_id, context.span_id)


def test_a_trace_from_another_service_goes_on(kept: Kept) -> None:
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with continue_trace(TraceContext.from_traceparent(header)), span("a", bus=kept.bus()):
        pass
    parent = kept.spans()["a"].parent
    assert parent is not None
    assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}") == tuple(header.split("-")[1:3])


def test_times_are_the_date_of_the_begin_and_the_measured_duration(kept: Kept) -> None:
    ticks = iter((10.0, 12.5))
    with span(
        "a", {"key": 7, "who": Kept, "nothing": None}, stopwatch=lambda: next(ticks), bus=kept.bus()
    ) as a:
        a.set(rows=2)
    exported = kept.spans()["a"]
    assert (exported.start_time, exported.end_time) == (1_000_000_000_000, 1_002_500_000_000)
    assert dict(exported.attributes or {}) == {"key": 7, "who": str(Kept), "rows": 2}


def test_a_failure_has_its_exception_and_a_cancellation_is_none(kept: Kept) -> None:
    bus = kept.bus()
    with pytest.raises(ValueError, match="no"), span("bad", bus=bus):
        raise ValueError("no")
    with pytest.raises(asyncio.CancelledError), span("stopped", bus=bus):
        raise asyncio.CancelledError
    bad, stopped = kept.spans()["bad"], kept.spans()["stopped"]
    assert (bad.status.status_code, bad.status.description) == (StatusCode.ERROR, "ValueError: no")
    assert [event.name for event in bad.events] == ["exception"]
    assert stopped.status.status_code is StatusCode.UNSET
    assert dict(stopped.attributes or {}) == {"mabeam.cancelled": True}


def test_of_a_trace_that_is_not_kept_only_failures_are_exported(kept: Kept) -> None:
    """In one trace, with the time at which they began."""
    ticks = count(0.0)
    bus = kept.bus(sampler=FixedRate(0.0))
    with pytest.raises(ValueError, match="no"), span("root", stopwatch=lambda: next(ticks), bus=bus) as root:
        with span("fine", bus=bus):
            pass
        with span("bad", stopwatch=lambda: next(ticks), bus=bus):
            raise ValueError("no")
    assert set(kept.spans()) == {"bad", "root"}
    assert root.trace is not None
    assert kept.traces() == {int(root.trace.trace_id, 16)}
    assert kept.spans()["bad"].start_time == 999_000_000_000
    assert kept.spans()["bad"].end_time == 1_000_000_000_000


def test_what_the_sampler_of_the_provider_drops_is_dropped_as_a_whole() -> None:
    kept = Kept(sampler=ALWAYS_OFF)
    with span("a", bus=(bus := kept.bus())) as a, span("b", bus=bus) as b:
        pass
    assert a.trace is not None
    assert b.trace is not None
    assert (a.trace.sampled, b.trace.sampled) == (False, False)
    assert kept.spans() == {}


def test_instrumented_libraries_see_the_span_around_them(kept: Kept) -> None:
    """And a span at the root of a trace of ours joins that of the framework around it."""
    tracer, bus = kept.provider.get_tracer("a library"), kept.bus()
    with tracer.start_as_current_span("request"):
        with span("handler", bus=bus), tracer.start_as_current_span("query"):
            pass
        with tracer.start_as_current_span("after"):
            pass
    assert kept.tree() == {"request": None, "handler": "request", "query": "handler", "after": "request"}
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_root_joins_what_came_from_another_service(kept: Kept) -> None:
    """What ``propagate.extract`` gives does not record, and is a parent all the same; so is that it was not sampled."""
    bus = kept.bus()
    for flags, name in (("01", "kept"), ("00", "dropped")):
        header = {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"}
        token = context.attach(propagate.extract(header))
        try:
            with span(name, bus=bus) as ours:
                pass
        finally:
            context.detach(token)
        assert ours.trace is not None
        assert ours.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert kept.tree() == {"kept": "?"}


def test_what_is_in_a_request_that_was_dropped_is_dropped_with_it() -> None:
    """A span of ours that began a trace of its own there would have its own chance of being kept, without the rest."""
    kept = Kept(sampler=ParentBased(_ByName("request")))
    tracer, bus = kept.provider.get_tracer("a framework"), kept.bus()
    with tracer.start_as_current_span("request"), span("handler", bus=bus):
        pass
    assert kept.spans() == {}
    with span("later", bus=bus):
        pass
    assert kept.tree() == {"later": None}


async def test_a_dropped_span_that_is_left_in_another_task_drops_nothing_else() -> None:
    kept = Kept(sampler=ParentBased(_ByName("inner")))
    bus = kept.bus()
    inner = span("inner", bus=bus)
    inner.__enter__()

    async def leave() -> None:
        inner.__exit__(None, None, None)

    await asyncio.get_running_loop().create_task(leave())
    with span("next", bus=bus):
        pass
    assert kept.tree() == {"next": None}


def test_what_cannot_be_shown_takes_no_span_with_it(kept: Kept) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise KeyError("no text")

    bus = kept.bus()
    with span("a", {"odd": Odd(), "big": 2**63, "most": 2**63 - 1}, bus=bus):
        pass
    with pytest.raises(Odd), span("b", bus=bus):
        raise Odd
    found = kept.spans()
    shown = "<Odd that cannot be shown: KeyError>"
    assert found["a"].attributes == {"odd": shown, "big": "9223372036854775808", "most": 2**63 - 1}
    assert found["b"].status.description == f"Odd: {shown}"


async def test_a_span_left_in_another_task_complains_nowhere(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    bus = kept.bus()
    inner = span("inner", bus=bus)
    inner.__enter__()

    async def leave() -> None:
        inner.__exit__(None, None, None)
        assert trace.get_current_span() is trace.INVALID_SPAN

    await asyncio.get_running_loop().create_task(leave())
    with span("next", bus=bus):
        pass
    assert kept.tree() == {"inner": None, "next": None}
    assert caplog.records == []


def test_without_an_sdk_spans_have_ids_all_the_same() -> None:
    """The API alone gives none; ours go on."""
    bus = Bus()
    bus.trace_with(OpenTelemetryTracer(trace.NoOpTracerProvider()))
    with span("a", bus=bus) as a, span("b", bus=bus) as b:
        pass
    assert b.parent == a.trace
    assert bus.statistics().tracing_failures == 0
