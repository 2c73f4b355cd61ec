"""The start of a process as its starter sees it: up, ignored, or failed; in one step or later."""

from __future__ import annotations

import asyncio
from operator import is_
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from mabeam.errors import StartFailed, StartIgnored
from mabeam.kernel._calls import waiting_for
from mabeam.kernel._ending import kill
from mabeam.kernel._links import remove_link
from mabeam.kernel._process import EXITING
from mabeam.kernel._reasons import AlreadyStarted, Crashed, Exited, Shutdown
from mabeam.kernel._reports import take_traceback

if TYPE_CHECKING:
    import contextvars

    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("Start", "StartOutcome")

StartOutcome: TypeAlias = Literal["pending", "up", "ignored", "failed"]

PENDING: Final = "pending"


class Start:
    """What becomes of a start. The process holds it only until the start is decided.

    Attributes:
        process: the process being started.
        outcome: ``pending``, then one of ``up``, ``ignored``, ``failed``.
        reason: why it failed.
        info: what ``start_info`` was given during the start.
    """

    __slots__ = ("_context", "_waiter", "ignores", "info", "is_given_up", "outcome", "process", "reason")

    def __init__(self, process: Process, context: contextvars.Context) -> None:
        """A start that is not decided yet, of a process that has set nothing in its context so far."""
        self.process = process
        self._context: contextvars.Context | None = context
        self.outcome: StartOutcome = "pending"
        self.reason: ExitReason | None = None
        self.info: object = None
        self.ignores = False
        """It chose not to run; that is the outcome when it has ended."""
        self.is_given_up = False
        """Whoever started it does not want it any more, and so nothing that it starts itself."""
        self._waiter: asyncio.Future[None] | None = None

    def decide(self, outcome: StartOutcome, reason: ExitReason | None = None) -> None:
        """Settle it; later decisions change nothing."""
        if self.outcome == "pending":
            self.outcome = outcome
            self.reason = reason
            self._context = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def forget_context(self, process: Process) -> None:
        """Do without a context of its own if the process has set nothing in it: it can be made again."""
        own, before = process.context, self._context
        self._context = None
        # Not by ==: an equal value is another one when somebody changes it, and comparing may run anything.
        if (
            own is not None
            and before is not None
            and len(own) == len(before)
            and all(map(is_, own.keys(), before.keys()))
            and all(map(is_, own.values(), before.values()))
        ):
            process.context = None

    async def wait(self) -> None:
        """Wait until it is decided.

        Guarantees:
            A starter that is cancelled meanwhile leaves nothing behind: the process is killed, and what that is starting,
            too. One that is itself to end leaves it to their link, as in OTP: one that traps exits ends its ``init`` first.
        """
        if self.outcome != "pending":
            return
        process = self.process
        self._waiter = process.kernel.loop.create_future()
        try:
            with waiting_for(process, "to start", kind="start"):
                await self._waiter
        except asyncio.CancelledError:
            starter = process.parent
            if starter is None or not starter.status & EXITING or _is_given_up(starter):
                self.is_given_up = True
                if starter is not None:
                    remove_link(starter, process)
                kill(process)
            raise

    def result(self) -> Process:
        """The process, if it is up.

        Raises:
            StartFailed: it ended before it was up.
            StartIgnored: its ``init`` raised ``Ignore``.
        """
        if self.outcome == "up":
            return self.process
        if self.outcome == "ignored":
            raise StartIgnored(self.process.describe())
        if self.reason is None:  # pragma: no cover  (result() follows wait())
            msg = "the start is not decided yet"
            raise AssertionError(msg)
        bottom, hint = _bottom(self.reason), ""
        if isinstance(bottom, Exited) and isinstance(bottom.value, AlreadyStarted):
            hint = f" The name is taken, by {bottom.value.pid!r}: a name has one process, until that ends."
        error = StartFailed(self.process.describe(), self.reason, hint=hint)
        cause = bottom.exception if isinstance(bottom, Crashed) else None
        if cause is not None:
            # It shows where that was. The reason, which others keep, must not keep the frames that were on the way.
            error.__traceback__ = take_traceback(cause)
        try:
            raise error from cause
        finally:
            del error  # its traceback leads to this frame


def _is_given_up(process: Process) -> bool:
    return process.start is not None and process.start.is_given_up


def _bottom(reason: ExitReason) -> ExitReason:
    """Why a start failed in the end: that of a supervisor fails because that of a child has."""
    while isinstance(reason, Shutdown) and hasattr(reason.detail, "reason"):
        reason = reason.detail.reason
    return reason
