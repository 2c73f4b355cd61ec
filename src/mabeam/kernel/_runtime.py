"""The Runtime: what owns every process of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, Self, TypeVar, final

from mabeam._base import BoundedThreads, now, stopwatch_of, unique_id
from mabeam.errors import UsageError
from mabeam.kernel._activation import freeze_or_finish, here
from mabeam.kernel._calls import Turn, died
from mabeam.kernel._checks import is_seconds
from mabeam.kernel._current import find_or_raise
from mabeam.kernel._ending import Ending, kill, kill_all
from mabeam.kernel._kernel import Kernel
from mabeam.kernel._owned_tasks import OwnedTaskFactory
from mabeam.kernel._plain import RootBehaviour
from mabeam.kernel._process import BUSY, DEAD
from mabeam.kernel._reasons import NORMAL, SHUTDOWN, ExitReason, Normal, Shutdown
from mabeam.kernel._watchdog import Watchdog
from mabeam.kernel._why import explain
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from mabeam.kernel._activation import Activation
    from mabeam.kernel._current import Target
    from mabeam.kernel._dead_letters import DeadLetters
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._portal import Portal
    from mabeam.kernel._process import Process
    from mabeam.kernel._scheduler import Chooser
    from mabeam.kernel._watchdog import Blocked
    from mabeam.kernel._why import Why

__all__ = ("Runtime", "RuntimeStatistics")

_STARTED_MEANWHILE: Final = 10_000
_STARTED_BY_EACH: Final = 10
"""So many processes, and so many for each that there is, may be started while all are stopped."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStatistics:
    """A Runtime in numbers.

    Attributes:
        processes: living processes, the root left out.
        ready: processes in the run queue.
        names: registered names.
        dead_letters: messages that nobody got, since the start.
        expired: messages dropped, and handlers ended, because their caller had stopped waiting, since the start.
        frozen: coroutines left behind because they swallowed their cancellation, since the start.
        threads: threads that exist for blocking handlers.
        threads_busy: those of them that run a function now, left-behind ones included.
        threads_fenced: those that were left behind and have not returned yet.
    """

    processes: int
    ready: int
    names: int
    dead_letters: int
    expired: int
    frozen: int
    threads: int
    threads_busy: int
    threads_fenced: int


