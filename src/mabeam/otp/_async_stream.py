"""async_stream: a task for each item, a bounded number at a time, and what comes of them in order."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, TypeVar, final, get_args

from mabeam.errors import CallTimeout, RejectedError, UsageError
from mabeam.kernel import (
    DEAD,
    NoProcess,
    Turn,
    activate,
    check_choice_cycle,
    check_stream_cycle,
    current_process,
    died,
    here,
    is_seconds,
    label_of,
    short_name,
    waiting_for,
)
from mabeam.otp._read_in_block import ReadInBlock, wake
from mabeam.otp._stopping import stops_over
from mabeam.otp._stream_tasks import StreamTask, StreamTasks
from mabeam.otp._task_outcome import TaskOutcome
from mabeam.otp._task_ref import seconds_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from mabeam.kernel import Activation, Pid, Process
    from mabeam.otp._child_spec import ShutdownTime
    from mabeam.otp._task_pool import TaskPool

__all__ = ("AsyncStream", "OnTimeout")

R = TypeVar("R")

_NONE: Final[Any] = object()
OnTimeout: TypeAlias = Literal["kill_task", "exit"]
"""What follows when an item takes too long: its task is stopped and reported; or the reader gets ``CallTimeout``."""


@final
class AsyncStream(ReadInBlock[TaskOutcome[R]]):
    """A stream that is not open yet: ``async with TaskSupervisor.async_stream(...) as outcomes: async for outcome in outcomes``.

    Made by ``TaskSupervisor.async_stream`` and ``async_stream_nolink``, which say what it promises.
    """

    _item = "outcome"

    def __init__(
        self,
        open_pool: Callable[[], Awaitable[TaskPool]],
        function: Callable[[Any], object],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        link: bool,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "kill_task",
        shutdown: ShutdownTime = 5.0,
    ) -> None:
        """Check the options; nothing runs and no item is taken before the block is entered."""
        _check(items, max_concurrency, ordered, timeout, on_timeout, shutdown)
        self._what = f"{'async_stream' if link else 'async_stream_nolink'} of {label_of(function)}"
        self._open_pool = open_pool
        self._items = items
        self._limit = max_concurrency
        self._tasks = StreamTasks(function, link=link, timeout=timeout, shutdown=shutdown)
        self._tasks.on_end = self._task_ended
        if on_timeout == "exit":
            self._tasks.on_late = self._task_is_late
        self._line: deque[StreamTask] | None = deque() if ordered else None
        """When ordered: items that were not given out yet, in their order."""
        self._ready: deque[TaskOutcome[R]] = deque()
        """When not ordered: outcomes that were not given out yet."""
        self._ahead = 0
        """Items that were started and not given out: running, or unread."""
        self._source: Any = None
        self._next: Any = _NONE
        """The item that was taken and waits for room in the pool."""
        self._exhausted = False
        self._error: BaseException | None = None
        """What ended the items early; raised when all that was started has been given out."""
        self._overdue: CallTimeout | None = None
        self._reader: asyncio.Future[None] | None = None
        self._puller: Activation | None = None
        """Reads the items, when they come from an async iterable."""
        self._puller_waits: asyncio.Future[None] | None = None
        self._puller_ended: asyncio.Future[None] | None = None
        self._state: Literal["new", "open", "closed"] = "new"
        self._owner: Process
        self._pool: TaskPool

    # ------------------------------------------------------------------------------------------- the block

    async def __aenter__(self) -> AsyncIterator[TaskOutcome[R]]:
        """Begin, and return the outcomes; they are to be read in this block."""
        if self._state != "new":
            msg = "a stream can be entered once; make another one"
            raise UsageError(msg)
        self._owner = self._tasks.owner = owner = current_process()
        self._pool = self._tasks.pool = pool = await self._open_pool()
        if pool.limit == 0:
            msg = f"{pool.process.describe()} takes no tasks: max_children is 0"
            raise RejectedError(msg)
        if isinstance(self._items, AsyncIterable):
            self._source = aiter(self._items)
            self._puller_ended = owner.kernel.loop.create_future()
            self._puller = activate(owner, self._pull(), None, self._pull_over)
        else:
            self._source = iter(self._items)
        self._state = "open"
        for process in (owner, pool.process):
            if process.registrations is None:
                process.registrations = {}
            process.registrations[self] = None
        return _Outcomes(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop what still runs, and wait until it has ended."""
        stops, puller = self._close(), self._puller
        if puller is not None:
            puller.cancel()
        if self._owner.ending is not None and self._owner.ending.killed:
            self._tasks.kill()  # a kill leaves no time to wait in
            return
        try:
            await stops_over(stops)
            if puller is not None and self._puller_ended is not None:
                check_stream_cycle(here.get(None), puller)
                with waiting_for(
                    self._owner, f"to leave the items of {self._what}", stream=puller, is_reader=True
                ):
                    await self._puller_ended
        except BaseException:
            self._tasks.kill()  # whatever ends the wait must not leave anything running
            raise

    def _how(self) -> str:
        """As a function of the supervisor."""
        return f"TaskSupervisor.{self._what.partition(' ')[0]}(...)"

    def __repr__(self) -> str:
        """Show what runs and what waits to be read."""
        running = len(self._tasks.running)
        return f"<{self._what} {self._state}, {running} running, {self._ahead - running} unread>"

    def _close(self) -> dict[Process, asyncio.Future[None]]:
        """Begin to stop what still runs; returns what to wait for."""
        if self._state != "open":
            return {}
        self._state = "closed"
        for process in (self._owner, self._pool.process):
            if process.registrations is not None:
                process.registrations.pop(self, None)
        self._pool.stop_waiting(self)
        return self._tasks.stop()

    # ------------------------------------------------------------------------------------------- reading

    async def next_outcome(self) -> TaskOutcome[R]:
        """Give out the next outcome, and start as many tasks as there is room for."""
        if self._state != "open":
            msg = "the stream was closed when its block was left; read it inside the block"
            raise UsageError(msg)
        if self._owner.kernel.scheduler.must_yield():
            await Turn()
        waited = False
        while True:
            if self._overdue is not None:
                raise self._overdue
            outcome = self._take()
            self._fill()
            if waited:
                self._pool.stop_waiting(self)
            if outcome is not None:
                return outcome
            if self._ahead == 0 and (self._puller is None or self._pool.process.status & DEAD):
                self._raise_end()
            await self._wait()
            waited = True

    def _take(self) -> TaskOutcome[R] | None:
        line = self._line
        outcome: TaskOutcome[R] | None = None
        if line is None:
            outcome = self._ready.popleft() if self._ready else None
        elif line and line[0].process is None:
            outcome = line.popleft().outcome
        if outcome is not None:
            self._ahead -= 1
            wake(self._puller_waits)
        return outcome

    def _raise_end(self) -> None:
        """Everything that was started has been given out: end, unless more can be started later."""
        pool = self._pool.process
        if self._error is not None:
            raise self._error
        if self._exhausted:
            raise StopAsyncIteration
        if pool.status & DEAD:
            failure = died(pool, pool.reason or NoProcess(), "stream")
            raise failure from failure.__cause__

    async def _wait(self) -> None:
        """Wait until the next outcome is there, or there is room for a task."""
        if self._reader is not None:
            msg = "the stream is being read already; outcomes are given out to one reader"
            raise UsageError(msg)
        check_choice_cycle(here.get(None), self._kept_by)
        if self._puller is None and not self._exhausted and self._ahead < self._limit:
            self._pool.wait_for_room(self)
        self._reader = self._owner.kernel.loop.create_future()
        try:
            with self._waiting(self._kept_by):
                await self._reader
        except BaseException:
            self._pool.stop_waiting(self)
            raise
        finally:
            self._reader = None

    def _kept_by(self) -> Iterator[Process | Activation]:
        """One of these has to end, or to go on, before there is something for the reader."""
        if self._line:
            if self._line[0].process is not None:
                yield self._line[0].process
        elif self._puller is None and not self._exhausted and self._ahead < self._limit:
            yield from self._pool.tasks()  # for room among them
        else:
            yield from (task.process for task in self._tasks.running if task.process is not None)
            if self._puller is not None and self._ahead < self._limit:
                yield self._puller

    def _waiting(self, choices: Callable[[], Iterator[Process | Activation]]) -> AbstractContextManager[None]:
        """Say while the block runs that it waits for one of these, and name the first."""
        first = next(choices(), None)
        if first is not None and first is self._puller:
            what = f"to take the next item of {self._what}"
            return waiting_for(self._owner, what, stream=self._puller, choices=choices)
        process = first.process if first is not None else self._pool.process
        return waiting_for(process, f"to end, in {self._what}", choices=choices)

    # ------------------------------------------------------------------------------------------- starting

    def _fill(self) -> None:
        """Take items and start their tasks. Runs in the reader, as the code behind the items is its own."""
        if self._puller_ended is not None:
            return
        while not self._exhausted and self._ahead < self._limit:
            # Before room is looked for: a stream that has no more items does not wait for any.
            if self._next is _NONE:
                try:
                    self._next = next(self._source)
                except StopIteration:
                    self._exhausted = True
                    return
                except Exception as error:  # noqa: BLE001  (raised in its place: after what was started before it)
                    self._exhausted, self._error = True, error
                    return
            if not self._pool.takes_tasks:
                return
            item, self._next = self._next, _NONE
            self._start(item)

    async def _pull(self) -> None:
        """As :meth:`_fill` for an async iterable: beside the reader, who need not wait for an item to get an outcome."""
        pool, source = self._pool, self._source
        try:
            while True:
                while self._ahead >= self._limit:
                    await self._wait_to_pull()
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    self._exhausted = True
                    return
                while not pool.takes_tasks:
                    if pool.process.status & DEAD:
                        return
                    pool.wait_for_room(self)
                    try:
                        with self._waiting(pool.tasks):
                            await self._wait_to_pull()
                    except BaseException:
                        pool.stop_waiting(self)
                        raise
                self._start(item)
                pool.stop_waiting(self)
        finally:
            # One that was given as it is belongs to whoever made it; one that was made for this stream ends with it.
            if source is not self._items and hasattr(source, "aclose"):
                await source.aclose()

    async def _wait_to_pull(self) -> None:
        self._puller_waits = self._owner.kernel.loop.create_future()
        try:
            await self._puller_waits
        finally:
            self._puller_waits = None

    def _pull_over(self, _activation: Activation, _value: object, error: BaseException | None) -> None:
        self._puller = None
        if error is not None:
            self._exhausted, self._error = True, error
        wake(self._puller_ended)
        wake(self._reader)

    def _start(self, item: Any) -> None:
        task = self._tasks.start(item)
        self._ahead += 1
        if self._line is not None:
            self._line.append(task)

    # ------------------------------------------------------------------------------------------- what happens meanwhile

    def _task_ended(self, task: StreamTask) -> None:
        if self._line is not None:
            if self._line and self._line[0] is task:
                wake(self._reader)
        elif task.outcome is not None:
            self._ready.append(task.outcome)
            wake(self._reader)

    def _task_is_late(self, _task: StreamTask, process: Process) -> None:
        if self._overdue is None:
            self._overdue = CallTimeout(process.describe(), "async_stream", self._tasks.timeout or 0.0)
            wake(self._reader)

    def process_ended(self, pid: Pid) -> None:
        """The reader or the supervisor has ended."""
        if pid is self._owner.pid:
            self._close()
        else:
            self.wake()

    def wake(self) -> None:
        """There may be room for a task, or the supervisor has ended: look again."""
        wake(self._reader)
        wake(self._puller_waits)


