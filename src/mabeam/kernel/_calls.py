"""A caller waiting for its reply."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mabeam.errors import CallTimeout, NoSuchProcess, ProcessDied, UsageError, show
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._current import refuse_left_behind
from mabeam.kernel._process import EXITING, mailbox_is_full
from mabeam.kernel._reasons import NO_PROCESS, Crashed
from mabeam.kernel._shared_waits import tell_shared_wait
from mabeam.kernel._waits import AnyWait, Wait, WaitKind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from mabeam.errors import Operation
    from mabeam.kernel._lock import Lock
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("Caller", "Turn", "died", "heed_end", "wait_for_reply", "waiting_for", "was_gone")

T = TypeVar("T")


class Caller(AnyWait, Generic[T]):
    """Somebody who waits for the answer to one call.

    A handler gets its own with ``return reply_later(keep)`` and answers whenever it likes, from any handler of the
    server, also one that runs in a thread. A caller is answered once; further answers, and answers to one who has stopped
    waiting, are dropped.
    """

    kind = "call"

    __slots__ = (
        "_callee",
        "answerer",
        "asker",
        "deadline",
        "detached",
        "future",
        "needs_place",
        "since",
        "what",
    )

    def __init__(
        self,
        callee: Process,
        future: asyncio.Future[T],
        what: str,
        deadline: float | None = None,
        asker: Process | Activation | None = None,
    ) -> None:
        """Made by ``call`` only.

        Until it is answered the caller depends on whatever the callee's serial handler does, unless ``answerer`` says
        which other activation it is, ``needs_place`` that it is any of those that run the same concurrent handler, or
        ``detached`` why it is none in particular. ``asker`` is whose code waits, while it does.
        """
        self._callee = callee
        self.future = future
        self.what = what
        self.deadline = deadline
        self.answerer: Activation | None = None
        self.asker = asker
        self.needs_place = False
        self.detached = ""

    @property
    def process(self) -> Process:  # type: ignore[override]  # nobody sets it
        """Who is to answer."""
        return self._callee

    @property
    def caller(self) -> Caller[T]:  # type: ignore[override]  # nobody sets it
        """Itself: it is also the wait of whoever called."""
        return self

    @property
    def is_waiting(self) -> bool:
        """Whether the caller still waits."""
        return not self.future.done()

    def reply(self, value: T) -> None:
        """Answer with a value.

        Raises:
            NoSuchProcess: this is a thread of a process that was left behind.
        """
        kernel = self._callee.kernel
        if get_ident() != kernel.scheduler.thread:
            refuse_left_behind("send")
            kernel.hand_over(self.reply, value)
            return
        self._forget()
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Answer with an exception, raised by the caller's ``call``.

        Raises:
            UsageError: it is none; or one that is no ``Exception`` (``KeyboardInterrupt``, ``CancelledError``, ``Stop``).
            NoSuchProcess: as for ``reply``.
        """
        if not isinstance(error, Exception):
            hint = "; as in caller.fail(ValueError('no')), or caller.reply(value) for a value"
            if isinstance(error, BaseException):
                hint = ", which is no Exception: it would end the program or the code of the caller, and is no answer"
            raise UsageError(f"fail expects an exception, got {show(error)}{hint}")
        kernel = self._callee.kernel
        if get_ident() != kernel.scheduler.thread:
            refuse_left_behind("send")
            kernel.hand_over(self.fail, error)
            return
        self._forget()
        if not self.future.done():
            if isinstance(error, StopIteration):
                # No future carries it: it would end the caller's coroutine as if that had returned (PEP 479).
                cause, error = error, RuntimeError(f"{self.what} raised StopIteration")
                error.__cause__ = cause
            self._fail(error)

    def hold(self) -> None:
        """Remember the caller with its callee, so that it hears of the callee's death. Nobody is who has given up."""
        if self.future.done():
            return
        if self._callee.callers is None:
            self._callee.callers = {}
        self._callee.callers[self] = None

    def callee_died(self, reason: ExitReason) -> None:
        """The callee ended without an answer."""
        if not self.future.done():
            self._fail(died(self._callee, reason, "call"))

    def forget_error(self) -> None:
        """Nobody waits any more. The error was told; its frames lead to the message that this was on, and so back to the error."""
        self.future = self._callee.kernel.loop.create_future()
        self.future.cancel()

    def refuse(self, error: Exception) -> None:
        """Fail as one whose time is up: what has not begun for it is not done any more."""
        self.deadline = self._callee.kernel.loop.time()
        self.fail(error)

    def _fail(self, error: Exception) -> None:
        self.future.set_exception(error)
        # Marks it as seen. Whoever called may have ended meanwhile, and an answer that nobody reads is no error: what
        # crashed has been reported.
        self.future.exception()

    def _forget(self) -> None:
        if self._callee.callers is not None:
            self._callee.callers.pop(self, None)

    def __repr__(self) -> str:
        """Show what is waited for."""
        return f"<caller of {self.what}{'' if self.is_waiting else ', not waiting'}>"


