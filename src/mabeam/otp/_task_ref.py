"""The handle of a task, as the process that started it holds it: await it, wait for a while, or shut it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

from mabeam.errors import CallTimeout, UsageError
from mabeam.kernel import (
    DEAD,
    Down,
    Killed,
    NoProcess,
    Shutdown,
    add_link,
    add_monitor,
    check_cycle,
    check_seconds,
    crash_reason,
    current_process,
    died,
    here,
    is_seconds,
    kill_process,
    remove_link,
    remove_monitor,
    waiting_for,
)
from mabeam.otp._stopping import begin_stop, stops_over
from mabeam.otp._task_keeper import keeper_here
from mabeam.otp._task_outcome import TaskExit, TaskOk, TaskOutcome, TaskResult

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

    from mabeam.kernel import MonitorRef, Pid, Process
    from mabeam.otp._child_spec import ShutdownTime

__all__ = ("TaskAwait", "TaskRef", "seconds_of")

R_co = TypeVar("R_co", covariant=True)

_DEFAULT_SHUTDOWN: Final = 5.0


@final
class TaskRef(Generic[R_co]):
    """A task that this process has started: ``value = await task``.

    The value of the task comes as a message, which ``await`` takes ahead of all others. It can be taken once, by the
    process that started the task. What nobody has taken when the activation that started the task ends is an ordinary
    message: ``TaskResult``, then ``Down``, in ``handle_info`` of a server; the mailbox of a plain process has them at
    once. ``Down`` alone says that the task ended without a value.

    Made by ``TaskSupervisor.start_task`` and ``start_task_nolink``. A ``TaskRef`` leads to its process: ``link``,
    ``monitor``, ``kill`` and ``terminate_child`` take it.

    Attributes:
        ref: the monitor of the task; ``TaskResult.ref`` and ``Down.ref`` are this very object. ``demonitor(task.ref)``
            says that the outcome is not wanted any more, the value included.
    """

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_held",
        "_keeper",
        "_owner",
        "_process",
        "_sent",
        "_tail",
        "_waiter",
        "ref",
    )

    ref: MonitorRef

    def __init__(self) -> None:
        """Made by a TaskSupervisor only."""
        self._owner = current_process()
        self._process: Process | None = None
        self._keeper = keeper_here()
        self._held: list[TaskResult | Down] = []
        self._tail: Down | None = None
        self._waiter: asyncio.Future[TaskResult | Down | None] | None = None
        self._abandoned = False
        self._sent = 0
        """Messages that went to the mailbox; somebody else may have taken them from there."""

    # ------------------------------------------------------------------------------------------- using

    @property
    def pid(self) -> Pid:
        """The process of the task."""
        return self._task.pid

    def address(self) -> Pid:
        """The process of the task, for whatever takes a target."""
        return self._task.pid

    def __await__(self) -> Generator[Any, None, R_co]:
        """Take the value of the task, waiting for it without limit: ``value = await task``.

        Guarantees:
            Cancelled, it has taken nothing: the task goes on, and can be awaited again.

        Raises:
            ProcessDied: the task ended without a value; ``reason`` is its exit reason, the exception that crashed it is
                chained. If the task is linked and this process does not trap exits, the link ends this process first.
            UsageError: another process has started the task; or its outcome was taken already.
            CallCycle: the task waits for the code that is to wait for it, in a call say.
        """
        return self._take(None).__await__()

    def options(self, *, timeout: float | None) -> TaskAwait[R_co]:
        """The same to be awaited once with a limit: ``value = await task.options(timeout=2.0)``.

        After a timeout the outcome is not wanted any more: the task goes on, and what comes of it reaches nobody. To look
        again later, use :meth:`wait`. As in OTP, a task whose outcome was taken already is waited for as well.

        Args:
            timeout: longest wait in seconds; 0 only looks; ``None`` waits without limit.

        Raises:
            CallTimeout: on awaiting: the task did not end in time.
            CallCycle: on awaiting: the task waits for the code that is to wait for it.
            UsageError: ``timeout`` is no duration.
        """
        check_seconds("options expects timeout in seconds", timeout, none="to wait without limit")
        return TaskAwait(self, timeout)

    async def wait(self, timeout: float | None = 5.0) -> TaskOutcome[R_co] | None:
        """Wait a while for the outcome and take it: OTP's ``yield``.

        Guarantees:
            The task is left alone: when it is not ready, ask again. Cancelled, nothing was taken.

        Args:
            timeout: longest wait in seconds; 0 only looks; ``None`` waits without limit.

        Returns:
            ``TaskOk(value)``, ``TaskExit(reason)``, or ``None``: not ready, or taken already.

        Raises:
            UsageError: another process has started the task; or, without a limit, the outcome was taken already; or
                ``timeout`` is no duration.
        """
        check_seconds("wait expects timeout in seconds", timeout, none="to wait without limit")
        self._check_owner("waited for")
        message = await self._next(timeout, looks_again=timeout is not None)
        return None if message is None else self._outcome(message)

    async def shutdown(self, timeout: ShutdownTime = _DEFAULT_SHUTDOWN) -> TaskOutcome[R_co] | None:
        """Unlink and end the task, wait until it is dead, and take its value if it has one.

        Guarantees:
            Nothing of the task arrives afterwards. Cancelled, the task goes on ending, with the same limit.

        Args:
            timeout: seconds that it has to end before it is killed; ``"infinity"`` for no limit, ``"brutal_kill"`` to
                kill it at once.

        Returns:
            ``TaskOk(value)`` if it had returned or did so meanwhile; ``None`` if it ended as it was told to;
            ``TaskExit(reason)`` if it had ended, or ended, otherwise; ``TaskExit(NoProcess())`` if its outcome was taken
            before.

        Raises:
            UsageError: another process has started the task; or ``timeout`` is none.
            CallCycle: the task traps exits and waits for the code that is to wait for its end; it goes on ending.
        """
        self._check_owner("shut down")
        seconds = seconds_of(timeout)
        process, owner = self._task, self._owner
        remove_link(owner, process)
        was_alive = process.is_alive
        ended = begin_stop(process, owner, seconds) if was_alive else None
        if ended is not None:
            check_cycle(here.get(None), process)  # one that traps exits may go on, and wait
            await stops_over({process: ended})
        message = self._find()
        if message is not None:
            outcome = self._outcome(message)
        else:
            outcome = TaskExit((was_alive and process.reason) or NoProcess())
        expected = Killed() if seconds is None else Shutdown()
        return None if isinstance(outcome, TaskExit) and outcome.reason == expected else outcome

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __getattr__(self, name: str) -> Any:
            """Say how a task is waited for and ended: it is neither a future nor a server."""
            msg = f"a TaskRef has no attribute {name!r}"
            if not name.startswith("_") and name != "ref":
                msg += (
                    ": value = await task takes its value, await task.wait(timeout) looks for it, await task.shutdown() ends it, "
                    "mabeam.kill(task) at once"
                )
            raise AttributeError(msg, name=name, obj=self)

    def __repr__(self) -> str:
        """Show what runs where."""
        process = self._process
        if process is None:
            return "<task, not started>"
        return f"<task {process.label} {process.pid.serial}{'' if process.is_alive else ', ended'}>"

    def __hash__(self) -> int:
        """Hash by the process, so that the order of a set of tasks does not depend on where they are in memory."""
        return self._task.pid.serial

    # ------------------------------------------------------------------------------------------- for the supervisor

    def begin(self, process: Process, *, link: bool) -> None:
        """The process of the task is there and has not run yet: link and monitor it."""
        self._process = process
        if self._abandoned:
            # The request was still in the mailbox of the supervisor when the owner gave up, or was killed.
            kill_process(process)
            return
        self.ref = add_monitor(self._owner, process)
        self.ref.taker = self._deliver
        if self._keeper is not None:
            self._keeper.tasks[self] = None
        if link:
            add_link(self._owner, process)

    def finished(self, value: object, error: BaseException | None) -> None:
        """The function has returned or raised; the process ends next."""
        if error is not None:
            process = self._task
            process.kernel.incidents.crash(process, crash_reason(error), process.label)
        elif self._is_watched:
            self._deliver(TaskResult(self.ref, value))

    def abandon(self) -> None:
        """Whoever was to own the task has gone before it had it: take it back."""
        self._abandoned = True
        if self._process is not None:
            remove_link(self._owner, self._process)
            self._forget()
            kill_process(self._process)

    # ------------------------------------------------------------------------------------------- inside

    @property
    def _task(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def _is_watched(self) -> bool:
        """Whether the outcome is still to come, and wanted."""
        monitors = self._owner.monitors
        return monitors is not None and self.ref in monitors

    def _deliver(self, message: TaskResult | Down) -> None:
        """Hand a message to whoever waits, or keep it, or put it into the mailbox."""
        waiter, owner = self._waiter, self._owner
        if type(message) is Down:
            self.ref.taker = None
        if waiter is not None and not waiter.done():
            waiter.set_result(message)
        elif waiter is not None and type(message) is Down and not waiter.cancelled() and waiter.result():
            self._tail = message
        elif self._keeper is not None:
            self._held.append(message)
        elif not owner.status & DEAD:
            self._sent += 1
            owner.kernel.scheduler.enqueue(owner, message)

    def release(self) -> None:
        """The activation that started the task is over: what it left is for the mailbox."""
        self._keeper = None
        held, self._held = self._held, []
        for message in held:
            self._deliver(message)

    def _find(self) -> TaskResult | Down | None:
        """Take the first message that is there already."""
        return self._held.pop(0) if self._held else self._find_in_mailbox()

    def _find_in_mailbox(self) -> TaskResult | Down | None:
        mailbox = self._owner.mailbox if self._sent else None
        for index, message in enumerate(mailbox or ()):
            if isinstance(message, TaskResult | Down) and message.ref is self.ref:
                return self._take_from_mailbox(index)
        return None

    def _take_from_mailbox(self, index: int) -> TaskResult | Down:
        owner = self._owner
        assert owner.mailbox is not None
        message: TaskResult | Down = owner.mailbox[index]
        del owner.mailbox[index]
        if not owner.mailbox:
            owner.mailbox = None
        self._sent -= 1
        return message

    async def _next(self, timeout: float | None, *, looks_again: bool = False) -> TaskResult | Down | None:
        """Take the next message of the task, waiting for it; ``None`` when none came in time.

        Who ``looks_again`` goes on meanwhile, so that a task that waits for it may end yet.
        """
        message = self._find()
        if message is not None or (timeout is not None and timeout <= 0):
            return message
        if self._waiter is not None:
            msg = f"{self!r} is waited for already, by another part of {self._owner.describe()}; its outcome is given out once"
            raise UsageError(msg)
        if timeout is None and not self._is_watched:
            msg = (
                f"the outcome of {self!r} was taken already: by an earlier await or wait, or as a message (TaskResult, Down) "
                "that handle_info or receive() got. It is given out once; keep the value."
            )
            raise UsageError(msg)
        if not looks_again:
            check_cycle(here.get(None), self._task)
        loop = self._owner.kernel.loop
        waiter: asyncio.Future[TaskResult | Down | None] = loop.create_future()
        self._waiter = waiter
        timer = None if timeout is None else loop.call_later(timeout, _expire, waiter)
        try:
            with waiting_for(self._task, "to end"):
                return await waiter
        except BaseException:
            self._waiter = None
            self._put_back(waiter)
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _put_back(self, waiter: asyncio.Future[TaskResult | Down | None]) -> None:
        """Whoever waited was cancelled in the moment it got its message: that is to be found again, in front."""
        got = waiter.result() if waiter.done() and not waiter.cancelled() else None
        tail, self._tail = self._tail, None
        for message in (tail, got):
            if message is None or self._owner.status & DEAD:
                continue
            if self._keeper is not None:
                self._held.insert(0, message)
            else:
                self._sent += 1
                self._owner.kernel.put_back(self._owner, message)

    async def _take(self, timeout: float | None) -> R_co:
        self._check_owner("awaited")
        message = await self._next(timeout)
        if message is None:
            self._forget()
            process = self._task
            process.kernel.incidents.call_timeout(process, "await", timeout or 0.0)
            raise CallTimeout(process.describe(), "await", timeout or 0.0)
        outcome = self._outcome(message)
        if isinstance(outcome, TaskOk):
            return outcome.value
        raise died(self._task, outcome.reason, "await")

    def _outcome(self, message: TaskResult | Down) -> TaskOutcome[R_co]:
        """What a message says; nothing else of the task arrives after it."""
        self._forget()
        return TaskOk(message.value) if isinstance(message, TaskResult) else TaskExit(message.reason)

    def _forget(self) -> None:
        """The outcome is not wanted any more: end the monitor and drop what is on its way."""
        ref = self.ref
        remove_monitor(ref)
        ref.taker = None
        self._held.clear()
        self._tail = None
        while self._find_in_mailbox() is not None:
            pass
        self._sent = 0
        if self._keeper is not None:
            self._keeper.tasks.pop(self, None)
            self._keeper = None

    def _check_owner(self, what: str) -> None:
        process = current_process()
        if process is not self._owner:
            msg = (
                f"{self!r} can be {what} by the process that started it, {self._owner.describe()}; this is "
                f"{process.describe()}. Send the value on, or start the task where it is needed."
            )
            raise UsageError(msg)


@final
class TaskAwait(Generic[R_co]):
    """A task to be awaited with a limit. Made by ``task.options`` only."""

    __slots__ = ("_task", "_timeout")

    def __init__(self, task: TaskRef[R_co], timeout: float | None) -> None:
        """Keep the limit."""
        self._task = task
        self._timeout = timeout

    def __await__(self) -> Generator[Any, None, R_co]:
        """Take the value of the task, waiting as long as that."""
        return self._task._take(self._timeout).__await__()


def seconds_of(shutdown: ShutdownTime) -> float | None:
    """A shutdown time in seconds; ``None`` to kill at once.

    Raises:
        UsageError: it is none.
    """
    if shutdown == "brutal_kill":
        return None
    if shutdown == "infinity":
        return float("inf")
    if is_seconds(shutdown):
        return float(shutdown)
    msg = f"shutdown expects seconds >= 0, 'brutal_kill' or 'infinity', got {shutdown!r}"
    raise UsageError(msg)


def _expire(waiter: asyncio.Future[TaskResult | Down | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
