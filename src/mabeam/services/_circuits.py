"""The circuits of one running service: the table, where its tasks run, and what is told about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mabeam.errors import CircuitNotFound, RejectedError
from mabeam.services._addresses import similar_ids
from mabeam.services._circuit_table_state import CircuitTable

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.resilience import CircuitBreaker
    from mabeam.services._circuit_settings import Circuit, CircuitChange

__all__ = ("Circuits",)


@final
class Circuits:
    """What handles look into. It belongs to the service's supervisor, so a crash below that loses nothing of it.

    Attributes:
        process: the service.
        table: the circuits. To be changed by the methods below only.
        pool: the process that supervises the tasks; a dead one while it is being restarted.
        max_tasks: how many tasks that takes.
        running: supervised calls that run.
    """

    __slots__ = ("max_tasks", "pool", "process", "running", "table")

    def __init__(self, process: Process, *, max_circuits: int, max_tasks: int) -> None:
        """No circuits yet."""
        self.process = process
        self.table: CircuitTable[Circuit, CircuitBreaker] = CircuitTable(max_circuits)
        self.pool: Process | None = None
        self.max_tasks = max_tasks
        self.running = 0

    def find(self, circuit_id: str) -> CircuitBreaker:
        """The breaker of a circuit.

        Raises:
            CircuitNotFound: there is none.
        """
        breaker = self.table.get(circuit_id)
        if breaker is None:
            raise self._not_found(circuit_id)
        return breaker

    def configure(self, circuit_id: str, circuit: Circuit) -> CircuitChange:
        """Have a circuit with these settings.

        Raises:
            RejectedError: there are ``max_circuits`` already.
        """
        bus = self.process.kernel.bus
        change = self.table.configure(circuit_id, circuit, lambda: circuit.make(circuit_id, bus))
        if change is None:
            msg = (
                f"{self.process.describe()} has {self.table.limit} circuits, and max_circuits allows no more: {circuit_id!r} was "
                "not configured. Remove those that are not used any more, or start the service with a higher limit."
            )
            raise RejectedError(msg)
        if bus.listening:
            metadata = {"service": self.process.pid.serial, "breaker": circuit_id, "change": change}
            bus.emit("circuit_breakers.configured", {"circuits": len(self.table)}, metadata)
        return change

    def remove(self, circuit_id: str) -> None:
        """Forget a circuit.

        Raises:
            CircuitNotFound: there is none.
        """
        if self.table.remove(circuit_id) is None:
            raise self._not_found(circuit_id)
        bus = self.process.kernel.bus
        if bus.listening:
            metadata = {"service": self.process.pid.serial, "breaker": circuit_id}
            bus.emit("circuit_breakers.removed", {"circuits": len(self.table)}, metadata)

    def _not_found(self, circuit_id: str) -> CircuitNotFound:
        similar = similar_ids(circuit_id, self.table.ids())
        return CircuitNotFound(self.process.describe(), circuit_id, similar)
