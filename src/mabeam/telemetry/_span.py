"""A stretch of work: where it began, how it ended, how long it took, and where it stands in its trace."""

from __future__ import annotations

from asyncio import _get_running_loop as running_loop
from typing import TYPE_CHECKING, Protocol, cast, final

from mabeam._base import stopwatch_of
from mabeam.telemetry._current import current_bus
from mabeam.telemetry._trace import Block, leave, place, stand_in, unchecked

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from mabeam.telemetry._bus import Bus
    from mabeam.telemetry._trace import TraceContext

__all__ = ("Span", "Tracer", "current_span", "span")


class Tracer(Protocol):
    """Takes the spans of a bus to where traces are kept. Give it to ``bus.trace_with``.

    What it raises is logged once and counted, and harms nobody. It runs where the span is entered or left and must be quick.
    """

    def begin(self, span: Span, /) -> TraceContext | None:
        """A span of a trace that is kept has been entered.

        Returns:
            The context to hand on, when the tracer makes the ids; ``None`` to leave them as they are.
        """
        ...

    def end(self, span: Span, duration: float, error: BaseException | None, /) -> None:
        """A span has been left: one that ``begin`` was told of; or, of a trace that is not kept, one that has failed.

        Args:
            span: what has ended.
            duration: seconds that it took.
            error: what its block raised.
        """
        ...


@final
class Span(Block):
    """A block whose begin and end are told; made by :func:`span`.

    Attributes:
        name: the common beginning of its events.
        parent: the context that it was entered in; ``None`` for the root of a trace.
        tracer: who was told of its begin, and is to be told of its end.
        record: for the tracer, to keep what it needs until the end.
    """

    __slots__ = ("_begin", "_bus", "_metadata", "_stopwatch", "_trace", "name", "parent", "record", "tracer")

    def __init__(
        self, event: str, metadata: Mapping[str, object], stopwatch: Callable[[], float], bus: Bus | None
    ) -> None:
        """Made by :func:`span` only."""
        super().__init__()
        self.name = event
        self.parent: TraceContext | None = None
        self.tracer: Tracer | None = None
        self.record: object = None
        self._metadata = metadata
        self._stopwatch = stopwatch
        self._bus = bus
        self._begin: float | None = None
        self._trace: TraceContext | None = None

    @property
    def trace(self) -> TraceContext | None:
        """Its ids, once it has been entered; ``None`` when nobody listened then."""
        return self._trace

    @property
    def metadata(self) -> Mapping[str, object]:
        """What comes with its events, :meth:`set` included."""
        return self._metadata

    def set(self, **metadata: object) -> None:
        """Add to what comes with its end: what is known only when the work is done."""
        self._metadata = {**self._metadata, **metadata}

    def __enter__(self) -> Self:
        bus = self._bus
        if bus is not None and bus.hears_spans:
            stand_in(self)
            try:
                self._begin = self._stopwatch()
                self._join(bus)
                bus.emit(f"{self.name}.start", {}, self._metadata)
            except BaseException:
                # An interruption. The block is not entered, so nobody will leave it.
                self._begin = None
                leave(self)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        bus, begin, self._begin = self._bus, self._begin, None
        if bus is None or begin is None:
            return  # nobody heard the start, so nobody is told of the end
        duration = self._stopwatch() - begin
        here = place.set(self)  # handlers see the span that they are told of, in whatever order it is left
        try:
            if error is None:
                bus.emit(f"{self.name}.stop", {"duration": duration}, self._metadata)
            else:
                bus.emit(f"{self.name}.exception", {"duration": duration}, {**self._metadata, "error": error})
            bus.end_span(self, duration, error)
        finally:
            place.reset(here)
            leave(self)

    def _join(self, bus: Bus) -> None:
        """Take a place in the current trace, or begin one."""
        bus.trace_begun()
        around = current_bus.get()
        if around is not None and around is not bus:
            around.trace_begun()
        parent = self.parent = None if self._previous is None else self._previous.trace
        if parent is None:
            self._trace = unchecked(bus.new_id(128), bus.new_id(64), sampled=bus.keeps(self.name))
        else:
            self._trace = unchecked(parent.trace_id, bus.new_id(64), sampled=parent.sampled)
        if self._trace.sampled:
            self._trace = bus.begin_span(self) or self._trace

    def __repr__(self) -> str:
        state = "open" if self._begin is not None else "not open"
        return (
            f"<Span {self.name} {state}{'' if self._trace is None else f', {self._trace.to_traceparent()}'}>"
        )


def current_span() -> Span | None:
    """Return the span that the running code is in, to :meth:`~Span.set` something on it.

    Returns:
        The span; ``None`` outside of any, and in the handler of a message: only a span's ids ride on messages.
    """
    value = place.get()
    while isinstance(value, Block) and value._left_behind:
        value = value._previous
    return value if isinstance(value, Span) else None


def span(
    event: str,
    metadata: Mapping[str, object] | None = None,
    /,
    *,
    stopwatch: Callable[[], float] | None = None,
    bus: Bus | None = None,
) -> Span:
    """Emit ``event.start`` now and ``event.stop`` or ``event.exception`` at the end of the block.

    The block is a part of the current trace, or begins one. What it calls, casts, sends, spawns or sends later belongs to
    the same trace, with this span as parent: see :func:`current_trace`.

    Guarantees:
        Exactly one end for each start, with ``duration`` in seconds; a cancellation is an exception like any other, and
        is never swallowed. What was current before the block is current again after it, also after an exception, when blocks
        are left in another order than they were entered, and when one is left in another task. If nobody listens when the
        block is entered, nothing is measured or emitted, and no trace begins.

    Args:
        event: the common beginning of the three names.
        metadata: what comes with all of them; ``exception`` adds ``error``.
        stopwatch: what measures the duration, in seconds; that of the running loop unless given, so that virtual time is
            measured too.
        bus: where to emit; the current bus unless given.

    Returns:
        A context manager for a ``with`` block, to be entered once.

    Raises:
        UsageError: on entering a block that is entered already.

    Example:
        >>> from mabeam.telemetry import Bus
        >>> bus, ticks = Bus(), iter([1.0, 3.5])
        >>> subscription = bus.attach(
        ...     lambda event, measurements, metadata: print(event, measurements, metadata)
        ... )
        >>> with span("cache.load", {"key": 7}, stopwatch=lambda: next(ticks), bus=bus):
        ...     pass
        cache.load.start {} {'key': 7}
        cache.load.stop {'duration': 2.5} {'key': 7}
    """
    if stopwatch is None:
        # Outside of any loop there is no virtual time that it could differ from.
        stopwatch = stopwatch_of(cast("AbstractEventLoop", running_loop()))
    return Span(
        event, {} if metadata is None else metadata, stopwatch, current_bus.get() if bus is None else bus
    )
