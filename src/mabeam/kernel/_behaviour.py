"""What the kernel asks of the code that a process runs."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("Behaviour", "Step")

Step: TypeAlias = Coroutine[Any, Any, object] | None
"""``None`` when everything is done already, else what is left to be awaited."""


class Behaviour:
    """How a kind of process starts, takes a message and ends.

    One object serves every process of its kind: what belongs to a single process is in ``process.body``. The methods
    are called by the scheduler, never two at a time for one process.
    """

    __slots__ = ("is_supervisor", "label", "mailbox_limit", "shared", "shutdown")

    def __init__(
        self,
        label: str,
        *,
        mailbox_limit: int = 100_000,
        shutdown: float = 5.0,
        is_supervisor: bool = False,
        shared: bool = False,
    ) -> None:
        """Say what all processes of this kind have in common.

        Args:
            label: what they are called in reports.
            mailbox_limit: messages that may wait in a mailbox.
            shutdown: seconds that one has to end when the Runtime stops and no supervisor has said otherwise.
            is_supervisor: whether they are supervisors.
            shared: whether they serve many others and must not wait for any of them.
        """
        self.label = label
        self.mailbox_limit = mailbox_limit
        self.shutdown = shutdown
        self.is_supervisor = is_supervisor
        self.shared = shared

    def start(self, process: Process) -> None:
        """Begin to run: ends with ``kernel.started`` or with an end of the process, at once or later."""
        raise NotImplementedError

    def take(self, process: Process, message: Any) -> bool:
        """Work on one message; false when a serial activation has been made that goes on with it."""
        raise NotImplementedError

    def terminate(self, process: Process, reason: ExitReason) -> Step:
        """Run what user code wants to run at an orderly end."""
        raise NotImplementedError

    def leave_lifespan(self, process: Process) -> None:
        """Begin the clean-up of what ``process.hold`` holds, if there is anything."""

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        """Tell the sender of a message that was still in the mailbox at death; false when nobody waits for it."""
        raise NotImplementedError
