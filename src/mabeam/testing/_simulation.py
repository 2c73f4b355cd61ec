"""One simulated run: makes the choices, injects the faults, and writes down what happens."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any, final

from mabeam.kernel import (
    SUSPENDED,
    Crashed,
    Down,
    SystemRequest,
    activate,
    here,
    kill_process,
    stop,
)
from mabeam.testing._faults import InjectedFault
from mabeam.testing._mutations import Mutations
from mabeam.testing._schedule import Schedule
from mabeam.testing._trace import Trace, name_callback, name_message, name_process, name_reason, short_name
from mabeam.testing._watched import replace_function, watched

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from mabeam.kernel import Behaviour, Pid, Process
    from mabeam.testing._deciders import Decider
    from mabeam.testing._schedule import Fault, FaultKind

__all__ = ("Simulation",)


@final
class Simulation:
    """What happens in one run that is not the program's own doing, and the record of it all.

    Args:
        decider: who makes the choices.
        watches: whether it keeps a trace and can inject faults; without, it only makes choices, which costs little.
        injects: whether there can be any faults.
        checks_mutation: whether messages are looked at again after they were sent.

    Attributes:
        trace: what has happened.
        faults: what was injected, in the order of time.
        mutations: the check of messages, if there is one.
        steps: events and turns of the event loop so far.
        watches: as given.
    """

    def __init__(
        self, decider: Decider, *, watches: bool = True, injects: bool = True, checks_mutation: bool = False
    ) -> None:
        self.trace = Trace()
        self.faults: list[Fault] = []
        self.mutations = Mutations() if checks_mutation and watches else None
        self.steps = 0
        self.watches = watches
        self._injects = injects and watches
        self._decider = decider
        self._loop: asyncio.AbstractEventLoop | None = None
        self._chosen = 0
        self._choices: dict[int, int] = {}
        self._passed: Counter[str] = Counter()
        self._exempt: set[Process] = set()
        self._behaviours: dict[Behaviour, Behaviour] = {}
        self._delayed: dict[Process, Any] = {}
        self._names: dict[Process, str] = {}
        self._caller: Process | None = None

    # ------------------------------------------------------------------------------------------- choices

    def choose(self, kind: str, count: int) -> int:
        """Make a free choice; what ``Chooser`` asks for."""
        number = self._chosen
        self._chosen += 1
        value = self._decider.choose(number, count)
        if value:
            self._choices[number] = value
        return value

    @property
    def choice_count(self) -> int:
        """How many choices there were, the ordinary ones included."""
        return self._chosen

    def schedule(self) -> Schedule:
        """What has to be repeated to repeat the run."""
        return Schedule.of(self._choices.items(), self.faults)

    # ------------------------------------------------------------------------------------------- what happens

    def begins_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """The run has this event loop."""
        self._loop = loop

    def spares(self, process: Process) -> None:
        """No fault may hit this process."""
        self._exempt.add(process)

    def note(self, kind: str, text: str) -> None:
        """Write something into the trace."""
        self.steps += 1
        if self.watches and self._loop is not None:
            self.trace.add(self._loop.time(), kind, text)

    def note_choice(self, value: int, count: int, text: str) -> None:
        """Write a choice into the trace; 0 is the ordinary one."""
        if self.watches and self._loop is not None:
            self.trace.add(self._loop.time(), "choose", f"{text} ({value} of {count})", unusual=value != 0)

    def name(self, process: Process) -> str:
        """What a process is called in the trace: also in the moment of its death, when its name is free again."""
        if isinstance(process.name, str):
            self._names[process] = process.name
        return name_process(process, self._names.get(process))

    def created(self, process: Process) -> None:
        """A process was made that does not run yet."""
        parent = process.parent
        self.note("start", self.name(process) + (f", by {self.name(parent)}" if parent is not None else ""))
        process.behaviour = self.watch(process.behaviour)
        process.registrations = {self: None}

    def process_ended(self, pid: Pid) -> None:
        """A process ends: every process is registered here."""
        process = pid._process
        if process is not None:
            reason = process.ending.reason if process.ending is not None else None
            self.note("exit", f"{self.name(process)}: {name_reason(reason)}")

    def watch(self, behaviour: Behaviour) -> Behaviour:
        """What processes of this kind have for a behaviour in this run."""
        copy = self._behaviours.get(behaviour)
        if copy is None:
            copy = self._behaviours[behaviour] = watched(behaviour, self)
        return copy

    def sent(self, process: Process, message: Any) -> None:
        """A message is put into a mailbox."""
        sender = self.name_here()
        what = name_message(message)
        self.note("send", f"{what} to {self.name(process)} from {sender}")
        if self.mutations is not None:
            self.mutations.sent(message, sender)

    def arrived(self, process: Process, message: Any) -> None:
        """A message is in a mailbox; a plain process, which takes it when it likes, may be killed before that."""
        if self._injects and not hasattr(process.behaviour, "handlers") and not self._is_spared(process):
            site = f"{self._subject(process)} is sent {name_message(message)}"
            if self._fault("kill", site, self._count(site), process) is not None:
                kill_process(process)

    def hands_off(self) -> None:
        """The running code calls a server that answers at once."""
        owner = here.get(None)
        self._caller = owner.process if owner is not None else None

    # ------------------------------------------------------------------------------------------- taking messages

    def take(self, process: Process, message: Any, proceed: Callable[[Process, Any], bool]) -> bool:
        """A server takes a message."""
        what = name_message(message)
        if self._delayed.get(process) is message:
            del self._delayed[process]
        elif self._injects and (fault := self._fault_at(process, message, what)) is not None:
            if fault.kind == "kill":
                # Back to the others, so that whoever waits for the answer is told of the death.
                process.kernel.put_back(process, message)
                kill_process(process)
                return True
            if fault.kind == "delay":
                self._delay(process, message, fault.seconds)
                return False
            if not hasattr(message, "handler"):
                self._crash(process, message, fault)
                return True
            message.handler = replace_function(message.handler, _Failing(message.handler, fault))
        self.note("take", f"{what} by {self.name(process)}")
        handled = self.mutations.taken(process, message) if self.mutations is not None else None
        done = proceed(process, message)
        if handled is not None:
            for activation in tuple(process.activations or ()):
                if activation.message is message:
                    activation.done = _AndThen(activation.done, handled)
                    return done
            handled()
        return done

    def received(self, process: Process, message: Any) -> None:
        """A plain process has got a message."""
        self.note("take", f"{name_message(message)} by {self.name(process)}")
        if self.mutations is not None:
            self.mutations.taken(process, message)

    def call_handler(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A plain handler is about to run."""
        process = here.get().process
        handled = None
        if type(process.message) is type(handler):  # a call that runs at once, without a message
            caller, self._caller = self._caller, None
            sender = self.name(caller) if caller is not None else "outside"
            what = short_name(handler.what)
            self.note("call", f"{what} of {self.name(process)} by {sender}, at once")
            if self._injects and not self._is_spared(process):
                site = f"{self._subject(process)} takes {what}"
                fault = self._fault("crash", site, self._count(site), process)
                if fault is not None:
                    raise InjectedFault(fault)
            if self.mutations is not None:
                handled = self.mutations.handed_over(process, sender, handler, args[1:], kwargs)
        if self.mutations is None:
            return handler.function(*args, **kwargs)
        self.mutations.before_handler(process)
        value = handler.function(*args, **kwargs)
        self.mutations.after_handler(process, handler, value)
        if handled is not None:
            handled()
        return value

    # ------------------------------------------------------------------------------------------- timers, fault points

    def timer_set(self, callback: Any) -> float:
        """A timer is set; say how much later than that it is to fire."""
        owner = here.get(None)
        if not self._injects or owner is None or self._is_spared(owner.process):
            return 0.0
        site = f"timer {name_callback(callback)} of {self._subject(owner.process)}"
        fault = self._fault("late", site, self._count(site), owner.process)
        return 0.0 if fault is None else fault.seconds

    def timer_fires(self, callback: Any) -> None:
        """A timer is due."""
        self.note("timer", f"{name_callback(callback)} of {self.name_here()}")

    def passed(self, name: str) -> Awaitable[None]:
        """The running code is at a fault point."""
        owner = here.get(None)
        process = owner.process if owner is not None else None
        if not self._injects or (process is not None and self._is_spared(process)):
            return _Delay(None, 0.0)
        where = f" in {self._subject(process)}" if process is not None else ""
        site = f"fault point {name!r}{where}"
        occurrence = self._count(site)
        fault = self._fault("point", site, occurrence, process, name)
        if fault is not None:
            raise InjectedFault(fault)
        return _PointDelay(self, site, occurrence, process)

    def delay_at(self, site: str, occurrence: int, process: Process | None) -> float:
        """Code waits at a fault point; say for how long."""
        fault = self._fault("delay", site, occurrence, process)
        return 0.0 if fault is None else fault.seconds

    # ------------------------------------------------------------------------------------------- faults

    def _fault(
        self, kind: FaultKind, site: str, occurrence: int, process: Process | None, point: str = ""
    ) -> Fault | None:
        fault = self._decider.fault(kind, site, occurrence, process, point)
        if fault is not None:
            self.faults.append(fault)
            self.note("fault", str(fault))
        return fault

    def _fault_at(self, process: Process, message: Any, what: str) -> Fault | None:
        """The fault at a server's taking of a message, if there is one."""
        if self._is_spared(process) or process.status & SUSPENDED or isinstance(message, SystemRequest):
            return None
        site = f"{self._subject(process)} takes {what}"
        occurrence = self._count(site)
        if process.behaviour.may_drop(message) or isinstance(message, Down):
            kinds: tuple[FaultKind, ...] = ("crash", "kill", "delay")
        else:
            kinds = ("delay",)  # signals act by themselves: no code of the server is there to crash
        for kind in kinds:
            if (fault := self._fault(kind, site, occurrence, process)) is not None:
                return fault
        return None

    def _delay(self, process: Process, message: Any, seconds: float) -> None:
        """Have the message taken later; all that come after it wait behind it, so the order is kept."""
        process.kernel.put_back(process, message)
        self._delayed[process] = message

        async def late() -> None:
            await _Delay(process.kernel.loop, seconds)

        activate(process, late(), None, _nothing, serial=True)

    def _crash(self, process: Process, message: Any, fault: Fault) -> None:
        """Crash a server as if its ``handle_info`` had raised."""
        process.message = message
        reason = Crashed(InjectedFault(fault))
        process.kernel.report_crash(process, reason, f"{process.label}.handle_info")
        stop(process, reason)

    def _is_spared(self, process: Process) -> bool:
        return process.parent is None or process in self._exempt

    def _count(self, site: str) -> int:
        self._passed[site] += 1
        return self._passed[site]

    def _subject(self, process: Process) -> str:
        """A process in the name of a place: without its number, which other faults may change."""
        return self.name(process).rpartition(" <")[0]

    def name_here(self) -> str:
        """What the process is called whose code runs."""
        owner = here.get(None)
        return self.name(owner.process) if owner is not None else "outside"


