"""The circuits of one service, by id: a bounded table. Pure: no clock, no process, nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mabeam.services._circuit_settings import CircuitChange

__all__ = ("CircuitTable",)

S = TypeVar("S")
B = TypeVar("B")


@final
class CircuitTable(Generic[S, B]):
    """Breakers and the settings that they were made with, in the order in which their ids were first configured.

    Attributes:
        limit: most circuits at once.
    """

    __slots__ = ("_entries", "limit")

    def __init__(self, limit: int) -> None:
        """An empty table."""
        self.limit = limit
        self._entries: dict[str, tuple[S, B]] = {}

    def configure(self, circuit_id: str, settings: S, make: Callable[[], B]) -> CircuitChange | None:
        """Have a circuit with these settings; ``None`` when it would be one too many.

        One that has equal settings already stays as it is, whatever its state: to configure again, as a restarted process
        does, must not close what is open.
        """
        there = self._entries.get(circuit_id)
        if there is None and len(self._entries) >= self.limit:
            return None
        if there is not None and there[0] == settings:
            return "unchanged"
        self._entries[circuit_id] = (settings, make())
        return "created" if there is None else "replaced"

    def remove(self, circuit_id: str) -> B | None:
        """Forget a circuit; what it was, or ``None`` when there is none."""
        entry = self._entries.pop(circuit_id, None)
        return None if entry is None else entry[1]

    def get(self, circuit_id: str) -> B | None:
        """The breaker of a circuit."""
        entry = self._entries.get(circuit_id)
        return None if entry is None else entry[1]

    def ids(self) -> tuple[str, ...]:
        """The ids, in order."""
        return tuple(self._entries)

    def __iter__(self) -> Iterator[tuple[str, B]]:
        """Ids and breakers, in order."""
        for circuit_id, (_, breaker) in self._entries.items():
            yield circuit_id, breaker

    def __len__(self) -> int:
        """How many circuits there are."""
        return len(self._entries)
