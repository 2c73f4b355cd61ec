"""Spans as spans of OpenTelemetry."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, Final, TypeGuard, final
from weakref import WeakSet

from mabeam._base import wall_time
from mabeam.integrations._extras import need
from mabeam.telemetry import TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider

    from mabeam.telemetry import Span

__all__ = ("OpenTelemetryTracer",)

_LONGEST: Final = 1_000
_ATTRIBUTES: Final = 64


class _Record:
    """What a span of ours keeps of that of OpenTelemetry until it ends."""

    __slots__ = ("before", "begun_at", "span")

    def __init__(self, span: Any, begun_at: int, before: Any) -> None:
        self.span = span
        self.begun_at = begun_at
        self.before = before


@final
class OpenTelemetryTracer:
    """Takes spans to OpenTelemetry. Give it to ``bus.trace_with``.

    OpenTelemetry makes the ids, so they are the same in both: ``current_trace().to_traceparent()`` is what a service that is
    called next should get, and libraries that OpenTelemetry instruments see the span around them as current.

    Guarantees:
        Parents are right across processes, timers and tasks, also when the parent has long ended. A span at the root of a
        trace of ours becomes a child of OpenTelemetry's current span, if that is still open or came from another service
        (``propagate.extract``); so it is dropped with a request that was dropped. Sampling of the bus comes first, then that
        of the provider. What fails in a trace that is not kept is exported all the same, in that trace.
        Keeps nothing alive: an open span is held by its block alone.

    Args:
        provider: where the spans go; the global one unless given.
        clock: the date, in seconds since 1970.

    Raises:
        UsageError: opentelemetry-api is not installed.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        >>> from mabeam.telemetry import Bus, span
        >>> exporter, provider = InMemorySpanExporter(), TracerProvider()
        >>> provider.add_span_processor(SimpleSpanProcessor(exporter))
        >>> bus = Bus()
        >>> bus.trace_with(OpenTelemetryTracer(provider))
        >>> with span("order", {"items": 3}, bus=bus):
        ...     with span("payment", bus=bus):
        ...         pass
        >>> payment, order = exporter.get_finished_spans()
        >>> payment.parent.span_id == order.context.span_id, order.attributes["items"]
        (True, 3)
    """

    __slots__ = ("_clock", "_context", "_dropped", "_trace", "_tracer")

    def __init__(
        self, provider: TracerProvider | None = None, *, clock: Callable[[], float] = wall_time
    ) -> None:
        by = "OpenTelemetryTracer"
        self._trace = need("opentelemetry.trace", extra="opentelemetry", by=by)
        self._context = need("opentelemetry.context", extra="opentelemetry", by=by)
        self._clock = clock
        provider = self._trace.get_tracer_provider() if provider is None else provider
        self._tracer: Any = provider.get_tracer("mabeam")
        self._dropped: WeakSet[Any] = WeakSet()
        """Spans of ours that do not record and have ended, which they cannot say themselves."""

    def begin(self, span: Span, /) -> TraceContext | None:
        """A span has been entered."""
        before = self._context.get_current()
        begun_at = int(self._clock() * 1e9)
        opened = self._tracer.start_span(
            span.name, context=self._around(span.parent), attributes=_attributes(span), start_time=begun_at
        )
        span.record = _Record(opened, begun_at, before)
        self._context.attach(self._trace.set_span_in_context(opened, before))
        made = opened.get_span_context()
        if not made.is_valid:  # the API without an SDK
            return None
        return TraceContext(
            f"{made.trace_id:032x}", span_id=f"{made.span_id:016x}", sampled=bool(made.trace_flags.sampled)
        )

    def end(self, span: Span, duration: float, error: BaseException | None, /) -> None:
        """A span has been left."""
        record = span.record
        if isinstance(record, _Record):
            span.record = None
            if self._trace.get_current_span() is record.span:
                # Not by the token of attach: in another task OpenTelemetry would complain, and restore nothing.
                self._context.attach(record.before)
            for name, value in _attributes(span).items():
                record.span.set_attribute(name, value)
        else:
            record = self._late(span, duration)
        try:
            if error is not None:
                self._fail(record.span, error)
        finally:
            # Whatever an exception does when it is shown: a span that is not ended is never exported.
            record.span.end(end_time=record.begun_at + int(duration * 1e9))
            if not record.span.get_span_context().trace_flags.sampled:
                self._dropped.add(record.span)

    def _around(self, parent: TraceContext | None) -> Any:
        """The context of OpenTelemetry that a span begins in."""
        if parent is not None:
            return self._child_of(parent.trace_id, parent.span_id)
        around = self._trace.get_current_span()
        # One that has ended is a leftover: of what was current when the Runtime was entered, say. One that does not record has
        # no end: it came from another service, or a sampler has dropped it, and then what it is around goes with it.
        is_leftover = getattr(around, "end_time", None) is not None or around in self._dropped
        return self._trace.set_span_in_context(self._trace.INVALID_SPAN if is_leftover else around)

    def _child_of(self, trace_id: str, span_id: str) -> Any:
        parent = self._trace.SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=False,
            trace_flags=self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED),
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))

    def _late(self, span: Span, duration: float) -> _Record:
        """A span for what was not to be kept and has failed: begun when it ends, in its trace, with an id of its own."""
        begun_at = int((self._clock() - duration) * 1e9)
        own, parent = span.trace, span.parent
        if own is None:  # pragma: no cover  (a span that ends has been entered)
            context = None
        else:
            context = self._child_of(own.trace_id, own.span_id if parent is None else parent.span_id)
        opened = self._tracer.start_span(
            span.name, context=context, attributes=_attributes(span), start_time=begun_at
        )
        return _Record(opened, begun_at, None)

    def _fail(self, opened: Any, error: BaseException) -> None:
        if isinstance(error, CancelledError | GeneratorExit):
            opened.set_attribute("mabeam.cancelled", True)  # told to stop, which is no failure
            return
        status = self._trace.Status(
            self._trace.StatusCode.ERROR, f"{type(error).__name__}: {_shown(error)}"[:_LONGEST]
        )
        opened.set_status(status)
        opened.record_exception(error)

    def __repr__(self) -> str:
        return f"<OpenTelemetryTracer to {type(self._tracer).__module__}>"


def _attributes(span: Span) -> dict[str, str | bool | int | float]:
    """The metadata of a span, as OpenTelemetry takes it: plain values as they are, the rest as text."""
    return {
        str(name): value if _is_plain(value) else _shown(value)[:_LONGEST]
        for name, value in list(span.metadata.items())[:_ATTRIBUTES]
        if value is not None
    }


def _is_plain(value: object) -> TypeGuard[bool | int | float]:
    """Whether OpenTelemetry takes it as it is. Its whole numbers have 64 bits; exporters drop what does not fit."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the span with it
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
