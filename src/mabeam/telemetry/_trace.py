"""Which trace the running code belongs to, as a value that can ride on a message.

A trace is everything that happens because of one beginning. What is handed on from one part to the next is small and does
not change: a :class:`TraceContext`. A :class:`ContextVar` holds that of the running code. It never holds more than one link
of the chain, so code that goes on for ever inside a trace keeps nothing alive.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Final, Protocol, final

from mabeam.errors import UsageError
from mabeam.telemetry._current import current_bus

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType
    from typing import Self

__all__ = (
    "Block",
    "Place",
    "TraceContext",
    "continue_trace",
    "current_trace",
    "enter_trace",
    "leave",
    "place",
    "stand_in",
    "unchecked",
)

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")


@final
@dataclass(frozen=True, slots=True)
class TraceContext:
    """What is handed on of a trace: its id, the span that whatever comes next belongs to, and whether it is kept.

    Attributes:
        trace_id: 32 hexadecimal digits, the same in the whole trace.
        span_id: 16 hexadecimal digits: the parent of the spans that follow.
        sampled: whether the trace is kept; decided at its root, followed by all the rest.

    Raises:
        UsageError: an id has another form, or is all zeros.

    Example:
        >>> context = TraceContext("0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
        >>> context.to_traceparent()
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    """

    trace_id: str
    _: KW_ONLY
    span_id: str
    sampled: bool = True

    def __post_init__(self) -> None:
        for what, value, form in (
            ("trace_id expects 32", self.trace_id, _TRACE_ID),
            ("span_id expects 16", self.span_id, _SPAN_ID),
        ):
            if not isinstance(value, str) or form.fullmatch(value) is None:
                raise UsageError(f"{what} hexadecimal digits in lower case, not all of them 0; got {value!r}")

    def to_traceparent(self) -> str:
        """Return it as the value of a ``traceparent`` header of W3C Trace Context, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @classmethod
    def from_traceparent(cls, header: str, /) -> TraceContext | None:
        """Read the value of a ``traceparent`` header.

        Returns:
            The context; ``None`` for what is no such header, as the standard asks: a new trace begins then. Versions to
            come are read as far as they are known.
        """
        match = _TRACEPARENT.fullmatch(header.strip())
        if match is None or (header.strip().startswith("00") and match[4]):
            return None
        return cls(match[1], span_id=match[2], sampled=bool(int(match[3], 16) & 1))


def unchecked(trace_id: str, span_id: str, *, sampled: bool) -> TraceContext:
    """Make one of ids that we have drawn ourselves: checking them takes longer than all the rest of a span."""
    context = object.__new__(TraceContext)
    object.__setattr__(context, "trace_id", trace_id)
    object.__setattr__(context, "span_id", span_id)
    object.__setattr__(context, "sampled", sampled)
    return context


class Place(Protocol):
    """What the variable holds: a block that has been entered, or a context that came with a message."""

    @property
    def trace(self) -> TraceContext | None:
        """What is handed on from here."""
        ...


@final
class _Arrived:
    """A context that came from elsewhere."""

    __slots__ = ("trace",)

    def __init__(self, trace: TraceContext) -> None:
        self.trace: TraceContext | None = trace


place: ContextVar[Place | None] = ContextVar("mabeam_trace", default=None)
"""Where the running code is in its trace; ``None`` when it is in none."""


class Block:
    """The part that spans and :func:`continue_trace` share: a place that is entered, and left in whatever order.

    What was current before a block is current again after it. Blocks need not be left in the order they were entered, nor
    in the task they were entered in. One that is left while another is current does not touch that, but is passed over
    when that one is left.
    """

    __slots__ = ("_left_behind", "_previous", "_token")

    def __init__(self) -> None:
        self._token: Token[Place | None] | None = None
        self._previous: Place | None = None
        self._left_behind = False
        """It was left where its place could not be restored: whoever comes upon it passes it over."""

    @property
    def trace(self) -> TraceContext | None:
        """What is handed on from here."""
        raise NotImplementedError


def stand_in(block: Block) -> None:
    """Make a block the place of the running code.

    Raises:
        UsageError: it is entered already: left twice it could not restore what was before it twice.
    """
    if block._token is not None:
        raise UsageError(
            f"{block!r} is entered already. A block is entered once; make one for each: with span(...), not with one that is kept."
        )
    block._previous = _passed(place.get())
    block._token = place.set(block)


def leave(block: Block) -> None:
    """Make current again what was current before the block, unless something else has become current since."""
    token, block._token = block._token, None
    if token is None:
        return
    if place.get() is not block:
        block._left_behind = (
            True  # out of order: the block that is current now goes past this one when it is left
        )
        return
    try:
        place.reset(token)
    except ValueError:
        # Entered in another task. Its variable cannot be reached from here, so that task finds the mark instead.
        block._left_behind = True
        place.set(block._previous)
    restored = place.get()
    if restored is not (passed := _passed(restored)):
        place.set(passed)
    if not block._left_behind:
        block._previous = (
            None  # tasks that were begun inside still see the block; it must not keep the chain alive
        )


def _passed(value: Place | None) -> Place | None:
    """The nearest place that has not been left behind."""
    while isinstance(value, Block) and value._left_behind:
        value = value._previous
    return value


def current_trace() -> TraceContext | None:
    """Return the trace context of the running code, to be handed on; ``None`` outside of any trace.

    Guarantees:
        Calls, casts, ``send``, ``send_after``, ``spawn`` and tasks hand it on by themselves, and so does whatever runs in a
        copy of the context: asyncio tasks that a library creates, functions in threads of a process.
    """
    value = place.get()
    if value is None:
        return None
    value = _passed(value)
    return None if value is None else value.trace


def enter_trace(trace: TraceContext | None, /) -> None:
    """Put the running code into a trace for good: for the beginning of something that has a context of its own."""
    place.set(None if trace is None else _Arrived(trace))


@final
class _Continued(Block):
    """The block of :func:`continue_trace`."""

    __slots__ = ("_trace",)

    def __init__(self, trace: TraceContext | None) -> None:
        super().__init__()
        self._trace = trace

    @property
    def trace(self) -> TraceContext | None:
        return self._trace

    def __enter__(self) -> Self:
        stand_in(self)
        bus = current_bus.get()
        if bus is not None:
            bus.trace_begun()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self)

    def __repr__(self) -> str:
        return f"continue_trace({self._trace!r})"


def continue_trace(trace: TraceContext | None, /) -> _Continued:
    """Run a block in a trace that came from elsewhere: a request, a row, a thread of your own; or in none.

    Guarantees:
        What was current before is current again afterwards, also after an exception. ``None`` cuts: what the block begins
        belongs to no trace. A server that sends messages to itself for ever does well to cut, or its first trace never ends.

    Args:
        trace: what :func:`current_trace` or :meth:`TraceContext.from_traceparent` gave.

    Returns:
        A context manager, to be entered once.

    Raises:
        UsageError: it is no trace context; or, on entering, the block is entered already.

    Example:
        >>> header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        >>> with continue_trace(TraceContext.from_traceparent(header)):
        ...     print(current_trace().trace_id)
        0af7651916cd43dd8448eb211c80319c
        >>> print(current_trace())
        None
    """
    if trace is not None and not isinstance(trace, TraceContext):
        raise UsageError(
            f"continue_trace expects what current_trace() gave, or None, got {trace!r}. A header is read first: "
            "continue_trace(TraceContext.from_traceparent(header))"
        )
    return _Continued(trace)
