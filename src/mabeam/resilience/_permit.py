"""The right to make one call: given by a circuit breaker, to be handed back with an outcome."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self, final

from mabeam.errors import UsageError
from mabeam.resilience._checks import one_of
from mabeam.resilience._circuit_state import FAILED, IGNORED, SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mabeam.resilience._circuit_core import CircuitCore
    from mabeam.resilience._circuit_rules import Outcome

__all__ = ("OUTCOMES", "Permit", "running_task")

OUTCOMES: dict[Outcome, int] = {"success": SUCCEEDED, "failure": FAILED, "ignore": IGNORED}


def running_task() -> asyncio.Future[Any] | None:
    """The asyncio task that asks, if it is one. Typed as the future that it is: nothing here starts tasks."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@final
class Permit:
    """What :meth:`CircuitBreaker.acquire` gives: report the outcome once, or use it as a context manager.

    As a context manager, sync or async, it reports at the end of the block what the block came to, by the classifier of its
    breaker; a block that ends without an error is a success, unless something was reported inside.

    Guarantees:
        The first report counts, others are counted as ``repeated`` and change nothing. A permit that nobody refers to any
        more, and that of a probe whose task has ended or whose thread has died, is given back as ``lost``: the place of the
        probe is free, and it says nothing about the service.
    """

    __slots__ = ("__weakref__", "_began", "_breaker", "_generation", "_is_open", "_task", "_thread_is_alive")

    def __init__(self, breaker: CircuitCore, generation: int, began: float) -> None:
        """Made by the breaker."""
        self._breaker = breaker
        self._generation = generation
        self._began = began
        self._is_open = True
        self._task: asyncio.Future[Any] | None = None
        self._thread_is_alive: Callable[[], bool] | None = None

    def report(self, outcome: Outcome) -> bool:
        """Say what came of the call.

        Args:
            outcome: ``success``, ``failure`` or ``ignore``.

        Returns:
            Whether it counted: not when it was reported before, nor when the breaker has changed its state since.

        Raises:
            UsageError: there is no such outcome.
        """
        if problems := tuple(one_of("report", outcome, tuple(OUTCOMES))):
            raise UsageError(problems[0] + ".", problems=problems)
        return self._end(OUTCOMES[outcome])

    def success(self) -> bool:
        """Report that the service works; as :meth:`report`."""
        return self._end(SUCCEEDED)

    def failure(self) -> bool:
        """Report that the service does not work; as :meth:`report`."""
        return self._end(FAILED)

    def ignore(self) -> bool:
        """Report that this call says nothing about the service; as :meth:`report`."""
        return self._end(IGNORED)

    @property
    def is_reported(self) -> bool:
        """Whether it has been handed back, by a report or for its holder."""
        return not self._is_open

    def watch_owner(self) -> None:
        """Have it given back when the task or thread that holds it ends; for probes, of which there are few."""
        task = running_task()
        if task is None:
            self._thread_is_alive = threading.current_thread().is_alive
        else:
            self._task = task
            task.add_done_callback(_OwnerEnded(self))

    def owner_is_gone(self) -> bool:
        """Whether nobody is left who could report it."""
        task, thread_is_alive = self._task, self._thread_is_alive
        if task is not None:
            return task.done() or task.get_loop().is_closed()
        return thread_is_alive is not None and not thread_is_alive()

    def lose(self) -> None:
        """Give it back for a holder that is gone."""
        # The flag is taken in one step, so that the end of the task and a report from a thread cannot both have it.
        if self._take():
            self._task = self._thread_is_alive = None  # who keeps the permit must not keep them
            self._breaker._lose(self._generation)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, GeneratorExit):
            self.drop()  # the coroutine around it is closed, perhaps by the garbage collector: as if it was dropped
        elif self._is_open:
            self._end(SUCCEEDED if error is None else self._breaker._outcome_of_error(error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __del__(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Have it given back as lost. Anything may be going on when this runs, also in the breaker itself: it takes no lock."""
        try:
            if self._is_open:
                self._is_open = False
                self._breaker._dropped.append(self._generation)
        except AttributeError:
            pass  # it was not made to the end

    def __repr__(self) -> str:
        return f"<Permit of {self._breaker.name!r}{' reported' if not self._is_open else ''}>"

    def _end(self, outcome: int) -> bool:
        if not self._take():
            self._breaker._repeat()
            return False
        task = self._task
        if task is not None:
            self._task = None
            if task is running_task():
                task.remove_done_callback(_OwnerEnded(self))
        return self._breaker._end(self._generation, self._began, outcome)

    def _take(self) -> bool:
        with self._breaker._lock:
            was_open, self._is_open = self._is_open, False
        return was_open


class _OwnerEnded:
    """What is called when the task that holds a permit has ended; equal for one permit, so that it can be removed."""

    __slots__ = ("_permit",)

    def __init__(self, permit: Permit) -> None:
        self._permit = weakref.ref(permit)

    def __call__(self, task: asyncio.Future[Any]) -> None:
        permit = self._permit()
        if permit is not None:
            permit.lose()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OwnerEnded) and self._permit is other._permit

    def __hash__(self) -> int:
        return hash(self._permit)
