"""The inside of one Runtime: its table of processes, their starts, their signals and their deaths."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from sys import exception
from typing import TYPE_CHECKING, Any, Final

from mabeam._base import Log
from mabeam.kernel._current_task import current_tasks
from mabeam.kernel._cycles import refuse_closed_cycle
from mabeam.kernel._dead_letters import DeadLetters
from mabeam.kernel._ending import advance, end
from mabeam.kernel._full_mailbox import leave_crowd, overflow
from mabeam.kernel._incidents import Incidents
from mabeam.kernel._links import add_link, linked, remove_link, verdict
from mabeam.kernel._messages import Down, ExitSignal
from mabeam.kernel._names import Names
from mabeam.kernel._process import BUSY, DEAD, STARTING, Process
from mabeam.kernel._reasons import NO_PROCESS, NORMAL, AlreadyStarted, Crashed, Exited
from mabeam.kernel._scheduler import Scheduler
from mabeam.kernel._shared_waits import tell_shared_waits_of_tasks
from mabeam.kernel._start import Start
from mabeam.kernel._system import SystemRequest
from mabeam.kernel._timeouts import Timeouts
from mabeam.kernel._tracing import carry
from mabeam.kernel._waits import may_await_tasks
from mabeam.telemetry import current_trace, enter_trace

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mabeam._base import BoundedThreads
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._behaviour import Behaviour
    from mabeam.kernel._names import Name
    from mabeam.kernel._reasons import ExitReason
    from mabeam.kernel._scheduler import Chooser
    from mabeam.kernel._watchdog import Watchdog
    from mabeam.telemetry import Bus

__all__ = ("Kernel",)

logger = Log("mabeam")

_NO_CONTEXT: Final = contextvars.Context()
"""The context of the dead: empty, and nothing runs in it."""


class Kernel:
    """Everything that the processes of one Runtime share. Not for users: they have ``Runtime``.

    Attributes:
        table: the living processes by serial number, in the order of their start.
        incidents: takes what goes wrong.
    """

    def __init__(
        self,
        runtime_id: str,
        loop: asyncio.AbstractEventLoop,
        stopwatch: Callable[[], float],
        bus: Bus,
        threads: BoundedThreads,
        chooser: Chooser | None,
    ) -> None:
        """An empty table."""
        self.id = runtime_id
        self.loop = loop
        self.bus = bus
        self.threads = threads
        self.scheduler = Scheduler(loop, stopwatch, chooser)
        self.timeouts = Timeouts(self)
        self.names = Names()
        self.dead_letters = DeadLetters(bus)
        self.table: dict[int, Process] = {}
        self.root: Process | None = None
        self.incidents = Incidents(runtime_id, bus, threads)
        self.on_root_signal: Callable[[Process, ExitReason], None] | None = None
        """Takes the exit signals that reach the root: there is no program behind it that could."""
        self.on_create: Callable[[Process], None] | None = None
        """Told of each new process before it runs; for simulations."""
        self.on_exit: Callable[[Process, ExitReason], None] | None = None
        """Told of each death, before anybody else hears of it; for simulations."""
        self.make_task: Callable[..., Any] | None = None
        """Makes the tasks that handlers run in, if not asyncio itself; for simulations."""
        self.on_shared_wait: Callable[[Process, Process, str], None] | None = None
        """Told when the serial handler of a shared service waits for another process; for tests."""
        self.watchdog: Watchdog | None = None
        self.stragglers: dict[Activation, None] = {}
        """Tasks that were created for processes that had ended; they end with the Runtime at the latest."""
        self.deadline_stamps = True
        """Messages carry the deadline of their caller."""
        self.is_closed = False
        self.gate = threading.Lock()
        """Held by other threads while they hand something to the loop, so that nothing comes after ``close``."""
        self.stop_waiters: dict[asyncio.Future[None], Process | None] = {}
        self.started_count = 0
        self._only_link: tuple[Process, ...] = ()
        self._origin_of: contextvars.Context | None = None
        self._origin = _NO_CONTEXT
        """A copy of it, made when the last process was started from it."""
        self._dying: deque[Process] | None = None
        if current_trace() is not None:
            self._begin_tracing()  # the Runtime is entered in the middle of a trace
        bus.when_traced(self._begin_tracing)

    # ------------------------------------------------------------------------------------------- starting

    def create(
        self, behaviour: Behaviour, body: Any, parent: Process | None, context: contextvars.Context
    ) -> Process:
        """A new process that does not run yet. It starts from ``context`` as that is now."""
        serial = self.started_count
        self.started_count += 1
        if context is not self._origin_of or parent is None or parent.status & STARTING:
            # Only what a process sets while it starts changes its context, so later children may share a copy.
            self._origin_of, self._origin = context, context.copy()
            if self.scheduler.traced:
                self._origin.run(enter_trace, None)  # a trace follows messages; a process outlives it
        process = Process(self, serial, parent, behaviour, body, self._origin)
        if parent is None:
            self.root = process
        self.table[serial] = process
        if self.on_create is not None:
            self.on_create(process)
        return process

    def spawn(self, behaviour: Behaviour, body: Any, parent: Process, *, link: bool) -> Process:
        """Start a process that nobody waits for; it runs from the run queue."""
        if self.scheduler.traced and not hasattr(body, "trace"):
            body.trace = current_trace()
        process = self.create(behaviour, body, parent, parent.own_context())
        if link:
            add_link(parent, process)
        self.scheduler.schedule(process)
        return process

    def start(
        self, behaviour: Behaviour, body: Any, parent: Process, name: Name | None, *, link: bool = True
    ) -> Start:
        """Start a process and tell its starter how that went. It begins at once, in the turn of its starter."""
        process = self.create(behaviour, body, parent, parent.own_context())
        process.start = start = Start(process, process.own_context().copy())
        if name is not None:
            try:
                holder = self.names.give(name, process)
            except Exception as error:  # noqa: BLE001  (a via name whose registry is not running, say: a failed start)
                end(process, Crashed(error))
                return start
            if holder is not process:
                end(process, Exited(AlreadyStarted(holder.pid)))
                return start
        if link:
            add_link(parent, process)
        # Nothing of its starter's turn may be seen in there: neither the exception that is being handled nor the task.
        if exception() is not None or self.scheduler.choose("hand_off", 2):
            self.scheduler.schedule(process)
        else:
            process.status = STARTING | BUSY
            task = current_tasks.pop(self.loop, None)
            try:
                behaviour.start(process)
            finally:
                if task is not None:
                    current_tasks[self.loop] = task
        return start

    def started(self, process: Process) -> None:
        """The start has succeeded: the process takes messages from now on."""
        process.status &= ~STARTING
        if process.start is not None:
            process.start.forget_context(process)
            process.start.decide("up")
            process.start = None
        if self.bus.listening:
            parent = process.parent.pid.serial if process.parent else None
            self.bus.emit(
                "process.started", {}, {"pid": process.pid.serial, "parent": parent, "label": process.label}
            )

    def ignore_start(self, process: Process) -> None:
        """The process chose not to run."""
        if process.start is not None:
            process.start.ignores = True
        end(process, NORMAL)

    # ------------------------------------------------------------------------------------------- running

    def activation_over(self, activation: Activation) -> None:
        """An activation has ended and its outcome is dealt with."""
        process = activation.process
        if process.serial is activation:
            self.scheduler.settle(process)
        elif process.ending is not None:
            advance(process)

    def began_to_wait(self, activation: Activation) -> None:
        """Code of a process that has tasks waits for something that may be one of them."""
        if may_await_tasks(activation):
            refuse_closed_cycle(activation)
            if activation.process.behaviour.shared:
                tell_shared_waits_of_tasks(activation)

    def put_back(self, process: Process, message: Any) -> None:
        """Return a message to the front of the mailbox it was taken from."""
        if process.mailbox is None:
            process.mailbox = deque((message,))
        else:
            process.mailbox.appendleft(message)
        if process.status == 0:
            self.scheduler.schedule(process)

    def has_room(self, process: Process) -> bool:
        """Whether the mailbox takes one more message of users. Signals and requests to stop do not ask."""
        return process.mailbox is None or len(process.mailbox) < process.behaviour.mailbox_limit

    def send(self, process: Process, message: Any) -> None:
        """Put a user's message into a mailbox, or into the dead letters."""
        if self.scheduler.traced:
            message = carry(process, message)
        if process.status & DEAD:
            self.dead_letters.add(process.describe(), message, "dead")
        elif not self.has_room(process):
            overflow(process, message)
        else:
            self.scheduler.enqueue(process, message)

    def enqueue_or_return(self, process: Process, message: Any) -> None:
        """Put a message of ours into a mailbox; whoever waits for it hears at once if there is nobody to take it."""
        if process.status & DEAD:
            self._return(process, message, process.reason or NO_PROCESS)
        else:
            self.scheduler.enqueue(process, message)

    # ------------------------------------------------------------------------------------------- signals

    def signal(self, receiver: Process, sender: Process, reason: ExitReason) -> None:
        """Deliver an exit signal: it acts now."""
        if receiver.status & DEAD:
            return
        what = verdict(reason, traps=receiver.trap_exit, from_itself=receiver is sender)
        if what == "ignore":
            return
        if receiver.parent is None and self.on_root_signal is not None:
            self.on_root_signal(sender, reason)
        elif what == "deliver":
            self.scheduler.enqueue(receiver, ExitSignal(sender.pid, reason))
        else:
            end(receiver, reason)

    def only_link(self, process: Process) -> tuple[Process, ...]:
        """The links of one that is linked to nobody else; brothers that are started in a row share them."""
        if not self._only_link or self._only_link[0] is not process:
            self._only_link = (process,)
        return self._only_link

    # ------------------------------------------------------------------------------------------- dying

    def die(self, process: Process) -> None:
        """The last step of an end. Deaths that it causes follow one after the other, not inside each other."""
        if self._dying is not None:
            self._dying.append(process)
            return
        self._dying = dying = deque((process,))
        stops_loop: BaseException | None = None
        try:
            while dying:
                try:
                    self._die(dying.popleft())
                except Exception:
                    # Nothing of the user's comes out of there, so this is a fault of ours. The others die all the same.
                    logger.critical("mabeam: internal error; please report it", exc_info=True)
                except BaseException as error:  # noqa: BLE001  (raised below)
                    stops_loop = stops_loop or error
        finally:
            self._dying = None
        if stops_loop is not None:
            raise stops_loop

    def _die(self, process: Process) -> None:
        ending = process.ending
        if process.status & DEAD or ending is None:
            return
        reason = ending.reason
        failed_start = process.start is not None and bool(process.status & STARTING)
        process.status = DEAD
        self.table.pop(process.pid.serial, None)
        name = process.name
        try:
            self._forget(process)
            self._report_exit(process, reason)
            self._tell_links(process, reason, failed_start=failed_start)
            process.name = name  # for descriptions only; the name itself is free
            self._return_mail(process, reason)
        finally:
            self._leave(process, reason)

    def _leave(self, process: Process, reason: ExitReason) -> None:
        """Tell those who wait for the death itself, and let go of everything."""
        for timer in tuple(process.timers or ()):
            timer.cancel()
        if process.start is not None:
            process.start.decide("ignored" if process.start.ignores else "failed", reason)
        for waiter in tuple(process.on_death or ()):
            if not waiter.done():
                waiter.set_result(None)
        process.body = process.message = process.extra = process.start = None
        if process.parent is not None:
            process.parent = self.root  # who has a dead parent must not keep its parents' parents
        # Its context leads back to it; without this only the cyclic collector could free a dead process.
        process.context = None
        process.origin = _NO_CONTEXT
        # What was kept for its children.
        self._origin_of, self._origin, self._only_link = None, _NO_CONTEXT, ()
        process.registrations = process.timers = process.on_death = process.monitors = process.watchers = None
        process.activations = process.tasks = process.receivers = process.callers = None

    def _forget(self, process: Process) -> None:
        """Give up its name and its registrations, each for itself: a via name may be of somebody else's making."""
        if process.registrations is None and (process.name is None or type(process.name) is str):
            self.names.take(process)  # as a rule: no code of others is asked
            return
        forgetting = [registration.process_ended for registration in process.registrations or ()]
        for forget in (lambda _pid: self.names.take(process), *forgetting):
            try:
                forget(process.pid)
            except Exception:
                # The others must hear of the death all the same.
                logger.exception("%s has ended, and a registry failed to forget it", process.describe())

    def _tell_links(self, process: Process, reason: ExitReason, *, failed_start: bool) -> None:
        for other in linked(process):
            remove_link(process, other)
            # Whoever waits for the start gets StartFailed; a signal that ended it as well would say it twice. The root
            # traps, but a signal that reaches it is no message: it ends the program.
            is_told = other is process.parent and (not other.trap_exit or other.parent is None)
            if not (failed_start and is_told):
                self.signal(other, process, reason)
        for ref in tuple(process.monitors or ()):
            if ref.target is not None and ref.target.watchers is not None:
                ref.target.watchers.pop(ref, None)
        for ref in tuple(process.watchers or ()):
            if ref.watcher.monitors is not None:
                ref.watcher.monitors.pop(ref, None)
            down = Down(ref, process.pid, NO_PROCESS if ref.came_late else reason)
            if ref.taker is not None:
                ref.taker(down)
            elif not ref.watcher.status & DEAD:
                self.scheduler.enqueue(ref.watcher, down)

    def _return_mail(self, process: Process, reason: ExitReason) -> None:
        for caller in tuple(process.callers or ()):
            caller.callee_died(reason)
        mailbox, process.mailbox = process.mailbox, None
        leave_crowd(mailbox, process, reason)
        for message in mailbox or ():
            self._return(process, message, reason)

    def _return(self, process: Process, message: Any, reason: ExitReason) -> None:
        if isinstance(message, SystemRequest):
            message.refused(process, reason)
        elif not process.behaviour.undelivered(process, message, reason):
            self.dead_letters.add(process.describe(), message, "ended")

    # ------------------------------------------------------------------------------------------- stopping

    def close(self) -> None:
        """Take nothing more from other threads."""
        with self.gate:
            self.is_closed = True
        self.timeouts.close()
        self.bus.forget(self._begin_tracing)

    def hand_over(self, function: Callable[..., object], *args: Any) -> bool:
        """Have the loop run something, for another thread; false when the Runtime is closed, and will not."""
        with self.gate:
            if not self.is_closed:
                self.loop.call_soon_threadsafe(function, *args)
            return not self.is_closed

    def request_stop(self) -> None:
        """Wake all who wait for a request to stop."""
        self.incidents.is_stopping = True
        for waiter in tuple(self.stop_waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def wait_stopped(self, process: Process | None) -> None:
        """Wait for a request to stop, for ``process``."""
        if self.incidents.is_stopping:
            return
        waiter = self.loop.create_future()
        self.stop_waiters[waiter] = process
        try:
            await waiter
        finally:
            del self.stop_waiters[waiter]

    # ------------------------------------------------------------------------------------------- reporting

    def _begin_tracing(self) -> None:
        self.scheduler.traced = True

    def _report_exit(self, process: Process, reason: ExitReason) -> None:
        if self.on_exit is not None:
            self.on_exit(process, reason)
        if self.bus.listening:
            metadata = {"pid": process.pid.serial, "label": process.label, "reason": repr(reason)}
            self.bus.emit("process.exited", {"count": 1}, metadata)
