"""What the kernel asks of the code that a process runs."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from mabeam.errors import UsageError
from mabeam.kernel._messages import Exempt
from mabeam.kernel._system import SystemRequest

if TYPE_CHECKING:
    from mabeam.errors import RejectedError
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._calls import Caller
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("Behaviour", "Observer", "OnFull", "Step")

Step: TypeAlias = Coroutine[Any, Any, object] | None
"""``None`` when everything is done already, else what is left to be awaited."""


OnFull: TypeAlias = Literal["reject", "block", "drop_oldest", "drop_newest"]
"""What happens to a message that a full mailbox has no room for."""


class Observer(Protocol):
    """Told what one process does, as it does it; for ``trace`` and ``statistics``."""

    def took(self, process: Process, message: Any) -> Awaitable[None] | None:
        """A message has been taken. A plain process awaits what this returns before it goes on with it."""

    def finished(self, process: Process, message: Any, value: object, error: BaseException | None) -> None:
        """The handler of a message has ended."""

    def put_off(self, process: Process, message: Any, error: BaseException) -> None:
        """The handler of a message wants to be given it again later."""


class Behaviour:
    """How a kind of process starts, takes a message and ends.

    One object serves every process of its kind: what belongs to a single process is in ``process.body``. The methods
    are called by the scheduler, never two at a time for one process.
    """

    handlers: Mapping[str, Any] | None = None
    """What a server answers to, by name; ``None`` for what is none."""
    by_function: Mapping[Any, Any] = {}
    """The same by function."""
    inline_calls: Mapping[Any, Any] = {}
    """Those of them that take calls and may run in the turn of the caller, by function."""
    answers_at_once: ClassVar[bool] = False
    """Whether a system request is taken whatever the process waits for; else in the order of its mailbox."""

    __slots__ = ("is_supervisor", "label", "mailbox_limit", "observers", "on_full", "shared", "shutdown")

    def __init__(
        self,
        label: str,
        *,
        mailbox_limit: int = 100_000,
        on_full: OnFull = "reject",
        shutdown: float = 5.0,
        is_supervisor: bool = False,
        shared: bool = False,
    ) -> None:
        """Say what all processes of this kind have in common.

        Args:
            label: what they are called in reports.
            mailbox_limit: messages that may wait in a mailbox.
            on_full: what happens to one more than that.
            shutdown: seconds that one has to end when the Runtime stops and no supervisor has said otherwise.
            is_supervisor: whether they are supervisors.
            shared: whether they serve many others and must not wait for any of them.
        """
        self.label = label
        self.mailbox_limit = mailbox_limit
        self.on_full: OnFull = on_full
        self.shutdown = shutdown
        self.is_supervisor = is_supervisor
        self.shared = shared
        self.observers: tuple[Observer, ...] = ()
        """Who is told what a process does; only behaviours that were made for a single one have any."""

    def start(self, process: Process) -> None:
        """Begin to run: ends with ``kernel.started`` or with an end of the process, at once or later."""
        raise NotImplementedError

    def take(self, process: Process, message: Any) -> bool:
        """Work on one message; false when a serial activation has been made that goes on with it."""
        raise NotImplementedError

    def with_observers(self, observers: tuple[Observer, ...]) -> Behaviour:
        """The behaviour of one process that ``observers`` are told of; this one, when there are none."""
        raise NotImplementedError

    def state_of(self, process: Process) -> object:
        """What ``get_state`` shows of a process of this kind."""
        raise UsageError(f"{process.describe()} keeps its state in local variables, where nobody can see it")

    def replace_state(self, process: Process, state: object) -> None:
        """Have a process go on with another state."""
        raise UsageError(
            f"{process.describe()} keeps its state in local variables, where nobody can change it"
        )

    def ask(self, process: Process, request: SystemRequest[Any]) -> None:
        """Take a system request; see ``answers_at_once``."""
        process.kernel.scheduler.enqueue(process, request)

    def is_urgent(self, process: Process, message: Any) -> bool:
        """Whether a suspended process takes it all the same."""
        return isinstance(message, SystemRequest)

    def may_drop(self, message: Any) -> bool:
        """Whether it is a message of users: the others are exempt from the limit of the mailbox."""
        return not issubclass(type(message), Exempt)  # isinstance would ask the message, in its sender's turn

    def drop(self, process: Process, message: Any, error: RejectedError) -> None:
        """Tell whoever sent a message that was dropped from a full mailbox."""
        process.kernel.dead_letters.add(process.describe(), message, "full")

    def why_kept(self, process: Process, caller: Caller[Any]) -> str:
        """Why a caller who was taken from the mailbox has no answer, though nothing works on it; empty if that is not so."""
        return ""

    def place_holders(self, process: Process, what: str) -> Iterable[Activation]:
        """The activations of which one must end before a caller who waits for a place is served."""
        return ()

    def alarms(self, process: Process) -> Iterable[tuple[float, str]]:
        """When its timers will send it something, in loop time, and what."""
        return [(timer.due, "a message of send_after") for timer in tuple(process.timers or ())]

    def resumed(self, process: Process) -> None:
        """It is no longer suspended."""

    def terminate(self, process: Process, reason: ExitReason) -> Step:
        """Run what user code wants to run at an orderly end."""
        raise NotImplementedError

    def leave_lifespan(self, process: Process) -> None:
        """Begin the clean-up of what ``process.hold`` holds, if there is anything."""

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        """Tell the sender of a message that was still in the mailbox at death; false when nobody waits for it."""
        raise NotImplementedError