@final
class _Outcomes(AsyncIterator[TaskOutcome[R]]):
    """The outcomes of an open stream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream[R]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskOutcome[R]:
        return await self._stream.next_outcome()


def _check(
    items: object,
    max_concurrency: object,
    ordered: object,
    timeout: object,
    on_timeout: object,
    shutdown: Any,
) -> None:
    """Find all that is wrong with the options.

    Raises:
        UsageError: lists all problems.
    """
    problems = []
    if not isinstance(items, Iterable | AsyncIterable):
        hint = ""
        if inspect.iscoroutine(items):
            hint = f": await it first, await {short_name(items)}(...)"
            items.close()
        elif callable(items):
            hint = f": was it to be called? {short_name(items)}(...)"
        problems.append(f"items expects an iterable or an async iterable, got {items!r}{hint}")
    if not isinstance(max_concurrency, int) or isinstance(max_concurrency, bool) or max_concurrency < 1:
        problems.append(f"max_concurrency expects a whole number >= 1, got {max_concurrency!r}")
    if not isinstance(ordered, bool):
        problems.append(f"ordered expects True or False, got {ordered!r}")
    if timeout is not None and (not is_seconds(timeout) or timeout == 0):
        problems.append(f"timeout expects seconds > 0, or None for no limit, got {timeout!r}")
    if on_timeout not in get_args(OnTimeout):
        problems.append(f"on_timeout expects one of {', '.join(get_args(OnTimeout))}, got {on_timeout!r}")
    try:
        seconds_of(shutdown)
    except UsageError as error:
        problems.extend(error.problems)
    if problems:
        raise UsageError(f"async_stream: {'; '.join(problems)}", problems=problems)
