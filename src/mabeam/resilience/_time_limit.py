"""The time limit: cancels an async function that takes too long."""

from __future__ import annotations

import threading
from asyncio import timeout as asyncio_timeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from mabeam.errors import TimeLimitExceeded
from mabeam.resilience._checks import above, refuse_problems, surroundings
from mabeam.resilience._policy import PolicyBase, check_function, refuse_sync
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("TimeLimit", "TimeLimitStatistics")

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimitStatistics:
    """What a :class:`TimeLimit` has come to.

    Attributes:
        exceeded: calls that ended with :class:`TimeLimitExceeded`.
    """

    exceeded: int


@final
class TimeLimit(PolicyBase):
    """Cancels an async function that takes longer than it may.

    Guarantees:
        The function runs in the caller's task and is cancelled there, at what it awaits; it may clean up, and the limit
        waits for that. A cancellation from outside is passed on as such, and a ``TimeoutError`` of the function's own as its
        own. A function that ends after all, because it does not let itself be cancelled, has its value passed on, and one
        that raises while it cleans up, its error.

    Args:
        seconds: how long it may take.
        name: how it is called in errors and events.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: ``seconds`` is not a number above 0.

    Example:
        import asyncio
        from mabeam import TimeLimit, TimeLimitExceeded

        @TimeLimit(0.01)
        async def answer() -> str:
            await asyncio.Event().wait()
            return "at last"

        async def main() -> float:
            try:
                await answer()
            except TimeLimitExceeded as late:
                return late.timeout
            return 0.0

        assert asyncio.run(main()) == 0.01
    """

    __slots__ = ("_bus", "_exceeded", "_lock", "seconds")

    def __init__(self, seconds: float, *, name: str = "time limit", bus: Bus | None = None) -> None:
        super().__init__(name)
        refuse_problems("a time limit", (*above("seconds", seconds, 0), *surroundings(name, bus)))
        self.seconds = seconds
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.Lock()
        self._exceeded = 0

    @property
    def async_only(self) -> bool:
        """Always: a plain function cannot be interrupted."""
        return True

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function, for so long at most.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            TimeLimitExceeded: it took too long and was cancelled.
            UsageError: the function is not async; nothing was run.
            BaseException: what the function raises.
        """
        check_function(self, function)
        is_own = False
        try:
            async with asyncio_timeout(self.seconds):
                try:
                    return await function(*args, **kwargs)
                except TimeoutError:
                    is_own = True
                    raise
        except TimeoutError as error:
            if is_own:
                raise
            with self._lock:
                self._exceeded += 1
            bus = self._bus
            if bus is not None and bus.listening:
                bus.emit("time_limit.exceeded", {"timeout": self.seconds}, {"limit": self._name})
            # Before Python 3.11.3 the cancellation is the context only.
            raise TimeLimitExceeded(self._name, self.seconds) from error.__cause__ or error.__context__

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Refuse: a plain function cannot be interrupted.

        Raises:
            UsageError: always.
        """
        refuse_sync(self, function)
        raise AssertionError  # for type checkers

    def statistics(self) -> TimeLimitStatistics:
        """Return counts, as of now."""
        return TimeLimitStatistics(exceeded=self._exceeded)

    def describe(self) -> str:
        """Return one line: name and seconds."""
        return f"TimeLimit({self._name!r}, {self.seconds:g} s)"
