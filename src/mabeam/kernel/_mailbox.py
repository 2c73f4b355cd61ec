"""Waiting for a message of a certain kind, ahead of those that came before it: selective receive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam.kernel._process import RECEIVING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._process import Process

__all__ = ("Receiver", "offer", "remove_matching", "take_matching")

Match = "Callable[[Any], bool]"


class Receiver:
    """One wait for a message that ``match`` accepts."""

    __slots__ = ("future", "match")

    def __init__(self, match: Callable[[Any], bool], future: asyncio.Future[Any]) -> None:
        """A wait that is registered with its process."""
        self.match = match
        self.future = future


def offer(process: Process, message: Any) -> bool:
    """Give a message that has just arrived to the first who waits for it."""
    for receiver in process.receivers or ():
        if not receiver.future.done() and receiver.match(message):
            receiver.future.set_result(message)
            return True
    return False


def remove_matching(process: Process, match: Callable[[Any], bool]) -> list[Any]:
    """Take every matching message out of the mailbox."""
    mailbox = process.mailbox
    if mailbox is None:
        return []
    found = [message for message in mailbox if match(message)]
    if found:
        rest = [message for message in mailbox if not match(message)]
        mailbox.clear()
        mailbox.extend(rest)
        if not rest:
            process.mailbox = None
    return found


async def take_matching(process: Process, match: Callable[[Any], bool], timeout: float | None) -> Any:
    """Take the first message in the mailbox that matches, or wait for one.

    Guarantees:
        Cancelled, it either has taken nothing, or has put back in front what it was just being given.

    Raises:
        TimeoutError: none came within ``timeout`` seconds; 0 looks and does not wait.
    """
    mailbox = process.mailbox
    if mailbox is not None:
        for index, message in enumerate(mailbox):
            if match(message):
                del mailbox[index]
                if not mailbox:
                    process.mailbox = None
                return message
    if timeout is not None and timeout <= 0:
        raise TimeoutError
    loop = process.kernel.loop
    receiver = Receiver(match, loop.create_future())
    if process.receivers is None:
        process.receivers = []
    process.receivers.append(receiver)
    process.status |= RECEIVING
    timer = None if timeout is None else loop.call_later(timeout, _expire, receiver.future)
    try:
        return await receiver.future
    except asyncio.CancelledError:
        future = receiver.future
        if future.done() and not future.cancelled() and future.exception() is None:
            process.kernel.put_back(process, future.result())
        raise
    finally:
        if timer is not None:
            timer.cancel()
        process.receivers.remove(receiver)
        if not process.receivers:
            process.receivers = None
            process.status &= ~RECEIVING


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
