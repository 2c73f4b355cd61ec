"""The bulkhead: so many at once, so many waiting, and no more."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop, get_running_loop
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, final

from mabeam.errors import BulkheadFull
from mabeam.resilience._bulkhead_state import BulkheadState
from mabeam.resilience._checks import at_least, refuse_problems, surroundings, whole
from mabeam.resilience._policy import PolicyBase, refuse_coroutine, settle
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

__all__ = ("Bulkhead", "BulkheadStatistics")

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadStatistics:
    """What a :class:`Bulkhead` has come to.

    Attributes:
        inside: calls that run now.
        waiting: calls that wait for a place.
        entered: calls that have got a place so far.
        rejected: calls that were turned away, at once or after waiting.
    """

    inside: int
    waiting: int
    entered: int
    rejected: int


class _TaskWaits:
    """A task that waits in its loop; woken from any thread."""

    __slots__ = ("_future", "_loop", "_thread", "given_back")

    def __init__(self) -> None:
        self.given_back = False
        self._loop = get_running_loop()
        self._future = self._loop.create_future()
        self._thread = threading.get_ident()

    def wake(self) -> bool:
        """Tell it that it has a place; ``False`` if its loop is closed, so that nobody will ever hear of it."""
        try:
            if self._thread == threading.get_ident():
                self._end(got=True)
            else:
                self._loop.call_soon_threadsafe(self._end_from_afar)
        except RuntimeError:
            return False
        return True

    async def wait(self, seconds: float | None) -> None:
        timer = None if seconds is None else self._loop.call_later(seconds, self._give_up)
        try:
            await self._future
        finally:
            if timer is not None:
                timer.cancel()

    def _end_from_afar(self) -> None:
        self._end(got=True)

    def _give_up(self) -> None:
        self._end(got=False)

    def _end(self, *, got: bool) -> None:
        if not self._future.done():
            self._future.set_result(got)


class _ThreadWaits:
    """A thread that waits."""

    __slots__ = ("_woken", "given_back")

    def __init__(self) -> None:
        self.given_back = False
        self._woken = threading.Event()

    def wake(self) -> bool:
        self._woken.set()
        return True

    def wait(self, seconds: float | None) -> None:
        self._woken.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))


@final
class Bulkhead(PolicyBase):
    """Lets so many calls run at once, so many more wait, and turns the rest away.

    Guarantees:
        Never more than ``max_concurrent`` inside, over all tasks, threads and event loops that use it. Waiters are served in
        the order in which they came, and nobody overtakes them. A waiter that is cancelled, or whose time is over, leaves
        the queue; had it been given a place at that very moment, the next one gets it. A place is left however the call
        ends, by a dropped coroutine as well. Without waiting there is no extra turn of the event loop. Plain code never waits
        in a thread whose event loop runs: there it is turned away.

    Args:
        max_concurrent: how many calls run at once.
        max_queue: how many more may wait; 0 turns away at once what cannot run at once.
        queue_seconds: how long one waits at most; ``None`` waits without limit.
        name: how it is called in errors and events.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        import asyncio
        from mabeam import Bulkhead, BulkheadFull

        database = Bulkhead(max_concurrent=1, max_queue=0, name="database")

        async def main() -> str:
            async with database:
                try:
                    async with database:
                        return "two at once"
                except BulkheadFull as full:
                    return full.reason

        assert asyncio.run(main()) == "queue_full"
    """

    __slots__ = ("_bus", "_lock", "_queue_seconds", "_state")

    def __init__(
        self,
        *,
        max_concurrent: int,
        max_queue: int = 0,
        queue_seconds: float | None = None,
        name: str = "bulkhead",
        bus: Bus | None = None,
    ) -> None:
        super().__init__(name)
        refuse_problems(
            "a bulkhead",
            (*_problems(max_concurrent, max_queue, queue_seconds), *surroundings(name, bus)),
        )
        self._queue_seconds = queue_seconds
        self._bus = current_bus.get() if bus is None else bus
        # Reentrant: the garbage collector may close a coroutine inside, and that leaves its place.
        self._lock = threading.RLock()
        self._state: BulkheadState[_TaskWaits | _ThreadWaits] = BulkheadState(max_concurrent, max_queue)

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function in a place, waiting for one if there is room to.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            BulkheadFull: no place and no room to wait, or it waited too long; nothing was run.
            BaseException: what the function raises.
        """
        lock = self._lock
        lock.acquire()
        try:
            inside = self._state.enter()
        finally:
            lock.release()
        if not inside:
            await self._wait()
        try:
            result: Any = function(*args, **kwargs)
            if type(result) is CoroutineType:
                return await result  # type: ignore[no-any-return]  # what the function gives
            return await settle(result)
        finally:
            self._leave()

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function in a place, stopping this thread until there is one if there is room to wait.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns.

        Raises:
            BulkheadFull: no place and no room to wait, or it waited too long; nothing was run.
            UsageError: the function returned a coroutine; it was closed before it began.
            BaseException: what the function raises.
        """
        with self:
            result = function(*args, **kwargs)
            if type(result) is CoroutineType:
                refuse_coroutine(self, function, result)
            return result

    async def __aenter__(self) -> Self:
        """Take a place, waiting for one if there is room to.

        Raises:
            BulkheadFull: no place and no room to wait, or it waited too long.
        """
        lock = self._lock
        lock.acquire()
        try:
            inside = self._state.enter()
        finally:
            lock.release()
        if not inside:
            await self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def __enter__(self) -> Self:
        """As ``async with``, in a thread: waiting stops it. Where its event loop runs it does not wait.

        Raises:
            BulkheadFull: no place and no room to wait, or it waited too long, or it would have stopped an event loop.
        """
        with self._lock:
            inside = self._state.enter()
        if not inside:
            self._wait_in_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def statistics(self) -> BulkheadStatistics:
        """Return counts, as of now."""
        with self._lock:
            state = self._state
            return BulkheadStatistics(
                inside=state.inside, waiting=state.waiting, entered=state.entered, rejected=state.rejected
            )

    def describe(self) -> str:
        """Return one line: limits."""
        state = self._state
        return (
            f"Bulkhead({self._name!r}, max_concurrent={state.places}, max_queue={state.max_queue}, "
            f"queue_seconds={self._queue_seconds})"
        )

    def __repr__(self) -> str:
        state = self._state
        return f"<Bulkhead {self._name!r} {state.inside} of {state.places} inside, {state.waiting} waiting, {state.rejected} rejected>"

    async def _wait(self) -> None:
        who = _TaskWaits()
        if self._queue(who):
            return
        try:
            await who.wait(self._queue_seconds)
        except BaseException:
            if not self._withdraw(who) and self._may_give_back(who):
                self._leave()  # the place came together with the cancellation: it is the next one's
            raise
        if self._withdraw(who):
            self._reject("queue_timeout")

    def _wait_in_thread(self) -> None:
        if _get_running_loop() is not None:
            self._reject("would_block_loop")
        who = _ThreadWaits()
        if self._queue(who):
            return
        try:
            who.wait(self._queue_seconds)
        except BaseException:  # a KeyboardInterrupt
            if not self._withdraw(who) and self._may_give_back(who):
                self._leave()
            raise
        if self._withdraw(who):
            self._reject("queue_timeout")

    def _queue(self, who: _TaskWaits | _ThreadWaits) -> bool:
        """Get in line; whether a place has come free meanwhile, and is taken."""
        with self._lock:
            inside = self._state.enter()
            queued = inside or self._state.queue(who)
            if queued and not inside and self._state.enter():
                # Between the two lines above the garbage collector closed a coroutine that was inside.
                self._state.withdraw(who)
                inside = True
        if not queued:
            self._reject("queue_full")
        return inside

    def _withdraw(self, who: _TaskWaits | _ThreadWaits) -> bool:
        with self._lock:
            return self._state.withdraw(who)

    def _may_give_back(self, who: _TaskWaits | _ThreadWaits) -> bool:
        """Whether this one is the first to give back the place of a waiter who does not use it.

        A waiter whose loop is closed is passed over, and his coroutine is closed later: only one of these may do it.
        """
        with self._lock:
            is_first, who.given_back = not who.given_back, True
        return is_first

    def _leave(self) -> None:
        lock = self._lock
        while True:
            lock.acquire()
            try:
                following = self._state.leave()
            finally:
                lock.release()
            if following is None or following.wake() or not self._may_give_back(following):
                return

    def _reject(self, reason: str) -> None:
        if reason != "queue_full":
            with self._lock:
                self._state.rejected += 1
        bus = self._bus
        if bus is not None and bus.listening:
            bus.emit("bulkhead.rejected", {"count": 1}, {"bulkhead": self._name, "why": reason})
        raise BulkheadFull(self._name, reason)


def _problems(max_concurrent: object, max_queue: object, queue_seconds: object) -> Iterator[str]:
    yield from whole("max_concurrent", max_concurrent, 1)
    yield from whole("max_queue", max_queue, 0)
    if queue_seconds is not None:
        yield from at_least("queue_seconds", queue_seconds, 0)
        if max_queue == 0:
            yield "queue_seconds expects max_queue > 0: with 0 nobody waits"
