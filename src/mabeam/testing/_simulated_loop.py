"""The event loop of a simulated run: virtual time, and every order that is free is chosen.

What is free on an event loop: which of several timers that are due at the same time fires first, whether what comes of it is over
before the next one fires, in which order sets have tasks, and when those outside (threads) begin and answer. What is not: callbacks
that are ready run in the order in which they became so; asyncio promises it.

Threads really run, since a function may block; but one at a time, and the loop hears of what they do only when it has nothing
else to do. So the machine's speed makes no difference.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import heapq
import math
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, TypeVarTuple, final

from mabeam._base import outside as outside_of
from mabeam._base import start_thread
from mabeam.kernel import here
from mabeam.testing._endless import HINT_SECONDS, HINT_STEPS, HINT_THREAD, EndlessError
from mabeam.testing._ordered_tasks import OrderedFuture, OrderedTask
from mabeam.testing._simulated_scheduler import SimulatedScheduler
from mabeam.testing._trace import name_callback
from mabeam.testing._virtual_loop import VirtualLoop, moment_of
from mabeam.testing._working_threads import Out, Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from contextvars import Context

    from mabeam.kernel import Process, Runtime
    from mabeam.testing._simulation import Simulation

__all__ = ("SimulatedLoop",)

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_PATIENCE: Final = 30.0
"""Real seconds that a thread may take until it is given up: it might wait for another, which has no turn meanwhile."""
_SAME_TIME: Final = 1e-9
"""Seconds that timers may be apart that are due at the same time: what the clocks of real loops can tell apart."""
_MOST_TURNS_TO_SETTLE: Final = 100
"""Turns of the loop that timers of a tie wait for those before them: what these lead to may ask again and again for what they do."""
_STEPS_TO_END: Final = 1_000_000
"""So many steps, or more if the program had more, are left to end what is there when the program has been given up."""


@final
class SimulatedLoop(VirtualLoop):
    """A virtual loop whose free choices a simulation makes.

    Guarantees:
        Equal choices give equal runs, as far as the program itself makes no difference: tasks and futures in sets are in the same
        order each time, and threads answer in a chosen order. Programs that look at the real time, draw from the operating
        system's randomness or talk to sockets can differ.
        Every Runtime on it that was given no chooser of its own is simulated.

    Args:
        simulation: makes the choices.
        max_steps: most turns of the loop and events of the trace.
        max_seconds: how far virtual time may go, in seconds.
    """

    # Kept by asyncio, and unknown to type checkers.
    _ready: deque[asyncio.Handle]
    _check_closed: Callable[[], None]
    _check_default_executor: Callable[[], None]
    _write_to_self: Callable[[], None]
    _default_executor: Executor | None
    _executor_shutdown_called: bool

    def __init__(
        self, simulation: Simulation, *, max_steps: float = float("inf"), max_seconds: float = float("inf")
    ) -> None:
        self.shared_service_waits: Callable[[Process, Process, str], None] | None = None
        """Told when a shared service waits for another process; the kernel finds it here."""
        self._simulation = simulation
        self._max_seconds = max_seconds
        self._numbers = count(1)
        """Of tasks and futures: their places in sets."""
        self._has_task_order = False
        self._letters: deque[asyncio.Handle] = deque()
        """What threads have handed in."""
        self._out: Out | None = None
        """The thread that is at work."""
        self._waiting_out: list[Out] = []
        self._is_starting_out = False
        self._held: deque[asyncio.Handle] = deque()
        """Timers that are due, and wait until what others of the same time lead to has happened."""
        self._turns_held = 0
        self._is_ending = False
        self._has_lost_thread = False
        super().__init__(max_steps=max_steps)
        simulation.begins_on(self)
        self.set_task_factory(self._make_task)

    def runtime_opened(self, runtime: Runtime) -> None:
        """Take part in a Runtime that begins on this loop."""
        kernel, simulation = runtime.kernel, self._simulation
        kernel.make_task = self._make_driver_task
        if kernel.scheduler.chooser is not None:
            return
        if simulation.watches:
            kernel.scheduler = SimulatedScheduler(self, self.virtual_stopwatch, simulation)
            kernel.on_create = simulation.created
            kernel.on_exit = simulation.ended
        else:
            kernel.scheduler.chooser = simulation

    # ------------------------------------------------------------------------------- threads

    def thread_asks(self, thread: int) -> Callable[[Callable[[], None]], None]:
        """Let others have their turn while the thread that is at work waits for this loop."""
        answer = super().thread_asks(thread)
        if self._out is not None and self._out.asks:
            self._out = None
        return answer

    def _let_out(self, out: Out) -> None:
        self._waiting_out.append(out)  # until it is its turn

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run something soon, as asyncio does; what other threads hand in waits until nothing else is ready."""
        if threading.get_ident() == getattr(self, "_thread_id", None) and not self._is_starting_out:
            return super().call_soon_threadsafe(callback, *args, context=context)
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._letters.append(handle)
        self._write_to_self()
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        """Run a function in an executor when it is its turn.

        Not by way of the parent, which submits at once: the future that is waited for is there before the function is submitted.
        """
        self._check_closed()
        future: asyncio.Future[T] = self.create_future()
        # Stands for the real one until that is there: ``done`` refers to it, by which ``why`` knows what the future waits for.
        job: concurrent.futures.Future[T] = concurrent.futures.Future()

        def start() -> None:
            nonlocal job
            # A function that is over before this is tells it here, in this thread: to be heard like one that takes longer.
            self._is_starting_out = True
            try:
                work = Work(func, out, self._threads)
                job = (self._own_executor() if executor is None else executor).submit(work, *args)
                job.add_done_callback(partial(self._hand_in, _copy_outcome, future))
            except BaseException as error:  # noqa: BLE001  (it is for whoever waits for the function)
                _settle(future, error)
            finally:
                self._is_starting_out = False

        def done(_future: object) -> None:
            self.outside_returned()
            self._let_in(out)
            job.cancel()

        out = Out(start)
        self.outside_left()
        self._let_out(out)
        future.add_done_callback(done)
        return future

    def _own_executor(self) -> Executor:
        """The executor that asyncio makes when it is first needed."""
        self._check_default_executor()
        if self._default_executor is None:
            # As asyncio makes it; the loop ends its threads.
            self._default_executor = concurrent.futures.ThreadPoolExecutor(  # noqa: TID251  (asyncio makes it so)
                thread_name_prefix="asyncio"
            )
        return self._default_executor

    def _hand_in(self, callback: Callable[..., object], *args: Any) -> None:
        """As ``call_soon_threadsafe``; but a thread that was given up may come back when the loop is closed."""
        with suppress(RuntimeError):
            self.call_soon_threadsafe(callback, *args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the default executor's threads, but not for one that was given up, and for none longer than for any thread.

        asyncio waits in a thread that it joins: behind a function that hangs, for ever.
        """
        self._is_ending = self._executor_shutdown_called = True
        executor, self._default_executor = self._default_executor, None
        if executor is None or self._has_lost_thread:
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
            return
        ended = self.create_future()

        def wait() -> None:
            executor.shutdown()
            self._hand_in(_settle, ended)

        with outside_of(self):
            thread = start_thread("mabeam-executor-shutdown", wait)
            await ended
        thread.join()

    def _let_in(self, out: Out) -> None:
        if out.over:
            return
        super()._let_in(out)
        if self._out is out:
            self._out = None
        elif out in self._waiting_out:
            # Nobody waits for it any more: as if it had begun, or gone on, just before that.
            self._waiting_out.remove(out)
            out.start()

    # ------------------------------------------------------------------------------- the order of timers

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, as asyncio does; of equal times any may be first."""
        simulation = self._simulation
        if not simulation.watches:
            return super().call_at(when, callback, *args, context=context)
        owner = here.get(None) if context is None else context.get(here)
        when += simulation.timer_set(callback, owner)
        return super().call_at(when, self._fire, callback, args, context=context)

    def _fire(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._simulation.timer_fires(callback)
        callback(*args)

    def _order_ties(self) -> None:
        """Choose the order of the timers that are due now at the same time, and which of them fire in this turn."""
        heap = self._scheduled
        if len(heap) < 2 or heap[0].when() >= self.time() + self._clock_resolution:
            return
        tied: list[Any] = [handle for handle in _equal_heads(heap) if not handle.cancelled()]
        if len(tied) < 2:
            return
        tied.sort()
        orders = sorted(handle.when().order for handle in tied)  # times of ours have one
        latest = float(tied[-1].when())
        ordered = []
        for order in orders:
            if len(tied) > 1:
                index = self._simulation.choose("timer_tie", len(tied))
                handle = tied.pop(index)
                self._simulation.note_choice(
                    index, len(tied) + 1, f"timer_tie: {self._in_words(handle)} is first"
                )
            else:
                handle = tied.pop()
            handle._when = moment_of(latest, order)
            ordered.append(handle)
        self._set_time(max(latest, self.time()))
        self._hold(ordered[len(ordered) - self._how_many_wait(len(ordered)) :])
        heapq.heapify(heap)

    def _how_many_wait(self, count: int) -> int:
        """Choose how many of the timers that are due fire only when all that the others lead to has happened."""
        if count < 2:
            return 0
        waiting = self._simulation.choose("settle", count)
        text = (
            f"the last {waiting} of {count} timers wait for what the others lead to"
            if waiting
            else "no timer waits"
        )
        self._simulation.note_choice(waiting, count, f"settle: {text}")
        return waiting

    def _hold(self, handles: list[Any]) -> None:
        if not handles:
            return
        if not self._held:
            self._turns_held = 0
        self._held += handles
        for handle in handles:
            handle._scheduled = False  # as asyncio says of a timer that has left its heap
        heap: list[Any] = self._scheduled
        heap[:] = [handle for handle in heap if handle._scheduled]

    def _fire_held(self) -> None:
        """Have timers fire that wait: one at least, if not all are cancelled."""
        held = self._held
        while held and held[0].cancelled():
            held.popleft()
        for _ in range(len(held) - self._how_many_wait(len(held))):
            self._ready.append(held.popleft())
        self._turns_held = 0

    def _in_words(self, handle: Any) -> str:
        # The context of a handle is kept by asyncio; timers of ours go through _fire, and have their callback for an argument.
        owner = handle._context.get(here) if handle._context is not None else None
        whose = f" of {self._simulation.name(owner.process)}" if owner is not None else ""
        return name_callback(handle._args[0] if handle._args else handle._callback) + whose

    # ------------------------------------------------------------------------------- turns

    def _look(self) -> list[Any]:
        # Asking the operating system is most of a turn's time. It has something to say only if others than we are registered.
        if len(self._virtual_selector.get_map()) > self._own_descriptors or self._outside:
            return super()._look()
        return []

    def _turn(self) -> None:
        simulation = self._simulation
        simulation.steps += 1
        if simulation.steps > self._max_steps:
            self._give_up(f"{self._max_steps:,} steps", HINT_STEPS)
        if self.time() > self._max_seconds:
            self._give_up(f"{self._max_seconds:g} virtual seconds", HINT_SECONDS)
        if self._held:
            self._turns_held += 1
            if self._turns_held > _MOST_TURNS_TO_SETTLE:
                self._fire_held()
        self._order_ties()

    def _give_up(self, limit: str, hint: str) -> NoReturn:
        # Whoever closes the loop now lets it run once more, to end what is on it; and once more not for ever.
        self._max_steps = self._simulation.steps + max(self._max_steps, _STEPS_TO_END)
        self._max_seconds = float("inf")
        self._is_ending = True
        raise EndlessError(limit, self.time(), hint)

    def _wait(self) -> list[Any]:
        if self._held:
            self._fire_held()
            if self._ready:
                return []
        if self._out is None and self._waiting_out:
            waiting = self._waiting_out
            index = self._simulation.choose("thread", len(waiting)) if len(waiting) > 1 else 0
            self._out = out = waiting.pop(index)
            self._simulation.note_choice(index, len(waiting) + 1, "thread: it begins or goes on")
            out.start()
            if self._ready:
                return []  # it could not begin
        if self._wake_idle():
            return []
        if self._letters:
            self._ready.append(self._letters.popleft())
            return []
        due = self._next_timer()
        if self._out is not None and (due is None or due > self._allowed):
            return self._wait_for_outside()
        return super()._wait()

    def _wait_for_outside(self) -> list[Any]:
        if self._out is None and not self._is_ending:
            return super()._wait_for_outside()  # an OS process, or a thread that the program says it knows
        events = self._virtual_selector.real.select(_PATIENCE)
        if not events:
            self._has_lost_thread = True
            self._allowed = float("inf")  # what ends the rest has its times, too
            self._give_up(f"{_PATIENCE:g} real seconds", HINT_THREAD)
        return events

    # ------------------------------------------------------------------------------- tasks and futures

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future with a place of its own in sets."""
        return OrderedFuture(next(self._numbers), self)

    def _make_driver_task(self, coro: Any, **options: Any) -> asyncio.Future[Any]:
        return OrderedTask(next(self._numbers), coro, options.pop("loop"), options)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Future[Any]:
        # What is made while the loop stands still is for whoever runs it: a program without tasks has nothing to choose.
        if not self._has_task_order and self.is_running():
            self._choose_task_order()
        return OrderedTask(next(self._numbers), coro, loop, options)

    def _choose_task_order(self) -> None:
        self._has_task_order = True
        index = self._simulation.choose("task_order", 2)
        if index:
            self._numbers = count(-next(self._numbers), -1)
        how = "the other way round" if index else "as they were made"
        self._simulation.note_choice(index, 2, f"task_order: sets have tasks {how}")


def _equal_heads(heap: list[asyncio.TimerHandle]) -> list[asyncio.TimerHandle]:
    """The timers of a heap that are as early as the first: they hang together at its top.

    As early, but for what is lost in adding floats: 0.1 s and then 0.2 s end with 0.3 s.
    """
    first, found, pending = float(heap[0].when()), [], [0]
    until = first + max(_SAME_TIME, 2 * math.ulp(first))
    while pending:
        index = pending.pop()
        if index < len(heap) and float(heap[index].when()) <= until:
            found.append(heap[index])
            pending += (2 * index + 1, 2 * index + 2)
    return found


def _copy_outcome(future: asyncio.Future[Any], job: concurrent.futures.Future[Any]) -> None:
    if job.cancelled():
        future.cancel()
    elif (error := job.exception()) is not None:
        _settle(future, error)
    else:
        _settle(future, result=job.result())


def _settle(future: asyncio.Future[Any], error: BaseException | None = None, result: Any = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
