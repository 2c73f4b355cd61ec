"""A mailbox at its limit: what becomes of one more message, by the policy of the process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from mabeam.kernel._calls import died, waiting_for
from mabeam.kernel._mailbox import offer
from mabeam.kernel._process import RECEIVING, SUSPENDED, mailbox_is_full

if TYPE_CHECKING:
    from typing import SupportsIndex

    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = (
    "admit",
    "check_mailbox",
    "crowd_of",
    "enter_full",
    "leave_crowd",
    "overflow",
    "wait_in_crowd",
)

_POLICIES = ("reject", "block", "drop_oldest", "drop_newest")


class CrowdedMailbox(deque[Any]):
    """A full mailbox with senders in front of it, each of whom gets the next free place.

    A process has one of these only once somebody waits, so that taking a message costs nothing more elsewhere.
    """

    def __init__(self, messages: deque[Any], limit: int) -> None:
        """Take the place of ``messages``."""
        super().__init__(messages)
        self.limit = limit
        self.waiting: OrderedDict[asyncio.Future[None], Any] = OrderedDict()
        """Those who give up leave at once, so that a process that takes nothing does not collect them."""

    def popleft(self) -> Any:
        """As ever, and the first who waits comes in."""
        message = super().popleft()
        self.admit()
        return message

    def __delitem__(self, index: SupportsIndex) -> None:  # type: ignore[override]  # a deque knows no slices
        """As ever, and the first who waits comes in."""
        super().__delitem__(index)
        self.admit()

    def admit(self) -> None:
        """Let in as many as there is room for."""
        while self.waiting and len(self) < self.limit:
            future, message = self.waiting.popitem(last=False)
            if not future.done():
                self.append(message)
                future.set_result(None)


def check_mailbox(limit: object, on_full: object) -> list[str]:
    """What is wrong with the options of a mailbox."""
    found = []
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        found.append(f"mailbox_limit expects a number of messages >= 1, got {limit!r}")
    if on_full not in _POLICIES:
        found.append(f"on_full expects one of {', '.join(_POLICIES)}, got {on_full!r}")
    return found


def overflow(process: Process, message: Any) -> None:
    """Deal with a message that nobody waits for and that there is no room for."""
    if _offered(process, message):
        return
    if process.behaviour.on_full == "drop_oldest" and _drop_oldest(process):
        process.kernel.scheduler.enqueue(process, message)
    else:
        process.kernel.dead_letters.add(process.describe(), message, "full")


async def enter_full(process: Process, message: Any, timeout: float | None) -> None:
    """Get a message that somebody waits for into a full mailbox, if its policy has a way.

    Raises:
        RejectedError: it has none; or ``timeout`` seconds went by. The message is not in the mailbox.
        ProcessDied: the process ended meanwhile.
    """
    if _offered(process, message):
        return
    policy = process.behaviour.on_full
    if policy == "block":
        await wait_in_crowd(process, message, timeout)
    elif policy == "drop_oldest" and _drop_oldest(process):
        process.kernel.scheduler.enqueue(process, message)
    else:
        raise mailbox_is_full(process)


async def wait_in_crowd(process: Process, message: Any, timeout: float | None) -> None:
    """Wait until there is room, first come first served."""
    mailbox = process.mailbox
    if mailbox is None:
        raise mailbox_is_full(process)  # a limit of nothing: the caller has asked before
    if not isinstance(mailbox, CrowdedMailbox):
        process.mailbox = mailbox = CrowdedMailbox(mailbox, process.behaviour.mailbox_limit)
    loop = process.kernel.loop
    entered: asyncio.Future[None] = loop.create_future()
    mailbox.waiting[entered] = message
    timer = None if timeout is None else loop.call_later(timeout, _give_up, process, entered, timeout)
    try:
        with waiting_for(process, "to have room", kind="room"):
            await entered
    except asyncio.CancelledError:
        if entered.done() and not entered.cancelled():
            _withdraw(process, message)  # it was let in, and has not heard of it
        raise
    finally:
        entered.cancel()
        mailbox.waiting.pop(entered, None)
        if timer is not None:
            timer.cancel()
        del entered  # an error is in there, and its traceback leads to this frame


def leave_crowd(mailbox: deque[Any] | None, process: Process, reason: ExitReason) -> None:
    """Tell those who wait for room that the process has ended."""
    if isinstance(mailbox, CrowdedMailbox):
        for entered in mailbox.waiting:
            if not entered.done():
                entered.set_exception(died(process, reason, "call"))


def admit(process: Process) -> None:
    """Let in those who wait, after the limit was changed."""
    if isinstance(process.mailbox, CrowdedMailbox):
        process.mailbox.limit = process.behaviour.mailbox_limit
        process.mailbox.admit()


def crowd_of(process: Process) -> tuple[tuple[asyncio.Future[None], Any], ...]:
    """Those who wait for room, each with what it wants to put there."""
    mailbox = process.mailbox
    return tuple(mailbox.waiting.items()) if isinstance(mailbox, CrowdedMailbox) else ()


def _withdraw(process: Process, message: Any) -> None:
    """Take back a message that has not been taken."""
    mailbox = process.mailbox
    for index, each in enumerate(mailbox or ()):
        if each is message:
            del mailbox[index]  # type: ignore[union-attr]  # it has just been looked through
            break
    if not mailbox:
        process.mailbox = None


def _give_up(process: Process, entered: asyncio.Future[None], timeout: float) -> None:
    if not entered.done():
        entered.set_exception(mailbox_is_full(process, f", and no room came free within {timeout:g} s"))


def _offered(process: Process, message: Any) -> bool:
    """Whether somebody waits for just this message: then it needs no room."""
    return bool(process.status & RECEIVING) and not process.status & SUSPENDED and offer(process, message)


def _drop_oldest(process: Process) -> bool:
    """Drop the oldest message of users; false when there is none."""
    for index, message in enumerate(process.mailbox or ()):
        if process.behaviour.may_drop(message):
            del process.mailbox[index]  # type: ignore[union-attr]  # it has just been looked through
            process.behaviour.drop(
                process, message, mailbox_is_full(process, ": it was dropped for a newer message")
            )
            return True
    return False
