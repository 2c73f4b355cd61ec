"""CircuitBreakers: many circuit breakers by id, as a supervised service that runs nobody's function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from mabeam.errors import UsageError
from mabeam.kernel import current_process
from mabeam.otp import ChildSpec, Supervisor, TaskSupervisor
from mabeam.services._addresses import checked_address
from mabeam.services._circuit_breakers_ref import CircuitBreakersRef
from mabeam.services._circuit_settings import CircuitSettings, circuit_of, id_problems, settings_problems
from mabeam.services._circuits import Circuits

if TYPE_CHECKING:
    from mabeam.kernel import Target
    from mabeam.otp import Ref

__all__ = ("CircuitBreakers",)


class _Tasks(TaskSupervisor):
    """The tasks of supervised calls; tells the service where to find it, again after each restart."""

    def __init__(self, circuits: Circuits, max_tasks: int) -> None:
        super().__init__(max_children=max_tasks)
        circuits.pool = current_process()


@final
class CircuitBreakers(Supervisor, shared=True):
    """Many circuit breakers by id: configured, called, looked at and reset through a handle made by :meth:`at`.

    The process holds the table and supervises the tasks of supervised calls. It takes no messages from callers: the handle
    looks into the table directly, and functions run in the caller, or in a task of their own.

    Guarantees:
        No function of a user, classifiers included, runs in a process of the service, and nobody waits for one: neither
        calls of other circuits nor looking at any of them notices a function that hangs. At most ``max_circuits`` circuits
        and ``max_tasks`` supervised calls at once. Any number of instances; the child id follows the name.

        When the tasks crash, circuits keep state and counts. When the service itself is restarted, the circuits of
        ``circuits`` are there again, closed and with counts of 0, and those that were configured later are gone.

    Example:
        from mabeam import CircuitBreakers, CircuitOpen, Supervisor

        CIRCUITS = CircuitBreakers.at("circuits")  # leads to whichever service has that name when it is used

        async def pay(amount: int) -> str:
            raise ConnectionError("no route to the bank")

        async def main() -> str:
            service = CircuitBreakers.child_spec(circuits={"payments": {"consecutive_failures": 1}})
            await Supervisor.start_link([service.named("circuits")], strategy="one_for_one")
            try:
                await CIRCUITS.call("payments", pay, 5)
            except ConnectionError:
                pass
            try:
                await CIRCUITS.call("payments", pay, 5)
            except CircuitOpen as refused:
                return f"{refused.breaker} is {refused.state}"
            return "paid"

        assert mabeam.run(main) == "payments is open"
    """

    def __init__(
        self,
        *,
        circuits: Mapping[str, CircuitSettings] | None = None,
        max_circuits: int = 1_000,
        max_tasks: int = 100,
    ) -> None:
        """Check everything; nothing has started if anything is wrong.

        Args:
            circuits: settings of circuits that are there from the start, and again after each restart.
            max_circuits: most circuits at once.
            max_tasks: most supervised calls at once, of all circuits together.

        Raises:
            UsageError: lists all problems, of all circuits.
        """
        problems = _problems_of(circuits, max_circuits, max_tasks)
        if problems:
            raise UsageError(f"CircuitBreakers: {'; '.join(problems)}", problems=problems)
        self.circuits = Circuits(current_process(), max_circuits=max_circuits, max_tasks=max_tasks)
        for circuit_id, settings in (circuits or {}).items():
            self.circuits.configure(circuit_id, circuit_of(settings))
        super().__init__(
            [ChildSpec.of_server(_Tasks, (self.circuits, max_tasks), {}).options(id="tasks")],
            strategy="one_for_one",
        )

    @classmethod
    def child_spec(  # type: ignore[override]  # its arguments are those of the service
        cls,
        *,
        circuits: Mapping[str, CircuitSettings] | None = None,
        max_circuits: int = 1_000,
        max_tasks: int = 100,
    ) -> ChildSpec[CircuitBreakers]:
        """How a supervisor starts it: ``CircuitBreakers.child_spec().named("circuits")``.

        Args:
            circuits: as of the class.
            max_circuits: as of the class.
            max_tasks: as of the class.

        Raises:
            UsageError: lists all problems, of all circuits.
        """
        problems = _problems_of(circuits, max_circuits, max_tasks)
        if problems:
            raise UsageError(f"CircuitBreakers: {'; '.join(problems)}", problems=problems)
        # A copy: what the caller does with its mapping later must not change what a restart begins with.
        copied = {circuit_id: dict(settings) for circuit_id, settings in (circuits or {}).items()}
        return ChildSpec.of_server(
            cls, (), {"circuits": copied, "max_circuits": max_circuits, "max_tasks": max_tasks}
        )

    @classmethod
    async def start_link(  # type: ignore[override]  # its arguments are those of the service
        cls,
        *,
        circuits: Mapping[str, CircuitSettings] | None = None,
        max_circuits: int = 1_000,
        max_tasks: int = 100,
    ) -> Ref[CircuitBreakers]:
        """Start one linked to the calling process, and wait until it is up.

        Args:
            circuits: as of the class.
            max_circuits: as of the class.
            max_tasks: as of the class.

        Raises:
            UsageError: lists all problems, of all circuits; nothing has started.
        """
        spec = cls.child_spec(circuits=circuits, max_circuits=max_circuits, max_tasks=max_tasks)
        return await spec.start_link()

    @staticmethod
    def at(service: Target, /) -> CircuitBreakersRef:
        """The handle of a service. It may be made before the service runs, and outside of any Runtime.

        Guarantees:
            Made for a name, it leads to whichever service has that name in the Runtime of the code that uses it, at each
            use anew: across restarts, and in several Runtimes at once.

        Args:
            service: its name; or its pid, or the reference that ``start_link`` returned.

        Raises:
            UsageError: it is nothing that leads to a process.
        """
        return CircuitBreakersRef(checked_address("CircuitBreakers", service))

    def __repr__(self) -> str:
        """Show what it holds."""
        return f"<CircuitBreakers, {len(self.circuits.table)} of {self.circuits.table.limit} circuits>"


def _problems_of(circuits: Any, max_circuits: Any, max_tasks: Any) -> list[str]:
    found: list[str] = []
    for name, value in (("max_circuits", max_circuits), ("max_tasks", max_tasks)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            found.append(f"{name} expects a whole number >= 1, got {value!r}")
    if circuits is None:
        return found
    if not isinstance(circuits, Mapping):
        found.append(f"circuits expects a mapping from ids to settings, got {circuits!r}")
        return found
    for circuit_id, settings in circuits.items():
        found += id_problems(circuit_id)
        found += [f"circuit {circuit_id!r}: {problem}" for problem in settings_problems(settings)]
    if not found and len(circuits) > max_circuits:
        found.append(f"circuits has {len(circuits)} of them, and max_circuits allows {max_circuits}")
    return found
