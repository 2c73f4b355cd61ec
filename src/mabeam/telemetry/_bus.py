"""The bus: brings each event to the handlers that asked for it.

What is hot is :meth:`Bus.emit`, from any thread. It takes no lock: subscriptions and the routes computed from them are
kept in one immutable :class:`_Table`, and attaching or detaching puts another table in its place. An emit that is under
way goes on with the table it began with.
"""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from mabeam._base import Log, system_random
from mabeam.errors import UsageError
from mabeam.telemetry._catalogue import CATALOGUE
from mabeam.telemetry._spec import EventSpec, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from mabeam._base import Random
    from mabeam.telemetry._sampler import Sampler
    from mabeam.telemetry._span import Span, Tracer
    from mabeam.telemetry._trace import TraceContext

__all__ = ("Bus", "BusStatistics", "Handler", "Subscription")

Handler: TypeAlias = Callable[[str, Mapping[str, float], Mapping[str, object]], None]
"""What hears events: called with the event's name, its measurements and its metadata, neither to be changed."""

_ROUTES = 1024  # event names per table; far above the catalogue, so only made-up names reach it
_PROBLEMS = 100  # kept by a strict bus; one is enough to fail a test, and a loop must not fill the memory

_logger = Log("mabeam.telemetry")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BusStatistics:
    """What a :class:`Bus` has come to.

    Attributes:
        subscriptions: how many handlers are attached.
        failures: how often a handler raised, the detached ones included.
        failing: how many of the attached handlers have raised at least once.
        routes: event names whose handlers are worked out and kept.
        tracing_failures: how often the tracer or the sampler raised.
    """

    subscriptions: int
    failures: int
    failing: int
    routes: int
    tracing_failures: int = 0


