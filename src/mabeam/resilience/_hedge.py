"""The hedge: a second attempt beside a slow first one; the first answer counts.

Attempts are asyncio tasks, which is what this file may start and others may not. They belong to the call: when it returns,
however it does, all of them have ended.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from mabeam.resilience._checks import at_least, refuse_problems, surroundings, whole
from mabeam.resilience._hedge_state import HedgeState
from mabeam.resilience._on import On, OnResult, on_of, problems_of_on
from mabeam.resilience._policy import PolicyBase, check_function, refuse_sync
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ("Hedge", "HedgeStatistics")

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeStatistics:
    """What a :class:`Hedge` has come to.

    Attributes:
        calls: calls that began.
        hedged: calls for which there was more than one attempt.
        won: of these, those in which a later attempt than the first answered.
    """

    calls: int
    hedged: int
    won: int


@final
class Hedge(PolicyBase):
    """Starts a further attempt when the ones before have not answered; the first answer counts.

    Guarantees:
        An attempt starts when ``delay`` seconds have passed since the last one was started, or at once when one has failed,
        until there were ``attempts``. The first success is returned, the other attempts are cancelled, and the call returns
        when they have ended; so none of them outlives it, in a cancellation either. If all fail, the last failure is raised
        (or returned, if it is a value). An exception that is not in ``on`` ends all of it at once. The function must bear
        being run twice at once.

    Args:
        delay: seconds before a further attempt; the time in which most calls answer. 0 starts all at once.
        attempts: how many there are at most, the first included.
        on: which exceptions are failures for which another attempt may make up: types, or a function that says so. All but
            :class:`UsageError` and :class:`DeadlineExceeded` unless given.
        on_result: which returned values are; a function that says so.
        name: how it is called in events.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        import asyncio
        from mabeam import Hedge

        answers = iter([10.0, 0.0])

        @Hedge(delay=0.01)
        async def ask() -> float:
            seconds = next(answers)
            await asyncio.sleep(seconds)
            return seconds

        assert asyncio.run(ask()) == 0.0
    """

    __slots__ = (
        "_bus",
        "_calls",
        "_hedged",
        "_is_failure",
        "_lock",
        "_on_result",
        "_won",
        "attempts",
        "delay",
    )

    def __init__(
        self,
        *,
        delay: float,
        attempts: int = 2,
        on: On | None = None,
        on_result: OnResult | None = None,
        name: str = "hedge",
        bus: Bus | None = None,
    ) -> None:
        super().__init__(name)
        refuse_problems("a hedge", (*_problems(delay, attempts, on, on_result), *surroundings(name, bus)))
        self.delay = delay
        self.attempts = attempts
        self._is_failure = on_of(on)
        self._on_result = on_result
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.Lock()
        self._calls = self._hedged = self._won = 0

    @property
    def async_only(self) -> bool:
        """Always: a plain function cannot be interrupted."""
        return True

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function, and again beside it if it is slow.

        Guarantees:
            As of the class. Each attempt runs in a task of its own, with a copy of the caller's context.

        Args:
            function: called with the rest, once for each attempt.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            The first success.

        Raises:
            UsageError: the function is not async; nothing was run.
            BaseException: the last failure, if all attempts failed; what is not a failure, at once.
        """
        check_function(self, function)
        loop = asyncio.get_running_loop()
        state = HedgeState(self.attempts)
        running: dict[asyncio.Future[T], int] = {}

        async def attempt() -> T:
            return await function(*args, **kwargs)

        def start(why: str) -> None:
            number = state.start()
            running[loop.create_task(attempt())] = number
            if number == 2:
                with self._lock:
                    self._hedged += 1
            if number > 1:
                self._emit("hedge.started", number, why=why)

        with self._lock:
            self._calls += 1
        start("first")
        try:
            while True:
                limit = self.delay if state.may_start else None
                done, _ = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    start("delay")
                    continue
                for task in sorted(done, key=running.__getitem__):
                    number = running.pop(task)
                    if self._is_success(task):
                        if number > 1:
                            self._tell_won(number)
                        return task.result()
                    if state.failed():
                        start("failure")
                    if state.is_lost:
                        return task.result()
        finally:
            await _end_all(running)

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Refuse: a plain function cannot be interrupted.

        Raises:
            UsageError: always.
        """
        refuse_sync(self, function)
        raise AssertionError  # for type checkers

    def statistics(self) -> HedgeStatistics:
        """Return counts, as of now."""
        with self._lock:
            return HedgeStatistics(calls=self._calls, hedged=self._hedged, won=self._won)

    def describe(self) -> str:
        """Return one line: delay and attempts."""
        return f"Hedge({self._name!r}, delay={self.delay:g} s, attempts={self.attempts})"

    def _is_success(self, task: asyncio.Future[T]) -> bool:
        """Whether the attempt succeeded; what is not a failure to make up for is raised."""
        if task.cancelled():
            task.result()  # the function cancelled itself: that is passed on
        error = task.exception()
        if error is None:
            return self._on_result is None or not self._on_result(task.result())
        if not isinstance(error, Exception):
            raise error
        try:
            is_failure = self._is_failure(error)
        except Exception as mistake:  # of the user's function; what it was asked about must be seen, too
            raise mistake from error
        if not is_failure:
            raise error
        return False

    def _tell_won(self, winner: int) -> None:
        with self._lock:
            self._won += 1
        self._emit("hedge.won", winner)

    def _emit(self, event: str, attempt: int, **metadata: str) -> None:
        bus = self._bus
        if bus is not None and bus.listening:
            bus.emit(event, {"attempt": attempt}, {"hedge": self._name, **metadata})


async def _end_all(running: dict[asyncio.Future[T], int]) -> None:
    """Cancel what still runs and wait for it, also while the caller is cancelled once more: nothing may be left behind."""
    cancelled: asyncio.CancelledError | None = None
    for task in running:
        task.cancel()
    while any(not task.done() for task in running):
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in running:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains that it was not
    if cancelled is not None:
        raise cancelled


def _problems(delay: object, attempts: object, on: object, on_result: object) -> Iterator[str]:
    yield from at_least("delay", delay, 0)
    for problem in whole("attempts", attempts, 2):
        yield f"{problem}; the first run is an attempt"
    yield from problems_of_on("on", on, on_result)
