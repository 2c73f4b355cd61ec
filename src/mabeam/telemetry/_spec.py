"""What is known about an event before it happens, and whether one that happened agrees."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final, get_args

from mabeam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("UNITS", "EventSpec", "Unit", "problems_of")

Unit: TypeAlias = Literal["seconds", "bytes", "count"]
"""What a measurement is in. There are no milliseconds or kilobytes: whoever shows them divides."""

UNITS: Final[tuple[str, ...]] = get_args(Unit)


@final
@dataclass(frozen=True, slots=True)
class EventSpec:
    """The description of one event.

    Attributes:
        name: what it is called: the subject, a dot, what happened to it (``process.exited``).
        description: when it is emitted, in one sentence.
        measurements: the numbers that come with it, and the unit of each: ``seconds``, ``bytes`` or ``count``. ``count``
            stands for whatever is counted; what happens once with each event is a count of 1.
        metadata: the names of what else comes with it.
        labels: those of ``metadata`` that take few values, which are known from the code or named by what the program
            configures: what metrics may be split by. Pids, keys, names that users choose, reasons with a text in them are none.
        failure: it tells of something that went wrong, and is kept however few events are.

    Raises:
        UsageError: a unit is none of the three, or a label is not in ``metadata``; all problems at once.
    """

    name: str
    _: KW_ONLY
    description: str
    measurements: Mapping[str, Unit] = field(default_factory=lambda: MappingProxyType({}))
    metadata: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    failure: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"measurement {name!r} is in {unit!r}; a unit is one of {', '.join(UNITS)}"
            for name, unit in self.measurements.items()
            if unit not in UNITS
        ]
        problems += [
            f"label {name!r} is not in metadata" for name in self.labels if name not in self.metadata
        ]
        if problems:
            raise UsageError(f"EventSpec {self.name!r}: {'; '.join(problems)}")
        # A copy that cannot change: the catalogue is shared by all Runtimes of the interpreter.
        object.__setattr__(self, "measurements", MappingProxyType(dict(self.measurements)))

    @classmethod
    def of_span(
        cls, name: str, /, *, description: str, metadata: tuple[str, ...] = (), labels: tuple[str, ...] = ()
    ) -> dict[str, EventSpec]:
        """Describe the three events of a span, for metrics and strict buses: ``{**CATALOGUE, **EventSpec.of_span(...)}``.

        Args:
            name: what :func:`~mabeam.telemetry.span` is given.
            description: what its block does, in one sentence.
            metadata: the names of what comes with its events.
            labels: those of them that metrics may be split by.

        Returns:
            The descriptions by name: ``start``, ``stop`` and ``exception``.

        Example:
            >>> list(EventSpec.of_span("order", description="An order is taken."))
            ['order.start', 'order.stop', 'order.exception']
        """
        ends = (
            cls(f"{name}.start", description=f"{description} Begin.", metadata=metadata, labels=labels),
            cls(
                f"{name}.stop",
                description=f"{description} End.",
                measurements={"duration": "seconds"},
                metadata=metadata,
                labels=labels,
            ),
            cls(
                f"{name}.exception",
                description=f"{description} End by an exception.",
                measurements={"duration": "seconds"},
                metadata=(*metadata, "error"),
                labels=labels,
                failure=True,
            ),
        )
        return {spec.name: spec for spec in ends}


def problems_of(
    catalogue: Mapping[str, EventSpec],
    event: str,
    measurements: Mapping[str, float],
    metadata: Mapping[str, object],
) -> Iterator[str]:
    """Compare an event that was emitted with its description.

    Args:
        catalogue: the descriptions, by name.
        event: the name that was emitted.
        measurements: the numbers that came with it.
        metadata: what else came with it.

    Yields:
        One sentence for each difference.
    """
    spec = catalogue.get(event)
    if spec is None:
        yield f"event {event!r} is not in the catalogue"
        return
    for kind, got, expected in (
        ("measurement", measurements, tuple(spec.measurements)),
        ("metadata", metadata, spec.metadata),
    ):
        for name in got:
            if name not in expected:
                yield f"event {event!r} came with {kind} {name!r}, which is not in the catalogue (it has {expected})"
        for name in expected:
            if name not in got:
                yield f"event {event!r} came without {kind} {name!r}, which the catalogue promises"
    for name, value in measurements.items():
        # bool is an int to Python, but True is not a quantity of anything.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"event {event!r} measures {name!r} as {value!r}, which is not a number"
    for name in spec.labels:
        label = metadata.get(name)
        # A label that is an object would make a metric of its own of each.
        if label is not None and not isinstance(label, (str, bool)):
            yield f"event {event!r} came with label {name!r} as {label!r}; a label is a string"
