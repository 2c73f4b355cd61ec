"""Waiting for a message of a certain kind, ahead of those that came before it: selective receive."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any

from mabeam.errors import UsageError, show
from mabeam.kernel._calls import Turn
from mabeam.kernel._process import EXITING, RECEIVING, SUSPENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._process import Process

__all__ = ("Receiver", "offer", "offer_again", "remove_matching", "take_matching")


class Receiver:
    """One wait for a message that ``match`` accepts; ``place`` is where in the mailbox the message would be that it got."""

    place: int

    __slots__ = ("context", "future", "match", "place")

    def __init__(self, match: Callable[[Any], bool], future: asyncio.Future[Any]) -> None:
        """A wait that is registered with its process."""
        self.match = match
        self.future = future
        self.context = contextvars.copy_context()

    def accepts(self, message: Any) -> bool:
        """Ask ``match``. What it raises is raised where the receiver waits, never in the sender, whose turn this is."""
        try:
            return bool(self.context.copy().run(self.match, message))
        except BaseException as error:  # noqa: BLE001  (code of the receiver: it is the receiver's error, whatever it is)
            if isinstance(error, StopIteration):  # a future refuses it
                error = RuntimeError(f"{show(self.match)} raised {show(error)}")
            if not self.future.done():
                self.future.set_exception(error)
            return False


def offer(process: Process, message: Any) -> bool:
    """Give a message that has just arrived to the first who waits for it."""
    for receiver in process.receivers or ():
        if not receiver.future.done() and receiver.accepts(message) and not receiver.future.done():
            receiver.place = len(process.mailbox or ())
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
        for index in reversed([index for index, message in enumerate(mailbox) if match(message)]):
            del mailbox[index]
        if not mailbox:
            process.mailbox = None
    return found


def offer_again(process: Process) -> None:
    """Give what has come meanwhile to those who wait, once a plain process is no longer suspended."""
    mailbox = process.mailbox
    if mailbox is None or not process.status & RECEIVING:
        return
    # By their places: two messages may be one object, a word that is sent twice, say.
    taken = [index for index, message in enumerate(tuple(mailbox)) if offer(process, message)]
    for index in reversed(taken):
        del mailbox[index]
    if not mailbox:
        process.mailbox = None


async def take_matching(process: Process, match: Callable[[Any], bool], timeout: float | None) -> Any:
    """Take the first message in the mailbox that matches, or wait for one.

    Guarantees:
        Cancelled, it either has taken nothing, or has put back in front what it was just being given.

    Raises:
        TimeoutError: none came within ``timeout`` seconds; 0 looks and does not wait.
        UsageError: ``match`` has changed the mailbox that it was asked about.
    """
    if process.status & EXITING or process.kernel.scheduler.must_yield():
        await Turn()  # where it is cancelled if it is to end: the dead take no messages
    mailbox = process.mailbox
    if mailbox is not None and not process.status & SUSPENDED:
        size = len(mailbox)
        message, index = None, None
        try:
            for place, message in enumerate(mailbox):
                if match(message):
                    index = place
                    break
        except RuntimeError as error:
            if len(mailbox) == size:
                raise
            raise _changed(match) from error
        if len(mailbox) != size:
            raise _changed(match)
        if index is not None:
            del mailbox[index]
            if not mailbox:
                process.mailbox = None
            if process.behaviour.observers:
                await _tell_observers(process, message, index)
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
        message = await receiver.future
        place = receiver.place
    except asyncio.CancelledError:
        future = receiver.future
        if future.done() and not future.cancelled() and future.exception() is None:
            _give_back(process, future.result(), receiver.place)
        raise
    finally:
        if timer is not None:
            timer.cancel()
        if process.receivers is not None:  # a task that outlives the root may still be here
            process.receivers.remove(receiver)
        if not process.receivers:
            process.receivers = None
            process.status &= ~RECEIVING
        del receiver  # an error is in its future, and its traceback leads to this frame
    await _tell_observers(process, message, place)
    return message


def _changed(match: Callable[[Any], bool]) -> UsageError:
    return UsageError(
        f"{show(match)} was asked by receive which message is wanted, and has sent one to its own process, or taken one out: "
        "it only looks. Do the rest when receive has returned."
    )


def _give_back(process: Process, message: Any, place: int) -> None:
    """Have another who waits get a message, or put it where it was: behind those that came before it."""
    if process.status & SUSPENDED or not offer(process, message):
        if process.mailbox is None:
            process.mailbox = deque()
        process.mailbox.insert(place, message)


async def _tell_observers(process: Process, message: Any, place: int) -> None:
    """Tell whoever watches; in a simulation that may take its time, and may fail. Cancelled, it puts the message back."""
    for observer in process.behaviour.observers:
        rest = observer.took(process, message)
        if rest is not None:
            try:
                await rest
            except asyncio.CancelledError:
                _give_back(process, message, place)
                raise


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
