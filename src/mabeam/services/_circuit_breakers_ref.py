"""The handle of a CircuitBreakers service: every method is one direct step, none passes through its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final, overload

from mabeam.errors import UsageError
from mabeam.kernel import is_seconds
from mabeam.services._addresses import reach
from mabeam.services._circuit_breakers_statistics import CircuitBreakersStatistics
from mabeam.services._circuit_settings import circuit_of, id_problems, settings_problems
from mabeam.services._circuits import Circuits
from mabeam.services._supervised_call import run_supervised

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from mabeam.kernel import Name, Pid
    from mabeam.resilience import CircuitBreaker, CircuitStatistics
    from mabeam.services._circuit_settings import CircuitChange, CircuitSettings

__all__ = ("CircuitBreakersRef",)

P = ParamSpec("P")
T = TypeVar("T")


@final
class CircuitBreakersRef:
    """The handle of a service, made by ``CircuitBreakers.at``.

    Nothing but :meth:`call` waits, and nothing passes through a process of the service. Callers are processes of the same
    Runtime; for threads, take the breaker with :meth:`circuit` and use that.

    Every method raises ``NoSuchProcess`` when the service does not run, and ``UsageError`` when the caller is no process or
    when something else is in its place. Those about one circuit raise ``CircuitNotFound`` when there is none with that id.
    """

    __slots__ = ("_address", "_is_supervised", "_timeout")

    def __init__(
        self, address: Pid | Name, *, is_supervised: bool = False, timeout: float | None = None
    ) -> None:
        """Made by ``CircuitBreakers.at`` only."""
        self._address = address
        self._is_supervised = is_supervised
        self._timeout = timeout

    def options(self, *, supervised: bool = False, timeout: float | None = None) -> CircuitBreakersRef:
        """The same handle, making its calls in another way: ``circuits.options(supervised=True).call("payments", pay, 5)``.

        Args:
            supervised: run the function in a task of its own, under the service's supervisor of tasks.
            timeout: with ``supervised``: after so many seconds the caller gets ``TimeLimitExceeded``, which counts as a failure,
                and the task is ended. ``None`` waits without limit.

        Raises:
            UsageError: these make no sense; lists all problems.
        """
        problems = []
        if not isinstance(supervised, bool):
            problems.append(f"supervised expects True or False, got {supervised!r}")
        if timeout is not None and not is_seconds(timeout):
            problems.append(f"timeout expects seconds >= 0, or None to wait without limit, got {timeout!r}")
        if timeout is not None and supervised is False:
            problems.append(
                "timeout expects supervised=True: a function that runs in the caller is limited by what is around it, "
                "circuits.call(id, TimeLimit(2.0).call, function)"
            )
        if problems:
            raise UsageError(f"options: {'; '.join(problems)}", problems=problems)
        return CircuitBreakersRef(self._address, is_supervised=supervised, timeout=timeout)

    # ------------------------------------------------------------------------------------------- calling

    @overload
    async def call(
        self, circuit_id: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def call(
        self, circuit_id: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def call(self, circuit_id: str, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a function if its circuit admits it.

        Guarantees:
            Unless ``supervised``, the function runs in the calling task, with no extra turn of the event loop, and a
            cancellation ends it. Supervised it runs in a process of its own: the result, or what it raised, comes straight
            to the caller; when the caller is cancelled or dies, the task is told to end, and killed 1 s later if it has not.
            A caller that is cancelled waits for that. The outcome is counted for the breaker that admitted the call: after
            the circuit was removed or replaced, nobody sees it any more. When the caller dies, its call says nothing about
            the service, and the place of a probe is free.

        Args:
            circuit_id: which circuit.
            function: an async function; or a plain one that is quick. What follows belongs to it.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            CircuitOpen: the circuit does not admit it; nothing was run.
            CircuitNotFound: there is no such circuit; nothing was run.
            RejectedError: supervised: there are ``max_tasks`` already, or the tasks are being restarted; nothing was run, and
                the circuit ignores it, whatever its classifier would say.
            TimeLimitExceeded: supervised: it took longer than ``timeout``.
            ProcessDied: supervised: somebody stopped or killed the task.
            BaseException: what the function raises.
        """
        circuits = self._circuits()
        breaker = circuits.find(circuit_id)
        if self._is_supervised:
            return await breaker.call(
                run_supervised, circuits, circuit_id, self._timeout, function, args, kwargs
            )
        return await breaker.call(function, *args, **kwargs)

    # ------------------------------------------------------------------------------------------- configuring

    def configure(self, circuit_id: str, /, **settings: Unpack[CircuitSettings]) -> CircuitChange:
        """Have a circuit with these settings.

        Guarantees:
            One with equal settings stays as it is, open if it is open: configuring again, as a restarted process does, is
            harmless. One with others is replaced by a new, closed one; calls that are under way end for the old one.

        Args:
            circuit_id: a non-empty string; also the name of the breaker in errors and events.
            **settings: those of ``CircuitBreaker``; without any, it opens at 5 failures in a row.

        Returns:
            ``created``, ``replaced`` or ``unchanged``.

        Raises:
            UsageError: lists all problems; nothing was changed.
            RejectedError: there are ``max_circuits`` already; nothing was changed.
        """
        circuits = self._circuits()
        problems = id_problems(circuit_id) + settings_problems(settings)
        if problems:
            raise UsageError(f"circuit {circuit_id!r}: {'; '.join(problems)}", problems=problems)
        return circuits.configure(circuit_id, circuit_of(settings))

    def remove(self, circuit_id: str, /) -> None:
        """Forget a circuit. Calls that are under way go on; their outcomes are counted nowhere."""
        self._circuits().remove(circuit_id)

    def isolate(self, circuit_id: str, /) -> None:
        """Admit nothing until :meth:`reset`; as :meth:`CircuitBreaker.isolate`."""
        self.circuit(circuit_id).isolate()

    def reset(self, circuit_id: str, /) -> None:
        """Close, and forget failures; as :meth:`CircuitBreaker.reset`."""
        self.circuit(circuit_id).reset()

    # ------------------------------------------------------------------------------------------- looking

    def circuit(self, circuit_id: str, /) -> CircuitBreaker:
        """The breaker of a circuit as it is now: for threads, decorators and pipelines.

        Guarantees:
            It stays what it is: when the circuit is replaced or removed later, this is the old one.
        """
        return self._circuits().find(circuit_id)

    def status(self, circuit_id: str, /) -> CircuitStatistics:
        """State and counts of a circuit; ``status(id).state`` is ``closed``, ``open``, ``half_open`` or ``isolated``."""
        return self.circuit(circuit_id).statistics()

    def statuses(self) -> dict[str, CircuitStatistics]:
        """State and counts of all circuits, by id, in the order in which they were first configured."""
        return {circuit_id: breaker.statistics() for circuit_id, breaker in self._circuits().table}

    def list(self) -> tuple[str, ...]:
        """The ids of all circuits, in the order in which they were first configured."""
        return self._circuits().table.ids()

    def statistics(self) -> CircuitBreakersStatistics:
        """The service in numbers."""
        circuits = self._circuits()
        states = [breaker.state for _, breaker in circuits.table]
        return CircuitBreakersStatistics(
            circuits=len(states),
            max_circuits=circuits.table.limit,
            closed=states.count("closed"),
            open=states.count("open"),
            half_open=states.count("half_open"),
            isolated=states.count("isolated"),
            tasks=circuits.running,
            max_tasks=circuits.max_tasks,
        )

    def address(self) -> Pid | Name:
        """The name or the pid that it was made for; so it can be linked, monitored and the like."""
        return self._address

    def _circuits(self) -> Circuits:
        return reach(self._address, "circuits", Circuits, "CircuitBreakers")[0]

    def __eq__(self, other: object) -> bool:
        """Equal when made for the same name or process, with the same options."""
        return isinstance(other, CircuitBreakersRef) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash by address and options."""
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self._address, self._is_supervised, self._timeout

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"<circuit breakers {self._address!r}{', supervised' if self._is_supervised else ''}>"
