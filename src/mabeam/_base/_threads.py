"""Bounded, owned threads for functions that block, answering to one event loop.

``ThreadPoolExecutor`` will not do: it cannot be closed while a function hangs (the interpreter then waits for it at exit),
it does not say which functions hang, and its queue keeps work that nobody waits for. Here all bookkeeping happens in
the loop's thread; a worker thread only takes a job from its own inbox, runs it, and posts the outcome. So there is no
lock, and no race between a caller that gives up and a worker that begins.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, final

from mabeam._base._outside import leaving, let_out, returned, start_thread
from mabeam.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ("BoundedThreads", "ThreadsStatistics")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadsStatistics:
    """What a :class:`BoundedThreads` is doing.

    Attributes:
        limit: most threads at once.
        threads: threads that exist.
        idle: threads that wait for work.
        running: functions that run now, the abandoned ones included.
        abandoned: functions that run although their caller no longer waits; a hung one stays here.
        waiting: functions that wait for a thread.
        finished: functions that returned or raised, since the start.
        dropped: of those, the ones whose outcome nobody waited for.
        closed: whether :meth:`BoundedThreads.close` was called.
    """

    limit: int
    threads: int
    idle: int
    running: int
    abandoned: int
    waiting: int
    finished: int
    dropped: int
    closed: bool


class _Job:
    """One function on its way through a thread; ``worker`` is set while it runs."""

    __slots__ = ("abandoned", "args", "context", "error", "function", "future", "over", "result", "worker")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context,
        future: asyncio.Future[Any],
    ) -> None:
        self.function = function
        self.args = args
        self.context = context
        self.future = future
        self.worker: _Worker | None = None
        self.over: Callable[[], None] | None = None
        """To be called when it does not hold up others any more; set while it runs."""
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.context.run(self.function, *self.args)
        except BaseException as error:  # noqa: BLE001  (SystemExit too: it is the caller's; the thread must live on)
            self.error = error

    def settle(self) -> bool:
        """Give the outcome to whoever waits; false when nobody does."""
        future, result, error = self.future, self.result, self.error
        # The error's traceback leads to the frame of `run`, and that to this job: it must not lead on to the error again, in a
        # cycle that only the garbage collector would end.
        del self.future, self.result, self.error
        if future.done():
            return False
        if error is None:
            future.set_result(result)
            return True
        if isinstance(error, StopIteration):
            # A future refuses it, since it would end the awaiting coroutine as if that had returned (PEP 479).
            replacement = RuntimeError(f"{self.function!r} raised StopIteration in its thread")
            replacement.__cause__ = error
            error = replacement
        future.set_exception(error)
        # Marks it as seen: one that nobody reads is a caller that is gone, not something to be logged at some later time.
        future.exception()
        return True


class _Worker:
    """One thread and its inbox, from which it takes jobs until it gets ``None``."""

    __slots__ = ("_posted", "inbox", "loop", "thread")

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop, posted: Callable[[_Worker, _Job], None]
    ) -> None:
        self.inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self.loop = loop
        self._posted = posted
        self.thread = start_thread(name, self._work)

    def _work(self) -> None:
        while (job := self.inbox.get()) is not None:
            job.run()
            try:
                self.loop.call_soon_threadsafe(self._posted, self, job)
            except RuntimeError:
                return  # the loop is closed: nobody can be told, and no more work can come
            del job  # a waiting thread must not keep the last arguments and result alive


@final
class BoundedThreads:
    """At most ``limit`` threads that run blocking functions for one event loop.

    Guarantees:
        Order: functions start in the order they were submitted. Threads are started when needed, up to the limit, and
        reused until :meth:`close`.
        Cancellation: a caller that is cancelled while it waits for a thread leaves the queue, and its function never
        starts. One whose function runs stops waiting; the function goes on, keeps its thread until it returns, and its
        outcome is dropped without a word. A function that hangs is therefore seen in :meth:`statistics` as abandoned.
        Virtual time: stands still from submission until the caller has its answer or has given up.
        All methods belong to the loop's thread.

    Args:
        limit: most threads at once; at least 1.
        loop: the loop that is answered; the running one unless given.
        name: what the threads are called in reports, followed by a number.

    Raises:
        UsageError: ``limit`` is below 1.

    Example:
        >>> async def main() -> int:
        ...     threads = BoundedThreads(4, name="sums")
        ...     try:
        ...         return await threads.run(sum, range(10))
        ...     finally:
        ...         threads.close()
        >>> asyncio.run(main())
        45
    """

    def __init__(
        self, limit: int, *, loop: asyncio.AbstractEventLoop | None = None, name: str = "mabeam"
    ) -> None:
        if limit < 1:
            raise UsageError(
                f"BoundedThreads expects a limit of at least 1, got {limit!r}: with no thread nothing could ever run."
            )
        self._limit = limit
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._name = name
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        # Ordered, not a deque: a caller that gives up must leave at once, also from the middle.
        self._waiting: OrderedDict[_Job, None] = OrderedDict()
        self._running: dict[object, _Job] = {}
        """Jobs that threads are at and somebody waits for, by their future."""
        self._abandoned = 0
        self._finished = 0
        self._dropped = 0
        self._closed = False

    async def run(
        self,
        function: Callable[[*Arguments], T],
        /,
        *args: *Arguments,
        context: Context | None = None,
    ) -> T:
        """Run a blocking function in a thread and wait for it.

        Guarantees:
            As :meth:`submit`.

        Args:
            function: what to run; use ``functools.partial`` for keyword arguments.
            *args: its arguments.
            context: the context it runs in; a copy of the current one unless given.

        Returns:
            What the function returned.

        Raises:
            Exception: whatever the function raised, ``SystemExit`` included; ``StopIteration`` arrives as the cause of
                a ``RuntimeError``.
            RejectedError: closed before the function could start.
        """
        return await self.submit(function, *args, context=context)

    def submit(
        self,
        function: Callable[[*Arguments], T],
        /,
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Future[T]:
        """Hand a blocking function to the next free thread.

        Guarantees:
            Never blocks. Cancelling the future gives the function up, as the class describes. An outcome that nobody
            reads from the future is dropped.

        Args:
            function: what to run; use ``functools.partial`` for keyword arguments.
            *args: its arguments.
            context: the context it runs in; a copy of the current one unless given. It must not be entered elsewhere.

        Returns:
            The future of its outcome.

        Raises:
            RejectedError: the threads are closed.
        """
        if self._closed:
            raise RejectedError(f"{self!r} is closed and runs nothing any more: {function!r} was not run.")
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(function, args, contextvars.copy_context() if context is None else context, future)
        self._waiting[job] = None
        self._assign()
        leaving(self._loop)
        future.add_done_callback(lambda _: self._answered(job))
        return future

    def close(self) -> None:
        """End the threads: the idle ones now, the busy ones when their functions return.

        Guarantees:
            Nothing new starts: functions still waiting for a thread are refused with ``RejectedError``. Callers whose
            functions run get their answers. When this returns, no idle thread is left; one that hangs stays (as a
            daemon). May be called again.
        """
        if self._closed:
            return
        self._closed = True
        waiting, self._waiting = self._waiting, OrderedDict()
        for job in waiting:
            if not job.future.done() and not self._loop.is_closed():
                job.error = RejectedError(
                    f"{self!r} was closed before {job.function!r} could start: it was not run."
                )
                job.settle()
        for worker in self._workers:
            worker.inbox.put(None)
        idle, self._idle = self._idle, []
        for worker in idle:
            self._join(worker)

    def thread_of(self, future: object) -> int | None:
        """Which thread, by its identifier, runs the function whose outcome ``future`` will hold."""
        job = self._running.get(future)
        return job.worker.thread.ident if job is not None and job.worker is not None else None

    def is_queued(self, future: object) -> bool:
        """Whether a function waits for a free thread whose outcome ``future`` will hold."""
        return any(job.future is future for job in tuple(self._waiting))

    def oldest(self) -> int | None:
        """The thread, by its identifier, whose function somebody has waited for the longest; ``None`` when there is none."""
        job = next(iter(self._running.values()), None)
        return job.worker.thread.ident if job is not None and job.worker is not None else None

    def statistics(self) -> ThreadsStatistics:
        """Return counts, as of now."""
        return ThreadsStatistics(
            limit=self._limit,
            threads=len(self._workers),
            idle=len(self._idle),
            running=len(self._workers) - len(self._idle),
            abandoned=self._abandoned,
            waiting=len(self._waiting),
            finished=self._finished,
            dropped=self._dropped,
            closed=self._closed,
        )

    def __repr__(self) -> str:
        running = len(self._workers) - len(self._idle)
        state = "closed, " if self._closed else ""
        abandoned = f" ({self._abandoned} abandoned)" if self._abandoned else ""
        waiting = len(self._waiting)
        return f"<BoundedThreads {self._name!r} {state}{running}/{self._limit} running{abandoned}, {waiting} waiting>"

    def _assign(self) -> None:
        """Give waiting jobs to threads, as long as there are both."""
        while self._waiting and (self._idle or len(self._workers) < self._limit):
            job, _ = self._waiting.popitem(last=False)
            if job.future.done():
                continue  # cancelled in this very turn: _answered has not been called yet
            if self._idle:
                worker = self._idle.pop()
            else:
                try:
                    worker = _Worker(f"{self._name}-{len(self._workers) + 1}", self._loop, self._posted)
                except RuntimeError as error:  # the operating system refuses another thread
                    if self._workers:  # the ones there are will do it, later
                        self._waiting[job] = None
                        self._waiting.move_to_end(job, last=False)
                        return
                    job.error = error
                    job.settle()
                    continue
                self._workers.append(worker)
            job.worker = worker
            self._running[job.future] = job
            job.over = let_out(self._loop, partial(worker.inbox.put, job), worker.thread.ident)

    def _posted(self, worker: _Worker, job: _Job) -> None:
        """Take the outcome of a job from its worker, and see to the next one."""
        self._finished += 1
        self._running.pop(job.future, None)
        job.worker = None
        _let_others_go_on(job)
        if job.abandoned:
            self._abandoned -= 1
        if not job.settle():
            self._dropped += 1
        if self._closed:
            self._join(worker)
        else:
            self._idle.append(worker)
            self._assign()

    def _answered(self, job: _Job) -> None:
        """The caller has its answer, or has given up."""
        returned(self._loop)
        self._waiting.pop(job, None)
        if job.worker is not None:
            job.abandoned = True
            self._running.pop(job.future, None)
            self._abandoned += 1
            _let_others_go_on(job)

    def _join(self, worker: _Worker) -> None:
        # Its inbox holds None and it runs nothing, so this takes microseconds, and the thread is really gone afterwards.
        worker.thread.join()
        self._workers.remove(worker)


def _let_others_go_on(job: _Job) -> None:
    if job.over is not None:
        job.over()
        job.over = None