@final
class Subscription:
    """A handler's attachment to a bus; made by :meth:`Bus.attach`.

    As a context manager it detaches at the end of the block.

    Attributes:
        events: the names and ``prefix.*`` patterns asked for; ``None`` means every event.
        failures: how often the handler has raised.
    """

    __slots__ = ("_bus", "_handler", "attached", "events", "failures")

    def __init__(self, bus: Bus, handler: Handler, events: tuple[str, ...] | None) -> None:
        self._bus = bus
        self._handler = handler
        self.attached = True
        self.events = events
        self.failures = 0

    def detach(self) -> None:
        """Hear no more.

        Guarantees:
            Events emitted in this thread from now on do not reach the handler, not even the rest of an emit that is
            under way. One that another thread is emitting just now may still arrive. May be called again.
        """
        self._bus._detach(self)

    def wants(self, event: str) -> bool:
        """Return whether this event was asked for."""
        return self.events is None or any(
            event.startswith(name[:-1]) if name.endswith("*") else event == name for name in self.events
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        state = "" if self.attached else " detached"
        what = "every event" if self.events is None else ", ".join(self.events)
        failures = f", failed {self.failures} times" if self.failures else ""
        return f"<Subscription{state} {_name_of(self._handler)} to {what}{failures}>"


class _Table:
    """Subscriptions, and for each event name seen those that want it. Only ``routes`` grows, and only by cached facts."""

    __slots__ = ("routes", "subscriptions")

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        self.subscriptions = subscriptions
        self.routes: dict[str, tuple[Subscription, ...]] = {}

    def route(self, event: str) -> tuple[Subscription, ...]:
        found = self.routes.get(event)
        if found is None:
            found = tuple(subscription for subscription in self.subscriptions if subscription.wants(event))
            if len(self.routes) >= _ROUTES:
                # Somebody puts ids into event names. Starting again is cheaper than keeping score of use.
                self.routes = {}
            self.routes[event] = found
        return found


@final
class Bus:
    """Brings events to handlers.

    Guarantees:
        Handlers run in the thread that emits, one after the other in the order they were attached, before ``emit``
        returns: they must be quick and must not wait. One that raises is counted, logged once with its traceback
        (``mabeam.telemetry``), and stays attached; the others and the emitter do not notice. Handlers may attach,
        detach and emit. All methods may be called from any thread.

    Args:
        strict: compare every event with the catalogue and keep what differs in :attr:`problems`. A strict bus always
            listens, so that what is emitted is checked though nobody attached. For tests.
        catalogue: the descriptions that a strict bus compares with.
        sampler: decides at the root of a trace whether it is kept; all are unless given.
        random: where the ids of spans come from; a generator of its own unless given.

    Raises:
        UsageError: ``sampler`` is none.

    Attributes:
        listening: whether an event can reach anybody. Look at it before making the arguments of ``emit``.
        traced: whether a trace was ever begun here. The kernel looks at messages for traces from then on.
        problems: on a strict bus, one sentence for each event that was not as the catalogue says (the first 100).

    Example:
        >>> bus = Bus()
        >>> with bus.attach(
        ...     lambda event, measurements, metadata: print(event, metadata["pid"]), events=["process.*"]
        ... ):
        ...     bus.emit(
        ...         "process.exited", {"lifetime": 1.5}, {"pid": 7, "label": "counter", "reason": "normal"}
        ...     )
        process.exited 7
    """

    __slots__ = (
        "_catalogue",
        "_failures",
        "_lock",
        "_random",
        "_sampler",
        "_strict",
        "_table",
        "_tracer",
        "_tracing_failures",
        "_when_traced",
        "listening",
        "problems",
        "traced",
    )

    def __init__(
        self,
        *,
        strict: bool = False,
        catalogue: Mapping[str, EventSpec] = CATALOGUE,
        sampler: Sampler | None = None,
        random: Random | None = None,
    ) -> None:
        if sampler is not None and (
            isinstance(sampler, type) or not callable(getattr(sampler, "keep", None))
        ):
            raise UsageError(
                f"Bus expects sampler to have keep(event), got {sampler!r}; as in Bus(sampler=FixedRate(0.1))"
            )
        self._strict = strict
        self._catalogue = catalogue
        self._table = _Table(())
        self._lock = threading.Lock()
        self._failures = 0
        self.listening = strict
        self.problems: tuple[str, ...] = ()
        self.traced = False
        self._sampler = sampler
        self._random = random
        self._tracer: Tracer | None = None
        self._tracing_failures = 0
        self._when_traced: dict[Callable[[], None], None] = {}

    def attach(self, handler: Handler, *, events: Iterable[str] | None = None) -> Subscription:
        """Call ``handler`` for events from now on.

        Guarantees:
            An emit that is under way does not reach it. The same handler may be attached more than once.

        Args:
            handler: called with event, measurements and metadata.
            events: the names asked for; one that ends in ``*`` stands for all that begin so. Every event unless given.

        Returns:
            The subscription: detach it, or use it as a context manager.

        Raises:
            UsageError: ``handler`` cannot be called, or ``events`` is a single string.
        """
        if not callable(handler):
            raise UsageError(
                f"attach expects a function of (event, measurements, metadata), got {handler!r}."
            )
        if isinstance(events, str):
            raise UsageError(
                f"attach expects a collection of event names, got the string {events!r}; its letters are not events.\n"
                f"    wrong:  bus.attach(handler, events={events!r})\n"
                f"    right:  bus.attach(handler, events=[{events!r}])"
            )
        subscription = Subscription(self, handler, None if events is None else tuple(events))
        with self._lock:
            self._replace((*self._table.subscriptions, subscription))
        return subscription

    def emit(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object], /) -> None:
        """Tell every handler that asked for this event.

        Guarantees:
            Returns when each handler has been called once; none of their errors gets out, except ``KeyboardInterrupt``,
            ``SystemExit`` and their like, which are not about the handler.

        Args:
            event: its name in the catalogue.
            measurements: the numbers that come with it. The same object goes to every handler.
            metadata: what else comes with it, likewise.
        """
        if self._strict:
            self._compare(event, measurements, metadata)
        for subscription in self._table.route(event):
            if subscription.attached:  # an earlier handler of this very event may have detached it
                try:
                    subscription._handler(event, measurements, metadata)
                except (Exception, CancelledError) as error:  # noqa: BLE001  (it is the handler's fault alone)
                    # CancelledError too: raised by a handler, it would look as if the emitting task had been cancelled.
                    self._failed(subscription, event, error)

    def wants(self, event: str) -> bool:
        """Return whether anybody would hear this event: for events whose arguments are expensive to make."""
        return self._strict or bool(self._table.route(event))

    def statistics(self) -> BusStatistics:
        """Return counts, as of now."""
        table = self._table
        return BusStatistics(
            subscriptions=len(table.subscriptions),
            failures=self._failures,
            failing=sum(1 for subscription in table.subscriptions if subscription.failures),
            routes=len(table.routes),
            tracing_failures=self._tracing_failures,
        )

    # ------------------------------------------------------------------------------------------- traces

    def trace_with(self, tracer: Tracer | None, /) -> None:
        """Have the spans of this bus taken to where traces are kept; ``None`` ends it.

        Guarantees:
            A span ends at the tracer that it began at, also when that has been taken away; one that is open now is not
            told of.

        Raises:
            UsageError: it is no tracer; or there is one already, and two cannot both give out the ids.
        """
        if tracer is not None and (
            isinstance(tracer, type) or not hasattr(tracer, "begin") or not hasattr(tracer, "end")
        ):
            raise UsageError(
                f"trace_with expects an object with begin(span) and end(span, duration, error), got {tracer!r}. Functions that "
                "only listen are attached: bus.attach(handler)"
            )
        with self._lock:
            if tracer is not None and self._tracer is not None:
                raise UsageError(
                    f"this bus is traced by {self._tracer!r} already. One tracer gives out the ids of spans; a second "
                    "consumer attaches a handler, and reads current_span() in it. bus.trace_with(None) takes the first away."
                )
            self._tracer = tracer

    @property
    def hears_spans(self) -> bool:
        """Whether anybody would learn of a span."""
        return self.listening or self._tracer is not None

    def when_traced(self, callback: Callable[[], None], /) -> None:
        """Call back once, when the first trace is begun here; at once if that has been. From any thread."""
        with self._lock:
            if not self.traced:
                self._when_traced[callback] = None
                return
        callback()

    def forget(self, callback: Callable[[], None], /) -> None:
        """Do not call back any more."""
        with self._lock:
            self._when_traced.pop(callback, None)

    def trace_begun(self) -> None:
        """A trace is begun, or continued, in code that this bus belongs to."""
        if self.traced:
            return
        with self._lock:
            self.traced, callbacks, self._when_traced = True, tuple(self._when_traced), {}
        for callback in callbacks:
            callback()

    def new_id(self, bits: int) -> str:
        """Draw an id: hexadecimal, and never all zeros."""
        if self._random is None:
            self._random = system_random()  # not before it is needed: most buses never trace
        return f"{self._random.getrandbits(bits) or 1:0{bits // 4}x}"

    def keeps(self, event: str) -> bool:
        """Ask the sampler about a trace that begins with ``event``. In doubt it is kept."""
        if self._sampler is None:
            return True
        try:
            return bool(self._sampler.keep(event))
        except Exception as error:  # noqa: BLE001  (whatever it is: a trace too many beats one that is missing)
            self._tracing_failed("the sampler", error)
            return True

    def begin_span(self, span: Span) -> TraceContext | None:
        """Tell the tracer of a span that was entered; the ids that it gave."""
        tracer = self._tracer
        if tracer is None:
            return None
        try:
            trace = tracer.begin(span)
        except Exception as error:  # noqa: BLE001  (it is the tracer's fault alone)
            self._tracing_failed("the tracer", error)
            return None
        span.tracer = tracer
        return trace

    def end_span(self, span: Span, duration: float, error: BaseException | None) -> None:
        """Tell the tracer of a span that was left: the one it began at, or of a failure that was not to be kept the present."""
        tracer, trace = span.tracer, span.trace
        if tracer is None and error is not None and trace is not None and not trace.sampled:
            tracer = self._tracer
        if tracer is None:
            return
        try:
            tracer.end(span, duration, error)
        except Exception as failure:  # noqa: BLE001  (it is the tracer's fault alone)
            self._tracing_failed("the tracer", failure)

    def _tracing_failed(self, who: str, error: BaseException) -> None:
        with self._lock:
            self._tracing_failures += 1
            first = self._tracing_failures == 1
        if first:
            _logger.error(
                "%s of a telemetry bus raised; spans go on, and further failures are only counted",
                who,
                exc_info=error,
            )

    def __repr__(self) -> str:
        strict = " strict" if self._strict else ""
        return f"<Bus{strict} {len(self._table.subscriptions)} subscriptions, {self._failures} failures>"

    def _replace(self, subscriptions: tuple[Subscription, ...]) -> None:
        self._table = _Table(subscriptions)
        self.listening = self._strict or bool(subscriptions)

    def _detach(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription.attached:
                subscription.attached = False
                self._replace(
                    tuple(other for other in self._table.subscriptions if other is not subscription)
                )

    def _failed(self, subscription: Subscription, event: str, error: BaseException) -> None:
        with self._lock:
            self._failures += 1
            subscription.failures += 1
            first = subscription.failures == 1
        if first:
            _logger.error(
                "telemetry handler %s raised on %r; it stays attached, and further failures of it are only counted",
                _name_of(subscription._handler),
                event,
                exc_info=error,
            )

    def _compare(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object]) -> None:
        found = tuple(problems_of(self._catalogue, event, measurements, metadata))
        if found:
            with self._lock:
                self.problems = (*self.problems, *found)[:_PROBLEMS]


def _name_of(handler: Handler) -> str:
    name = getattr(handler, "__qualname__", None)
    return f"{handler.__module__}.{name}" if name else repr(handler)
