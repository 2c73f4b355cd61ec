"""A stretch of work as events: where it began, how it ended, how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mabeam.telemetry._current import current_bus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from mabeam.telemetry._bus import Bus

__all__ = ("Span", "span")


@final
class Span:
    """A block whose begin and end are emitted; made by :func:`span`."""

    __slots__ = ("_begin", "_bus", "_event", "_metadata", "_stopwatch")

    def __init__(
        self, event: str, metadata: Mapping[str, object], stopwatch: Callable[[], float], bus: Bus | None
    ) -> None:
        self._event = event
        self._metadata = metadata
        self._stopwatch = stopwatch
        self._bus = bus
        self._begin: float | None = None

    def __enter__(self) -> Self:
        bus = self._bus
        if bus is not None and bus.listening:
            self._begin = self._stopwatch()
            bus.emit(f"{self._event}.start", {}, self._metadata)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        bus = self._bus
        if bus is None or self._begin is None:
            return  # nobody heard the start, so nobody is told of the end
        measurements = {"duration": self._stopwatch() - self._begin}
        if error is None:
            bus.emit(f"{self._event}.stop", measurements, self._metadata)
        else:
            bus.emit(f"{self._event}.exception", measurements, {**self._metadata, "error": error})


def span(
    event: str,
    metadata: Mapping[str, object],
    /,
    *,
    stopwatch: Callable[[], float],
    bus: Bus | None = None,
) -> Span:
    """Emit ``event.start`` now and ``event.stop`` or ``event.exception`` at the end of the block.

    Guarantees:
        Exactly one end for each start, with ``duration`` in seconds; a cancellation is an exception like any other, and
        is never swallowed. If nobody listens when the block is entered, nothing is measured or emitted.

    Args:
        event: the common beginning of the three names.
        metadata: what comes with all of them; ``exception`` adds ``error``.
        stopwatch: what measures the duration (``mabeam._base.stopwatch_of``), so that virtual time is measured too.
        bus: where to emit; the current bus unless given.

    Returns:
        A context manager for a ``with`` block, to be entered once.

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
    return Span(event, metadata, stopwatch, current_bus.get() if bus is None else bus)
