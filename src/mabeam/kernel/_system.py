"""Requests that every process understands, whatever it runs: what OTP calls system messages, and `sys` the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mabeam.errors import ProcessDied
from mabeam.kernel._activation import here
from mabeam.kernel._calls import died, heed_end, wait_for_reply, was_gone
from mabeam.kernel._checks import check_seconds, is_seconds
from mabeam.kernel._current import find_here
from mabeam.kernel._cycles import check_cycle
from mabeam.kernel._ending import is_decided
from mabeam.kernel._mailbox import offer_again
from mabeam.kernel._messages import Exempt
from mabeam.kernel._process import SUSPENDED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mabeam.kernel._current import Target
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("SystemRequest", "ask", "resume", "suspend")

T = TypeVar("T")


class SystemRequest(Exempt, Generic[T]):
    """One request: a function that the process runs between two of its messages, as its own code."""

    __slots__ = ("_function", "_future", "what")

    def __init__(self, what: str, function: Callable[[Process], T], future: asyncio.Future[T]) -> None:
        """A request on its way."""
        self.what = what
        self._function = function
        self._future = future

    def run(self, process: Process) -> bool:
        """Do it, and tell whoever asked; what the function raises is theirs. True if it has returned."""
        try:
            value = process.own_context().copy().run(self._function, process)
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                self._settle(None, error)
                return False
            # No future takes it (PEP 479), or it means something only where it was raised: ``Stop``, a cancellation.
            wrapped = RuntimeError(f"the function given to {self.what} raised {type(error).__name__}")
            wrapped.__cause__ = error
            self._settle(None, wrapped)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise  # it stops the loop
            return False
        self._settle(value, None)
        return True

    def refused(self, process: Process, reason: ExitReason) -> None:
        """The process has ended before it took the request."""
        self._settle(None, died(process, reason, "call"))

    def _settle(self, value: Any, error: Exception | None) -> None:
        if self._future.done():
            return
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(value)

    def __repr__(self) -> str:
        """Show what is asked."""
        return f"<system request: {self.what}>"


async def ask(target: Target, what: str, function: Callable[[Process], T], timeout: float | None) -> T:
    """Have a process run a function of ours between two of its messages, and wait for what comes of it."""
    if timeout is not None and not is_seconds(timeout):
        check_seconds(f"{what} expects timeout in seconds", timeout, none="to wait without limit")
    await heed_end()
    process = find_here(target, what)
    if not process.behaviour.answers_at_once:
        check_cycle(here.get(None), process)
    answer: asyncio.Future[T] = process.kernel.loop.create_future()
    request, is_late = SystemRequest(what, function, answer), is_decided(process)
    if is_late:
        process.kernel.enqueue_or_return(process, request)  # to be returned when it is dead, as a call is
    else:
        process.behaviour.ask(process, request)
    try:
        return await wait_for_reply(process, answer, what, timeout)
    except ProcessDied:
        if is_late:
            raise was_gone(process, "call") from None
        raise
    finally:
        del answer, request  # an error is in there, and its traceback leads to this frame


async def suspend(target: Target, /, *, timeout: float | None = 5.0) -> None:
    """Have a process take no more messages until :func:`resume`; they wait in its mailbox.

    A server finishes the message that it is at, and takes its place in the mailbox for this request; its concurrent handlers
    go on. A plain process gets nothing from ``receive`` any more. Introspection, requests to stop and exits of the parent
    are taken all the same, and links and kills work as ever. Suspending twice changes nothing.

    Args:
        target: the process.
        timeout: seconds to wait until it has taken the request; ``None`` waits without limit.

    Raises:
        NoSuchProcess: there is no such process.
        CallTimeout: it did not come to it in time; it will.
        CallCycle: a server cannot wait for its own suspension.
    """
    await ask(target, "suspend", _suspend, timeout)


async def resume(target: Target, /, *, timeout: float | None = 5.0) -> None:
    """Have a suspended process go on with what has come meanwhile; one that is not suspended does anyway.

    Raises:
        NoSuchProcess: there is no such process.
        CallTimeout: it did not come to it in time; it will.
    """
    await ask(target, "resume", _resume, timeout)


def _suspend(process: Process) -> None:
    process.status |= SUSPENDED
    # What came before it was, and is taken all the same, must not wait for a ``resume`` that is among it, perhaps.
    process.kernel.loop.call_soon(process.kernel.scheduler.take_urgent_mail, process)


def _resume(process: Process) -> None:
    process.status &= ~SUSPENDED
    process.behaviour.resumed(process)
    offer_again(process)
