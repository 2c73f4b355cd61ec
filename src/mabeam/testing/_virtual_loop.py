"""An asyncio event loop whose clock jumps.

Nothing waits for the wall clock: when no callback is ready, the time is set to the next timer. What a test sees is exact
(a sleep of 5 s ends at 5.0) and the same in each run, and hours pass in a millisecond.

What cannot be jumped over is the world outside. Three cases, decided so that results do not depend on the machine's speed
wherever that is possible:

* A thread or OS process is at work for the loop (counted by ``mabeam._base.leaving``, executors and asyncio's
  subprocesses included): the clock stands still until it answers. However slow the disk is, no timeout fires for it. A
  thread that waits for this very loop, through a portal, is not at work meanwhile.
* A socket or pipe is registered: whether its other end will ever say something cannot be known, a listening server's
  least of all. So time passes as on a real loop while there is one.
* Neither, and no timer: the program is stuck for good, which is :class:`DeadlockError` instead of a hang.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
from collections import deque
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from mabeam._base import leaving, returned
from mabeam._base import outside as outside_of
from mabeam.errors import UsageError
from mabeam.testing._deadlock import DeadlockError
from mabeam.testing._describe import describe_task, live_tasks, only_drives, said_by
from mabeam.testing._endless import HINT_STEPS, EndlessError
from mabeam.testing._working_threads import Out, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor
    from contextvars import Context
    from typing import Protocol, TypeAlias

    class _HasFileno(Protocol):
        def fileno(self) -> int: ...

    _FileObject: TypeAlias = int | _HasFileno
    _Ready: TypeAlias = tuple[selectors.SelectorKey, int]

__all__ = ("VirtualLoop", "moment_of")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_LONGEST_WAIT = (
    3600.0  # seconds; epoll cannot take arbitrarily long ones, and nobody is hurt by looking again
)


class _Moment(float):
    """The time of a timer, which also knows when the timer was set.

    asyncio keeps timers in a heap that compares their times only, so equal ones come out in any order.
    """

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Moment) and float(self) == float(other):
            return self.order < other.order
        return float(self) < float(other)


def moment_of(time: float, order: int) -> float:
    """The time of a timer, and its place among those of the same time."""
    moment = _Moment(time)
    moment.order = order
    return moment


class _Selector(selectors.BaseSelector):
    """The real selector, except that what to do when nothing has happened is asked of the loop."""

    def __init__(
        self,
        real: selectors.BaseSelector,
        look: Callable[[], list[_Ready]],
        wait: Callable[[], list[_Ready]],
        turn: Callable[[], None],
    ) -> None:
        self.real = real
        self._look = look
        self._wait = wait
        self._turn = turn

    def select(self, timeout: float | None = None) -> list[_Ready]:
        events = self._look()
        if not events and (timeout is None or timeout > 0):
            events = self._wait()
        self._turn()
        return events

    def register(self, fileobj: _FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.register(fileobj, events, data)

    def unregister(self, fileobj: _FileObject) -> selectors.SelectorKey:
        return self.real.unregister(fileobj)

    def modify(self, fileobj: _FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.modify(fileobj, events, data)

    def get_key(self, fileobj: _FileObject) -> selectors.SelectorKey:
        return self.real.get_key(fileobj)

    def get_map(self) -> Mapping[_FileObject, selectors.SelectorKey]:
        return self.real.get_map() or {}

    def close(self) -> None:
        self.real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time, to be used wherever asyncio takes a ``loop_factory``.

    Guarantees:
        :meth:`time` moves only when no callback is ready, never backwards, and exactly to the time of the next timer.
        Timers run in the order of their times; equal ones in the order they were set. While a thread or OS process works
        for the loop the clock stands still; while a socket or pipe is registered it moves as the real one does.
        A program that can never go on ends with :class:`DeadlockError` out of ``run_until_complete``; the loop can be
        closed as usual afterwards.

    Args:
        start: what :meth:`time` says at first.
        max_steps: most turns of the loop, in each of which runs what is ready; a program that needs more ends with
            :class:`EndlessError`, and has as many again to be ended in. No limit unless given.

    Attributes:
        describe_blocked: functions that a :class:`DeadlockError` asks for further descriptions of who waits for what.

    Example:
        >>> async def main() -> float:
        ...     await asyncio.sleep(7200)
        ...     return asyncio.get_running_loop().time()
        >>> with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ...     runner.run(main())
        7200.0
    """

    # Kept by asyncio, and unknown to type checkers.
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float
    _check_callback: Callable[[object, str], None]

    def __init__(self, *, start: float = 0.0, max_steps: float = math.inf) -> None:
        self._now = start
        self._max_steps = max_steps
        self._steps = 0
        self._allowed = start  # until then time passes though somebody outside may be at work
        self._outside = 0
        self._asking = 0  # of them, those that wait for this loop
        self._threads: dict[
            int | None, Out
        ] = {}  # of them, the threads that have begun, by their identifiers
        self._order = count()
        self._idle_waiters: deque[asyncio.Future[None]] = deque()
        self.describe_blocked: list[Callable[[], Iterable[str]]] = []
        real = selectors.DefaultSelector()
        self._virtual_selector = _Selector(real, self._look, self._wait, self._turn)
        super().__init__(self._virtual_selector)
        self._own_descriptors = len(self._virtual_selector.get_map())
        self._set_time(start)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def virtual_stopwatch(self) -> float:
        """Return the virtual time: ``mabeam._base.stopwatch_of`` finds this and measures durations with it."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, also while a thread or OS process is at work outside.

        A plain ``asyncio.sleep`` waits until whoever is outside has answered. This does not, and so can show what happens
        to those who wait for a function that hangs.

        Guarantees:
            Each timer due on the way runs at its own time. Everything that then can run has run when this returns.
            On cancellation time has passed no further than it has.

        Args:
            seconds: how far; 0 only lets run what can.

        Raises:
            UsageError: ``seconds`` is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise UsageError(
                f"advance expects a number of seconds from 0, got {seconds!r}: time does not go backwards."
            )
        until = self._now + seconds
        allowed_before, self._allowed = self._allowed, max(self._allowed, until)
        reached = self.create_future()
        timer = self.call_at(until, lambda: None if reached.done() else reached.set_result(None))
        try:
            await reached
            await self.wait_until_idle()
        finally:
            timer.cancel()
            if self._allowed == until:
                self._allowed = allowed_before

    async def wait_until_idle(self) -> None:
        """Wait until nothing can run unless time passes or somebody outside answers.

        Guarantees:
            No time passes. Several waiters are served in order, each at a moment of its own.
            A program that never rests (one callback always scheduling the next) keeps this waiting.
        """
        idle = self.create_future()
        self._idle_waiters.append(idle)
        await idle

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Say that the block waits for something that this loop cannot see, such as a thread that others started.

        Yields:
            Nothing. Virtual time stands still inside the block.
        """
        with outside_of(self):
            yield

    def outside_left(self) -> None:
        """Count something that left the loop and will answer (see ``mabeam._base.leaving``)."""
        self._outside += 1

    def outside_returned(self) -> None:
        """Count the answer, or that nobody waits for it any more.

        Raises:
            UsageError: nothing was outside.
        """
        if self._outside == 0:
            raise UsageError(
                "something returned to the loop that never left it: call returned() once for each leaving()."
            )
        self._outside -= 1

    def let_out(self, start: Callable[[], None], thread: int | None) -> Callable[[], None]:
        """Have a thread begin, and know it when it asks (see ``mabeam._base.let_out``)."""
        self._threads[thread] = out = Out(start)
        self._let_out(out)

        def over() -> None:
            if self._threads.get(thread) is out:
                del self._threads[thread]
            self._let_in(out)

        return over

    def thread_asks(self, thread: int) -> Callable[[Callable[[], None]], None]:
        """Let time pass while a thread that is out waits for this loop (see ``mabeam._base.thread_asks``)."""
        out = self._threads.get(thread)
        if out is None or out.over:
            return _answer
        if not out.asks:
            out.asks = True
            self._asking += 1

        def answer(give: Callable[[], None]) -> None:
            def go_on() -> None:
                self._asks_no_more(out)
                give()

            if out.over:
                give()
            else:
                out.start = go_on
                self._let_out(out)

        return answer

    def _let_out(self, out: Out) -> None:
        """Have a thread begin or go on."""
        out.start()

    def _let_in(self, out: Out) -> None:
        """Nobody waits for a thread any more."""
        out.over = True
        out.start = _nothing  # what it holds would be kept as long as somebody has this
        self._asks_no_more(out)

    def _asks_no_more(self, out: Out) -> None:
        if out.asks:
            out.asks = False
            self._asking -= 1

    # ------------------------------------------------------------------------------- asyncio's side

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, as asyncio does; equal times run in the order of these calls."""
        return super().call_at(moment_of(when, next(self._order)), callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        """Run a function in an executor, as asyncio does; it counts as outside until the future is done."""
        if self.get_debug():
            self._check_callback(func, "run_in_executor")  # asyncio would look at what stands for it
        out = Out(_nothing)  # the executor lets it begin
        future = super().run_in_executor(executor, Work(func, out, self._threads), *args)

        def done(_future: object) -> None:
            returned(self)
            self._let_in(out)

        leaving(self)
        future.add_done_callback(done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the default executor's threads, as asyncio does; the thread that waits counts as outside."""
        with outside_of(self):
            if sys.version_info >= (3, 12):
                await super().shutdown_default_executor(timeout)
            else:
                await super().shutdown_default_executor()

    async def subprocess_exec(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """Start an OS process, as asyncio does; it counts as outside until its end is known."""
        return await super().subprocess_exec(self._counting(protocol_factory), *args, **options)

    async def subprocess_shell(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """Start a shell, as asyncio does; it counts as outside until its end is known."""
        return await super().subprocess_shell(self._counting(protocol_factory), *args, **options)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed() else "running" if self.is_running() else "stopped"
        return f"<VirtualLoop {state} at {self._now:g} s, {self._outside} outside>"

    # ----------------------------------------------------------------------------------- the clock

    def _look(self) -> list[_Ready]:
        """See what has come from outside, without waiting."""
        return self._virtual_selector.real.select(0)

    def _turn(self) -> None:
        """What is ready runs next, and the timers that are due."""
        self._steps += 1
        if self._steps > self._max_steps:
            self._steps = 0
            raise EndlessError(f"{self._max_steps:,} steps", self._now, HINT_STEPS)

    def _wait(self) -> list[_Ready]:
        """Do what is to be done when nothing is ready: the heart of this class."""
        if self._wake_idle():
            return []
        due = self._next_timer()
        if due is None or due > self._allowed:
            if self._outside > self._asking:
                return self._wait_for_outside()
            if len(self._virtual_selector.get_map()) > self._own_descriptors:
                return self._wait_for_real(due)
            if due is None:
                raise DeadlockError(self._now, self._describe_blocked())
        self._set_time(due)
        return []

    def _wait_for_outside(self) -> list[_Ready]:
        """Wait for those who work for the loop, however long they take."""
        return self._virtual_selector.real.select(None)

    def _wait_for_real(self, due: float | None) -> list[_Ready]:
        real = self._virtual_selector.real
        if due is None:
            return real.select(None)
        longest = min(due - self._now, _LONGEST_WAIT)
        began = super().time()
        events = real.select(longest)
        # Without events the whole wait is over, whatever the real clock says: selectors round to milliseconds.
        passed = super().time() - began if events else longest
        self._set_time(due if passed >= due - self._now else self._now + passed)
        return events

    def _wake_idle(self) -> bool:
        while self._idle_waiters:
            waiter = self._idle_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False

    def _next_timer(self) -> float | None:
        # asyncio has just removed cancelled timers from the head. Infinity is an idiom for "for ever", not a time to jump to.
        due = self._scheduled[0].when() if self._scheduled else math.inf
        return None if due == math.inf else float(due)

    def _set_time(self, time: float) -> None:
        self._now = time
        # asyncio runs the timers before time() + resolution. Its nanosecond is too coarse for exact order at small times,
        # and lost in rounding at large ones, where the loop would then spin for ever: one step of the float is right at both.
        self._clock_resolution = math.ulp(self._now)

    def _describe_blocked(self) -> Iterator[str]:
        drivers = []
        told = False
        for task in live_tasks(self):
            if only_drives(task):
                drivers.append(task)  # whose process says below where its own code waits
            else:
                told = True
                yield describe_task(task)
        for describe in self.describe_blocked:
            try:
                for text in describe():
                    told = True
                    yield text
            except Exception as error:  # noqa: BLE001  (the deadlock is the news, not this)
                yield f"(and {said_by(repr, describe)} could not say: {said_by(repr, error)})"
        if not told:
            yield from map(describe_task, drivers)

    def _counting(self, protocol_factory: Callable[[], Any]) -> Callable[[], Any]:
        """Make protocols whose OS process counts as outside from its start to its end.

        Its pipes may be closed long before it ends, and then nothing registered with the selector tells of it (asyncio
        waits in a thread of its own where there are no pidfds).
        """

        def make() -> Any:
            protocol = protocol_factory()
            connection_made, process_exited = protocol.connection_made, protocol.process_exited

            def counted_start(transport: asyncio.BaseTransport) -> None:
                leaving(self)
                connection_made(transport)

            def counted_end() -> None:
                returned(self)
                process_exited()

            protocol.connection_made, protocol.process_exited = counted_start, counted_end
            return protocol

        return make


def _answer(give: Callable[[], None]) -> None:
    give()


def _nothing() -> None:
    pass
