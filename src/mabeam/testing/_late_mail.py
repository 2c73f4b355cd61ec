"""Messages that reach plain processes late."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

from mabeam.kernel import RECEIVING, SUSPENDED, offer_again

if TYPE_CHECKING:
    from mabeam.kernel import Process

__all__ = ("LateMail",)


@final
class LateMail:
    """What was sent to plain processes, and is not given to them before its time.

    It lies in the mailbox meanwhile, so that nothing else can be seen of it: whoever was waiting goes on waiting, until the
    time is over or its own timeout; whoever looks finds the message, and is slow to take it. If a look found nothing, an
    answer could overtake what its sender has sent before.

    Guarantees:
        All that comes after a late message waits with it, so the order is kept.
    """

    def __init__(self) -> None:
        self._late: dict[Process, _Late] = {}

    def waits_behind(self, process: Process, message: Any) -> bool:
        """Whether something late has come before a message; then that waits with it."""
        late = self._late.get(process)
        if late is None:
            return False
        late.messages.append(message)
        return True

    def delay(self, process: Process, message: Any, seconds: float) -> None:
        """Have a message that is about to arrive be late."""
        loop = process.kernel.loop
        self._late[process] = _Late(loop.time() + seconds, [message])
        loop.call_later(seconds, self.arrive, process, context=process.own_context().copy())

    def arrive(self, process: Process) -> None:
        """The time is over: give what has come to whoever waits for it."""
        del self._late[process]
        if process.is_alive and not process.status & SUSPENDED:
            offer_again(process)

    def put(self, process: Process, message: Any) -> bool:
        """Put a message into the mailbox of a process that must not hear of it yet; false when it may."""
        if process not in self._late or process.status & (RECEIVING | SUSPENDED) != RECEIVING:
            return False
        if process.mailbox is None:
            process.mailbox = deque()
        process.mailbox.append(message)
        return True

    def rest(self, process: Process, message: Any) -> float:
        """How long a process has to wait with a message that it has found, in seconds."""
        late = self._late.get(process)
        if late is None or not any(each is message for each in late.messages):
            return 0.0
        return max(0.0, late.until - process.kernel.loop.time())


class _Late:
    """A late message of one process, and all that came after it."""

    __slots__ = ("messages", "until")

    def __init__(self, until: float, messages: list[Any]) -> None:
        self.until = until
        self.messages = messages