class Turn:
    """Awaited, it lets the event loop have its turn."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        """Yield once."""
        yield


async def heed_end() -> None:
    """Where the code that calls is cancelled if its process is to end already: nothing is begun for it any more.

    In OTP the signal would have ended it before. Code of a process that is ending in an orderly way goes on after it.
    """
    owner = here.get(None)
    if owner is not None and owner.process.status & EXITING:
        await Turn()


def died(process: Process, reason: ExitReason, operation: Operation) -> ProcessDied:
    """The error for whoever needed ``process``, with the exception that crashed it chained."""
    error = ProcessDied(process.describe(), reason, operation=operation, pid=process.pid)
    if isinstance(reason, Crashed):
        error.__cause__ = reason.exception
    return error


def was_gone(process: Process, operation: Operation) -> NoSuchProcess:
    """The error for whoever came when the end of a process was settled, now that it is dead."""
    return NoSuchProcess(process.describe(), NO_PROCESS, operation=operation, pid=process.pid)


@contextmanager
def waiting_for(
    process: Process,
    what: str,
    lock: Lock | None = None,
    stream: Activation | None = None,
    *,
    kind: WaitKind | None = None,
    is_reader: bool = False,
    choices: Callable[[], Iterable[Process | Activation]] | None = None,
    all_of: Callable[[], Iterable[Process]] | None = None,
) -> Iterator[None]:
    """While the block runs, the code that runs here waits for something of another process: ``what``, in words of people."""
    owner = here.get(None)
    if not isinstance(owner, Activation):
        yield
        return
    now = process.kernel.loop.time()
    kind = kind or ("lock" if lock is not None else "stream" if stream is not None else "await")
    wait = Wait(
        process, what, now, None, lock, stream, is_reader=is_reader, choices=choices, all_of=all_of, kind=kind
    )
    before, owner.waits_for = owner.waits_for, wait
    if owner.process.behaviour.shared:
        tell_shared_wait(owner)
    try:
        yield
    finally:
        owner.waits_for = before


async def wait_for_reply(
    process: Process,
    future: asyncio.Future[T],
    what: str,
    timeout: float | None,
    caller: Caller[Any] | None = None,
    now: float | None = None,
) -> T:
    """Wait for the answer of ``process``, from ``now`` on.

    Guarantees:
        A cancelled waiter stops waiting at once and the answer, if it comes, is dropped.

    Raises:
        CallTimeout: ``timeout`` seconds went by.
        RejectedError: the same, but it was only waiting for room, so that nothing has been done.
    """
    if future.done():
        # Answered within the caller's own turn. Through the mailbox the others would have had theirs by now: a supervisor
        # that restarts the callee, say. So they have it here, too.
        await Turn()
    if now is None:
        now = process.kernel.loop.time()
    owner = here.get(None)
    if isinstance(owner, Activation):
        if caller is None:
            is_stop = what == "stop"
            owner.waits_for = (
                Wait(process, "to end", now, kind="stop") if is_stop else Wait(process, what, now)
            )
        else:
            caller.since = now
            owner.waits_for = caller
        if owner.process.behaviour.shared:
            tell_shared_wait(owner)
    queue = None
    if timeout is not None and not future.done():
        queue = process.kernel.timeouts.of(timeout)
        queue.add(future, process, what, now)
    try:
        return await future
    except asyncio.CancelledError:
        if caller is not None:
            caller.deadline = None  # it has not timed out: what it has asked for is done all the same
        raise
    except Exception as error:
        if caller is not None:
            caller.forget_error()
            if isinstance(error, CallTimeout) and caller.needs_place and caller.detached:
                raise mailbox_is_full(process, f", and no room came free within {timeout:g} s") from None
        raise
    finally:
        if queue is not None:
            queue.remove(future)
        if isinstance(owner, Activation):
            owner.waits_for = None
        if caller is not None:
            caller.asker = None  # a callee may keep its callers for long
            if process.callers is not None:
                process.callers.pop(caller, None)  # whoever has given up need not hear of its end
        del future, caller  # an error is in there, and its traceback leads to this frame