class _Failing:
    """Stands for the function of a handler that is to fail."""

    __slots__ = ("_fault", "_function")

    def __init__(self, handler: Any, fault: Fault) -> None:
        self._function = handler.function
        self._fault = fault

    def __call__(self, /, *_args: Any, **_kwargs: Any) -> Any:
        if inspect.isasyncgenfunction(self._function):
            return _failing_stream(self._fault)
        if inspect.iscoroutinefunction(self._function):
            return _fail(self._fault)
        raise InjectedFault(self._fault)

    @property
    def __code__(self) -> Any:
        return self._function.__code__


async def _fail(fault: Fault) -> None:
    raise InjectedFault(fault)


async def _failing_stream(fault: Fault) -> Any:
    raise InjectedFault(fault)
    yield


class _AndThen:
    """What an activation calls at its end, and then the comparison."""

    __slots__ = ("_done", "_then")

    def __init__(self, done: Any, then: Callable[[], None]) -> None:
        self._done = done
        self._then = then

    def __call__(self, activation: Any, value: object, error: BaseException | None) -> None:
        self._then()
        self._done(activation, value, error)


class _Delay:
    """Awaited, it waits for some virtual time."""

    __slots__ = ("_loop", "_seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop | None, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds

    def __await__(self) -> Generator[Any, None, None]:
        if self._loop is not None and self._seconds > 0.0:
            over: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_later(self._seconds, _wake, over)
            yield from over


class _PointDelay:
    """Awaited at a fault point, it asks how long to wait."""

    __slots__ = ("_occurrence", "_process", "_simulation", "_site")

    def __init__(self, simulation: Simulation, site: str, occurrence: int, process: Process | None) -> None:
        self._simulation = simulation
        self._site = site
        self._occurrence = occurrence
        self._process = process

    def __await__(self) -> Generator[Any, None, None]:
        seconds = self._simulation.delay_at(self._site, self._occurrence, self._process)
        yield from _Delay(asyncio.get_running_loop(), seconds).__await__()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _nothing(_activation: Any, _value: object, _error: BaseException | None) -> None:
    """A delay is over, and the process goes on with what waits."""
