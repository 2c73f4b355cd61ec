"""What is known about an event before it happens, and whether one that happened agrees."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("EventSpec", "problems_of")


@final
@dataclass(frozen=True, slots=True)
class EventSpec:
    """The description of one event.

    Attributes:
        name: what it is called: the subject, a dot, what happened to it (``process.exited``).
        description: when it is emitted, in one sentence.
        measurements: the numbers that come with it, and the unit of each.
        metadata: the names of what else comes with it.
    """

    name: str
    _: KW_ONLY
    description: str
    measurements: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    metadata: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A copy that cannot change: the catalogue is shared by all Runtimes of the interpreter.
        object.__setattr__(self, "measurements", MappingProxyType(dict(self.measurements)))


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
