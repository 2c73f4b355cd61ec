"""What events come to as metrics: which, in which unit, and split by what, with a bound on how often they are split.

A metric system keeps each set of label values for ever. So labels are only what the catalogue marks as such, and of those a
bounded number of sets is kept apart; whatever comes after that is counted under ``other``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mabeam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mabeam.telemetry import EventSpec

__all__ = ("OTHER", "Series", "SeriesStatistics", "amount_of", "check_limit", "distributions")

OTHER: Final = "other"
"""The value of all labels of what is not kept apart any more."""

_LONGEST: Final = 120


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStatistics:
    """What an adapter has kept apart.

    Attributes:
        series: sets of label values, over all events.
        merged: events that were counted under ``other`` because their set would have been one too many.
        unknown: events that no description was given for, and that no metric is made of.
    """

    series: int
    merged: int
    unknown: int


@final
class Series:
    """The sets of label values that are kept apart. From any thread."""

    __slots__ = ("_catalogue", "_known", "_limit", "_lock", "_merged", "_unknown")

    def __init__(self, catalogue: Mapping[str, EventSpec], limit: int) -> None:
        """At most ``limit`` sets for each event."""
        self._catalogue = catalogue
        self._limit = limit
        self._lock = threading.Lock()
        self._known: dict[str, set[tuple[str, ...]]] = {}
        self._merged = 0
        self._unknown = 0

    def spec_of(self, event: str) -> EventSpec | None:
        """The description of an event; ``None`` of one that no metric is made of."""
        spec = self._catalogue.get(event)
        if spec is None:
            with self._lock:
                self._unknown += 1
        return spec

    def labels_of(self, spec: EventSpec, metadata: Mapping[str, object]) -> tuple[str, ...]:
        """The values of its labels, in the order of ``spec.labels``."""
        if not spec.labels:
            return ()
        values = tuple(_text(metadata.get(name)) for name in spec.labels)
        with self._lock:
            known = self._known.setdefault(spec.name, set())
            if values in known:
                return values
            if len(known) < self._limit:
                known.add(values)
                return values
            self._merged += 1
            return (OTHER,) * len(values)

    def statistics(self) -> SeriesStatistics:
        """Counts, as of now."""
        with self._lock:
            return SeriesStatistics(
                series=sum(map(len, self._known.values())), merged=self._merged, unknown=self._unknown
            )


def _text(value: object) -> str:
    return "" if value is None else str(value)[:_LONGEST]


def amount_of(measurements: Mapping[str, float]) -> float:
    """How often it has happened with this event: its ``count``, or once."""
    return measurements.get("count", 1)


def distributions(spec: EventSpec) -> Iterator[tuple[str, str]]:
    """The measurements whose distribution is of interest, with their units; ``count`` is a sum."""
    return ((name, unit) for name, unit in spec.measurements.items() if name != "count")


def check_limit(by: str, limit: object) -> int:
    """Check how many sets of label values an adapter is to keep apart.

    Raises:
        UsageError: it is no such number.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise UsageError(
            f"{by} expects max_series, the sets of label values to keep apart for each event, as a number >= 1, got {limit!r}"
        )
    return limit
