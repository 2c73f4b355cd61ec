"""A process as the kernel sees it: plain data that the other rooms of the kernel work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import RejectedError, show
from mabeam.kernel._activation import here
from mabeam.kernel._pid import Pid

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Iterable
    from contextvars import Context

    from mabeam.kernel._activation import Activation
    from mabeam.kernel._behaviour import Behaviour
    from mabeam.kernel._calls import Caller
    from mabeam.kernel._ending import Ending
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._mailbox import Receiver
    from mabeam.kernel._messages import MonitorRef
    from mabeam.kernel._names import Registration, ViaName
    from mabeam.kernel._reasons import ExitReason
    from mabeam.kernel._start import Start

__all__ = (
    "BUSY",
    "DEAD",
    "EXITING",
    "RECEIVING",
    "SCHEDULED",
    "STARTING",
    "SUSPENDED",
    "Process",
    "mailbox_is_full",
)

# What ``status`` is made of. 0 is a living process at rest with an empty mailbox: the one test of the fast paths.
SCHEDULED: Final = 1
"""In the run queue."""
BUSY: Final = 2
"""A handler runs that must end before the next message is taken."""
STARTING: Final = 4
"""Its start has not succeeded yet."""
EXITING: Final = 8
"""Its end is decided: it takes no more messages."""
DEAD: Final = 16
RECEIVING: Final = 32
"""A plain process waits in ``receive``."""
SUSPENDED: Final = 64
"""It takes nothing but system messages until it is resumed."""


class Process:
    """An id, a mailbox, a behaviour with its body, links and monitors.

    At rest a process owns no task, no queue and no timer, so the fields that are rarely used are ``None`` until they
    are. Collections are dicts or tuples, never sets: their order must be the same in every run.
    """

    __slots__ = (
        "activations",
        "behaviour",
        "body",
        "callers",
        "context",
        "ending",
        "extra",
        "grace_until",
        "hold",
        "kernel",
        "links",
        "mailbox",
        "message",
        "monitors",
        "name",
        "on_death",
        "origin",
        "parent",
        "pid",
        "receivers",
        "registrations",
        "serial",
        "start",
        "status",
        "tasks",
        "timers",
        "trap_exit",
        "watchers",
    )

    over: Final = False
    """A process stands for its own inline activation: it is never fenced like a thread's, and never waits."""
    in_thread: Final = False
    caller: Final = None
    deadline: Final = None

    def __init__(
        self,
        kernel: Kernel,
        serial: int,
        parent: Process | None,
        behaviour: Behaviour,
        body: Any,
        context: Context,
    ) -> None:
        """Made by the Runtime only."""
        self.kernel = kernel
        self.pid = Pid(kernel.id, serial, self)
        self.parent = parent
        self.behaviour = behaviour
        self.body = body
        self.origin = context
        """The context that it was started from, as it was then. Brothers share one, and nothing runs in it."""
        self.context: Context | None = None
        """Its own, where that differs from ``origin`` or was needed already; see ``own_context``."""
        self.status = STARTING
        self.trap_exit = False
        self.name: str | ViaName | None = None
        self.mailbox: deque[Any] | None = None
        self.message: Any = None
        """The message that the serial handler works on."""
        self.extra: Any = None
        """What the behaviour has to remember about this process now and then."""
        self.links: tuple[Process, ...] | dict[Process, None] = ()
        self.monitors: dict[MonitorRef, None] | None = None
        """Monitors that this process holds."""
        self.watchers: dict[MonitorRef, None] | None = None
        """Monitors that others hold on this process."""
        self.callers: dict[Caller[Any], None] | None = None
        """Callers that were taken from the mailbox and have no reply yet."""
        self.serial: Activation | None = None
        self.activations: dict[Activation, None] | None = None
        """Handlers in progress, the serial one included."""
        self.tasks: dict[Activation, None] | None = None
        """asyncio tasks that code of this process created."""
        self.hold: Activation | None = None
        """The activation that holds ``lifespan``."""
        self.registrations: dict[Registration, None] | None = None
        self.timers: dict[Any, None] | None = None
        self.receivers: list[Receiver] | None = None
        """Those who wait for a message of a certain kind, while ``RECEIVING``."""
        self.on_death: list[asyncio.Future[None]] | None = None
        """Waiters for its death."""
        self.grace_until: float | None = None
        """When whoever stops it will lose patience, in loop time."""
        self.start: Start | None = None
        self.ending: Ending | None = None

    def own_context(self) -> Context:
        """The context that its code starts from: ``origin`` with what it has set at its start, and itself.

        Most processes set nothing, so it is not kept from their start on but made when it is first needed.
        """
        if self.context is None:
            self.context = self.origin.copy()
            self.context.run(here.set, self)
        return self.context

    @property
    def process(self) -> Process:
        """Itself: what an activation answers with its process."""
        return self

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet; one whose end is decided still lives."""
        return not self.status & DEAD

    @property
    def label(self) -> str:
        """What it runs: the class of a server, the function of a plain process."""
        return self.behaviour.label

    @property
    def reason(self) -> ExitReason | None:
        """The exit reason, once it is dead."""
        return self.ending.reason if self.ending is not None and self.status & DEAD else None

    def describe(self) -> str:
        """Name it for error messages and reports, also in the middle of a death: it never raises, whatever a via name does."""
        name = f"{show(self.name)}, " if self.name is not None else ""
        return f"{self.label} ({name}pid {self.pid.serial})"

    def running(self) -> Iterable[Activation]:
        """Everything of it that an event loop can step: handlers, lifespan, tasks; oldest first."""
        yield from tuple(self.activations or ())
        if self.hold is not None:
            yield self.hold
        yield from tuple(self.tasks or ())

    @property
    def state(self) -> str:
        """What it is doing, in a word."""
        states = (
            (DEAD, "dead"),
            (EXITING, "exiting"),
            (STARTING, "starting"),
            (SUSPENDED, "suspended"),
            (RECEIVING, "receiving"),
            (BUSY, "busy"),
            (SCHEDULED, "ready"),
        )
        return next((word for bit, word in states if self.status & bit), "idle")

    def __repr__(self) -> str:
        """Show identity, state and what is queued."""
        return f"<process {self.pid.serial} {self.label} {self.state}, {len(self.mailbox or ())} queued>"


def mailbox_is_full(process: Process, what: str = "") -> RejectedError:
    """The answer to a call that a process has no room for."""
    limit = process.behaviour.mailbox_limit
    return RejectedError(
        f"the mailbox of {process.describe()} is full ({limit} messages): nothing was done{what}. It takes messages more "
        "slowly than they come; try again later, raise mailbox_limit of its class, or choose another on_full."
    )