@final
class Runtime:
    """Owns the processes of one event loop: their table, names, run queue, timers, threads and dead letters.

    Inside a loop that others own (FastAPI, Jupyter, pytest) it is a block::

        async with Runtime() as runtime:
            ...

    The code of the block acts as the root process: it traps exits, may spawn, link, monitor and ``receive``. A process
    linked to it that ends abnormally cancels the block, which then raises ``ProcessDied``; so does a supervisor that gives
    up. A whole program is started
    with :func:`mabeam.run`, or with ``Runtime(...).run(main)`` to give options.

    Guarantees:
        When the block is left, in whatever way, everything that was started in it is stopped, the latest first: each
        process gets ``Shutdown()`` from its parent and its time (5 s for a worker, no limit for a supervisor, which has
        its children's times), then ``kill``. Cancelled while it stops, it kills what is left.

    Args:
        max_threads: most threads for blocking handlers at once; more of them wait.
        blocked_after: seconds that something may block the event loop before it is reported; ``None`` for no watchdog. There
            is none on a loop with virtual time.
        deadline_stamps: whether messages carry their caller's deadline, after which nothing new is begun for it.
        bus: where its events go; a new one unless given.
        chooser: makes the scheduler's free choices; for tests.
    """

    def __init__(
        self,
        *,
        max_threads: int = 32,
        blocked_after: float | None = 0.1,
        deadline_stamps: bool = True,
        bus: Bus | None = None,
        chooser: Chooser | None = None,
    ) -> None:
        """A Runtime that does not run yet. It can be run once.

        Raises:
            UsageError: lists all problems.
        """
        _check_options(max_threads, blocked_after, deadline_stamps, bus, chooser)
        self.id = unique_id()
        self.bus = Bus() if bus is None else bus
        self._max_threads = max_threads
        self._blocked_after = blocked_after
        self._deadline_stamps = deadline_stamps
        self._chooser = chooser
        self._kernel: Kernel | None = None
        self._root: Process | None = None
        self._token: contextvars.Token[Any] | None = None
        self._bus_token: contextvars.Token[Any] | None = None
        self._task_factory: OwnedTaskFactory | None = None
        self._body: Any = None
        self._fatal: tuple[Process, ExitReason] | None = None
        self._started_at = 0.0

    # ------------------------------------------------------------------------------------------- running

    async def __aenter__(self) -> Self:
        """Begin: the calling task acts for the root process from now on."""
        self._open()
        self._body = asyncio.current_task()
        self._token = here.set(self.root)
        self._bus_token = current_bus.set(self.bus)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        """Stop everything, the latest first."""
        body, self._body = self._body, None
        taken: asyncio.CancelledError | None = None
        if self._fatal is not None:
            # The block may have been left before the cancellation that goes with it could reach it; take it here.
            try:
                await Turn()
            except asyncio.CancelledError as cancelled:
                taken = cancelled
        try:
            await self._close()
        finally:
            # A fixture is often left in another task, and so another context, than it was entered in: nothing is to be undone
            # there.
            with contextlib.suppress(ValueError):
                if self._token is not None:
                    here.reset(self._token)
                if self._bus_token is not None:
                    current_bus.reset(self._bus_token)
        if self._fatal is None:
            return False
        others_cancelled = body is not None and body.uncancel() > 0
        if others_cancelled and taken is not None and error is None:
            raise taken
        if others_cancelled or not (error is None or isinstance(error, asyncio.CancelledError)):
            return False
        process, reason = self._fatal
        failure = died(process, reason, "main")
        raise failure from failure.__cause__

    def run(self, main: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a program, as :func:`mabeam.run` does, with the options of this Runtime."""
        from mabeam.kernel._run import run_program  # noqa: PLC0415  (it needs this class)

        return run_program(self, main, args, kwargs)

    def _open(self) -> None:
        if self._kernel is not None:
            msg = "a Runtime can be run once; make another one: async with Runtime():"
            raise UsageError(msg)
        loop = asyncio.get_running_loop()
        stopwatch = stopwatch_of(loop)
        threads = BoundedThreads(self._max_threads, loop=loop, name=f"mabeam-{self.id}")
        self._kernel = kernel = Kernel(self.id, loop, stopwatch, self.bus, threads, self._chooser)
        kernel.deadline_stamps = self._deadline_stamps
        kernel.on_root_signal = self._root_got_signal
        context = contextvars.copy_context()
        context.run(current_bus.set, self.bus)
        self._root = kernel.create(RootBehaviour("root"), None, None, context)
        self._root.status = BUSY
        self._root.trap_exit = True
        self._started_at = now(loop)
        describers = getattr(loop, "describe_blocked", None)
        if describers is not None:
            describers.append(self.describe_blocked)
        kernel.on_shared_wait = getattr(loop, "shared_service_waits", None)
        if self._blocked_after is not None and getattr(loop, "virtual_stopwatch", None) is None:
            kernel.watchdog = Watchdog(kernel, self._blocked_after)
        # When nothing more can fail: nobody would take it away.
        self._task_factory = OwnedTaskFactory.install(loop)
        # A loop that simulates makes the choices of every Runtime on it, and watches what they do.
        opened = getattr(loop, "runtime_opened", None)
        if opened is not None:
            opened(self)
        if self.bus.listening:
            self.bus.emit("runtime.started", {}, {"runtime": self.id})

    async def _close(self) -> None:
        kernel, root = self.kernel, self.root
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._stop_all()
        except asyncio.CancelledError as error:
            cancelled = error  # out of patience: what is left is killed, and that takes no time
        kernel.close()
        try:
            await Turn()  # what other threads have handed in begins, and is killed with the rest
        except asyncio.CancelledError as error:
            cancelled = error
        while len(kernel.table) > 1 or kernel.stragglers:
            kill_all(kernel)  # again: what is being killed may have started more
            while kernel.stragglers:
                straggler, _ = kernel.stragglers.popitem()
                kernel.loop.call_soon(freeze_or_finish, straggler)  # not here, inside of a task
            try:
                await Turn()
            except asyncio.CancelledError as error:
                cancelled = error
        if kernel.watchdog is not None:
            kernel.watchdog.stop()
        root.ending = Ending(NORMAL, terminates=False)
        kernel.die(root)
        kernel.threads.close()
        if self._task_factory is not None:
            self._task_factory.remove(kernel.loop)
        describers = getattr(kernel.loop, "describe_blocked", None)
        if describers is not None and self.describe_blocked in describers:
            describers.remove(self.describe_blocked)
        kernel.request_stop()
        if self.bus.listening:
            self.bus.emit(
                "runtime.stopped", {"duration": now(kernel.loop) - self._started_at}, {"runtime": self.id}
            )
        if cancelled is not None:
            raise cancelled

    def _latest_top(self) -> Process | None:
        """The latest process that no living process but the root is the parent of."""
        for process in reversed(self.kernel.table.values()):
            parent = process.parent
            if parent is not None and (parent is self._root or parent.status & DEAD):
                return process
        return None

    async def _stop_one(self, process: Process) -> None:
        kernel = self.kernel
        parent = process.parent
        if parent is not None and parent.status & DEAD and self.bus.listening:
            # Not at the death of the parent: finding its children takes a walk over all processes.
            orphan = {"pid": process.pid.serial, "label": process.label, "parent": parent.pid.serial}
            self.bus.emit("process.orphaned", {}, orphan)
        seconds = process.behaviour.shutdown
        ended = kernel.loop.create_future()
        process.on_death = [*(process.on_death or ()), ended]
        process.grace_until = kernel.loop.time() + seconds
        kernel.signal(process, process.parent or self.root, SHUTDOWN)
        timer = None if math.isinf(seconds) else kernel.loop.call_later(seconds, kill, process)
        try:
            await ended
        finally:
            if timer is not None:
                timer.cancel()

    def _root_got_signal(self, sender: Process, reason: ExitReason) -> None:
        """Something that is linked to the root has ended."""
        if self._body is not None and self._fatal is None and _is_failure(sender, reason):
            self._fatal = (sender, reason)
            self._body.cancel()

    # ------------------------------------------------------------------------------------------- stopping

    async def stop(self) -> None:
        """Stop every process now, the latest first, as leaving the block does. The Runtime itself goes on.

        Guarantees:
            What is started meanwhile is stopped, too. Processes that start others faster than they can be stopped do not keep
            this from ending: when thousands more have been started than there were, all that are left are killed.

        Raises:
            UsageError: a process of this Runtime asks, which would wait for its own end.
        """
        owner = here.get(None)
        if owner is not None and owner.process.kernel is self._kernel and owner.process is not self._root:
            msg = (
                f"Runtime.stop() waits until every process has ended, and {owner.process.describe()} is one of them: it would wait "
                "for itself. Call runtime.request_stop() there, which returns at once, and wait in the block with "
                "'await runtime.wait_stopped()'. Under mabeam.run all is stopped when main returns."
            )
            raise UsageError(msg)
        await self._stop_all()

    async def _stop_all(self) -> None:
        kernel = self.kernel
        most = kernel.started_count + _STARTED_MEANWHILE + _STARTED_BY_EACH * len(kernel.table)
        while kernel.started_count <= most and (process := self._latest_top()) is not None:
            await self._stop_one(process)
        if len(kernel.table) > 1:
            kernel.incidents.flood(len(kernel.table) - 1)
        while len(kernel.table) > 1:
            kill_all(kernel)
            await Turn()

    def request_stop(self) -> None:
        """Ask the program to stop: ``wait_stopped`` returns. What happens then is up to the program."""
        self.kernel.request_stop()

    async def wait_stopped(self) -> None:
        """Wait until the program is asked to stop: by SIGINT or SIGTERM under ``run``, or by :meth:`request_stop`."""
        place = here.get(None)
        await self.kernel.wait_stopped(place.process if place is not None else None)

    # ------------------------------------------------------------------------------------------- looking

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __enter__(self) -> None:
            """Refuse: it waits on its way in and out."""
            msg = (
                "a Runtime is entered with 'async with', in a running event loop:\n"
                "    async with Runtime() as runtime: ...\n"
                "A whole program is mabeam.run(main); from code without an event loop, use mabeam.open_portal()."
            )
            raise UsageError(msg)

        def __exit__(self, *_args: object) -> None:
            """Never reached."""

    @property
    def kernel(self) -> Kernel:
        """Its inside; for code of mabeam's own packages."""
        if self._kernel is None:
            msg = "the Runtime does not run yet: enter it with 'async with', or start the program with its run(main)"
            raise UsageError(msg)
        return self._kernel

    @property
    def root(self) -> Process:
        """The process that the block acts for; for code of mabeam's own packages."""
        if self._root is None:
            msg = "the Runtime does not run yet"
            raise UsageError(msg)
        return self._root

    @property
    def dead_letters(self) -> DeadLetters:
        """Messages that nobody got."""
        return self.kernel.dead_letters

    def processes(self) -> tuple[Pid, ...]:
        """The living processes in the order of their start, the root left out."""
        living = tuple(self.kernel.table.values())  # in one go: this may be asked in another thread
        return tuple(process.pid for process in living if process is not self._root)

    def orphans(self) -> tuple[Pid, ...]:
        """Living processes whose parent has ended; they are stopped with the Runtime."""
        return tuple(
            process.pid
            for process in tuple(self.kernel.table.values())
            if process.parent is not None and process.parent.status & DEAD
        )

    def portal(self) -> Portal:
        """The way in for other threads."""
        from mabeam.kernel._portal import Portal  # noqa: PLC0415  (it needs this class)

        return Portal(self.kernel, self.root)

    def statistics(self) -> RuntimeStatistics:
        """The Runtime in numbers."""
        kernel = self.kernel
        threads = kernel.threads.statistics()
        return RuntimeStatistics(
            processes=len(kernel.table) - (self._root is not None and self._root.is_alive),
            ready=len(kernel.scheduler.ready),
            names=len(kernel.names),
            dead_letters=len(kernel.dead_letters),
            expired=kernel.incidents.expired_count,
            frozen=kernel.incidents.frozen_count,
            threads=threads.threads,
            threads_busy=threads.running,
            threads_fenced=threads.abandoned,
        )

    @property
    def blocked(self) -> Blocked | None:
        """What blocks the event loop at this moment; to be asked from other threads."""
        watchdog = self.kernel.watchdog
        return watchdog.blocked if watchdog is not None else None

    def why(self, target: Target, /) -> Why:
        """As :func:`mabeam.why`, from any thread: also while the loop is blocked.

        Raises:
            NoSuchProcess: there is no such process.
            UsageError: what is given leads to no process.
        """
        return explain(find_or_raise(self.kernel, target, "why"))

    def describe_blocked(self) -> list[str]:
        """A line for each process that is in the middle of something: what it waits for, and where."""
        return [
            f"{process.describe()} waits {_reason_to_wait(activation)}"
            for process in self.kernel.table.values()
            for activation in process.running()
        ]

    def __repr__(self) -> str:
        """Show how much it owns."""
        if self._kernel is None:
            return f"<Runtime {self.id}, not started>"
        return f"<Runtime {self.id}, {max(0, len(self._kernel.table) - 1)} processes, {len(self._kernel.scheduler.ready)} ready>"


def _check_options(
    max_threads: object, blocked_after: object, deadline_stamps: object, bus: object, chooser: object
) -> None:
    """Find all that is wrong with the options.

    Raises:
        UsageError: lists all problems.
    """
    problems = []
    if not isinstance(max_threads, int) or isinstance(max_threads, bool) or max_threads < 1:
        problems.append(
            f"max_threads expects a whole number >= 1, got {max_threads!r}: threads are started when blocking code needs them, "
            "so one that is not needed costs nothing"
        )
    if blocked_after is not None and not (
        is_seconds(blocked_after) and 0 < blocked_after <= threading.TIMEOUT_MAX  # type: ignore[operator]  # a number
    ):
        problems.append(f"blocked_after expects seconds > 0, or None for no watchdog, got {blocked_after!r}")
    if not isinstance(deadline_stamps, bool):
        problems.append(f"deadline_stamps expects True or False, got {deadline_stamps!r}")
    if bus is not None and not isinstance(bus, Bus):
        problems.append(f"bus expects a mabeam.telemetry.Bus, or None for a new one, got {bus!r}")
    if chooser is not None and (isinstance(chooser, type) or not callable(getattr(chooser, "choose", None))):
        problems.append(f"chooser expects an object with choose(kind, count), or None, got {chooser!r}")
    if problems:
        raise UsageError(f"Runtime: {'; '.join(problems)}", problems=problems)


def _is_failure(process: Process, reason: ExitReason) -> bool:
    """Whether the end of something linked to the block is one that the block cannot go on after.

    A supervisor that has given up ends with ``Shutdown()``, but what it held is gone.
    """
    return getattr(process.extra, "gave_up", False) or not isinstance(reason, Normal | Shutdown)


def _reason_to_wait(activation: Activation) -> str:
    stack = activation.stack()
    place = f" at {stack[-1]}" if stack else ""
    if activation.waits_for is None:
        return place.strip() or "to begin"
    wait = activation.waits_for
    said = {"call": f" to answer {wait.what}", "await": f": {wait.what}"}.get(wait.kind, f" {wait.what}")
    return f"for {wait.process.describe()}{said} since {wait.since:.3f}{place}"
