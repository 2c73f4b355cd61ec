"""Injecting faults: at every message, at timers, and at fault points."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol, cast, final

from mabeam.kernel import (
    SUSPENDED,
    Crashed,
    HandlerMessage,
    PlainBehaviour,
    SystemRequest,
    activate,
    here,
    kill_process,
    stop,
)
from mabeam.testing._faults import InjectedFault
from mabeam.testing._late_mail import LateMail
from mabeam.testing._trace import name_callback, name_message, short_name
from mabeam.testing._watched import never_declared, replace_function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from mabeam.kernel import Activation, Process
    from mabeam.testing._deciders import Decider
    from mabeam.testing._schedule import Fault, FaultKind

__all__ = ("Injector",)


class Notebook(Protocol):
    """Where it is written down what happens."""

    def note(self, kind: str, text: str) -> None:
        """Write something down."""
        ...

    def name(self, process: Process) -> str:
        """What a process is called there."""
        ...


@final
class Injector:
    """Asks a decider at each place where a fault is possible, and does what that says.

    A place is named so that it stays the same when other faults are left out: by the class and name of the process, what it takes,
    and which time it does.

    Args:
        decider: who decides.
        notebook: where faults are written down.

    Attributes:
        faults: what was injected, in the order of time.
    """

    def __init__(self, decider: Decider, notebook: Notebook) -> None:
        self.faults: list[Fault] = []
        self._decider = decider
        self._notebook = notebook
        self._times: Counter[str] = Counter()
        self._spared: set[Process] = set()
        self._delayed: dict[Process, Any] = {}
        self._late_mail = LateMail()

    def spares(self, process: Process) -> None:
        """No fault may hit this process."""
        self._spared.add(process)

    # ------------------------------------------------------------------------------------------- messages

    def makes_late(self, process: Process, message: Any) -> bool:
        """A message is on its way; whether it is in the mailbox now, and its receiver must not hear of it yet."""
        if not self._is_plain_target(process):
            return False
        if not self._late_mail.waits_behind(process, message):
            site = f"{self._subject(process)} gets {name_message(message)}"
            fault = self._fault("delay", site, self._time(site), process)
            if fault is None:
                return False
            self._late_mail.delay(process, message, fault.seconds)
        return self._late_mail.put(process, message)

    def arrived(self, process: Process, message: Any) -> None:
        """A message is in a mailbox; a plain process, which takes it when it likes, may be killed before that."""
        if self._is_plain_target(process):
            site = f"{self._subject(process)} is sent {name_message(message)}"
            if self._fault("kill", site, self._time(site), process) is not None:
                kill_process(process)

    def rest_of_delay(self, process: Process, message: Any) -> Awaitable[None] | None:
        """A plain process has found a message; say what it has to wait for, ``None`` for nothing."""
        seconds = self._late_mail.rest(process, message)
        return _Delay(process.kernel.loop, seconds) if seconds > 0.0 else None

    def at_receiving(self, process: Process, message: Any) -> None:
        """A plain process gets a message.

        Raises:
            InjectedFault: it is to fail.
        """
        if self._is_spared(process):
            return
        site = f"{self._subject(process)} receives {name_message(message)}"
        if (fault := self._fault("crash", site, self._time(site), process)) is not None:
            raise InjectedFault(fault)

    def intervenes(self, process: Process, message: Any) -> bool | None:
        """A server is about to take a message.

        Returns:
            ``None`` when it takes it, else what ``take`` of its behaviour is to return: something else happens.
        """
        if self._delayed.get(process) is message:
            del self._delayed[process]  # its delay is over
            return None
        fault = self._at_taking(process, message)
        if fault is None:
            return None
        if fault.kind == "delay":
            self._delay(process, message, fault.seconds)
            return False
        if fault.kind == "kill":
            # Back to the others, so that whoever waits for the answer is told of the death.
            process.kernel.put_back(process, message)
            kill_process(process)
            return True
        handler = message.handler if isinstance(message, HandlerMessage) else None
        if handler is not None and (handler.concurrent or handler.kind == "stream"):
            # These fail by themselves, and the server lives.
            message.handler = never_declared(replace_function(handler, _Failing(handler, fault)))
            return None
        self._crash(process, message, fault)
        return True

    def at_hand_off(self, process: Process, what: str) -> Awaitable[None] | None:
        """A handler runs in its caller's turn.

        Returns:
            What the server has to wait for before it does; ``None`` for nothing.

        Raises:
            InjectedFault: it is to fail.
        """
        if self._is_spared(process):
            return None
        site = f"{self._subject(process)} takes {what}"
        occurrence = self._time(site)
        if (fault := self._fault("crash", site, occurrence, process)) is not None:
            raise InjectedFault(fault)
        if self._fault("kill", site, occurrence, process) is not None:
            return _killed(process)
        fault = self._fault("delay", site, occurrence, process)
        return None if fault is None else _Delay(process.kernel.loop, fault.seconds)

    def _at_taking(self, process: Process, message: Any) -> Fault | None:
        if self._is_spared(process) or process.status & SUSPENDED or isinstance(message, SystemRequest):
            return None
        site = f"{self._subject(process)} takes {name_message(message)}"
        occurrence = self._time(site)
        kinds: tuple[FaultKind, ...] = ("crash", "kill", "delay")
        if process.behaviour.is_urgent(process, message):
            kinds = ("delay",)  # what ends it acts by itself: no code is there to crash
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
        """Crash a server as if its handler had raised."""
        is_for_handler = isinstance(message, HandlerMessage)
        if is_for_handler and hasattr(message, "caller"):
            process.kernel.put_back(process, message)  # its caller is told of the death
        process.message = message
        reason = Crashed(InjectedFault(fault))
        where = (
            message.handler.what if is_for_handler else cast("Any", process.behaviour).where(process, message)
        )
        process.kernel.incidents.crash(process, reason, short_name(where))
        stop(process, reason)

    # ------------------------------------------------------------------------------------------- timers, fault points

    def timer_set(self, callback: Any, owner: Activation | Process | None) -> float:
        """A timer is set that is to fire in the context of ``owner``; say how much later than that."""
        is_delay = callback is _wake or getattr(callback, "__self__", None) is self._late_mail
        if is_delay or owner is None or self._is_spared(owner.process):
            return 0.0
        site = f"timer {name_callback(callback)} of {self._subject(owner.process)}"
        fault = self._fault("late", site, self._time(site), owner.process)
        return 0.0 if fault is None else fault.seconds

    def passed(self, name: str) -> Awaitable[None]:
        """The running code is at a fault point.

        Raises:
            InjectedFault: it is to fail there.
        """
        owner = here.get(None)
        process = owner.process if owner is not None else None
        if process is not None and self._is_spared(process):
            return _Delay(None, 0.0)
        where = f" in {self._subject(process)}" if process is not None else ""
        site = f"fault point {name!r}{where}"
        occurrence = self._time(site)
        fault = self._fault("point", site, occurrence, process, name)
        if fault is not None:
            raise InjectedFault(fault)
        return _PointDelay(self, site, occurrence, process)

    def delay_at(self, site: str, occurrence: int, process: Process | None) -> float:
        """Code waits at a fault point; say for how long."""
        fault = self._fault("delay", site, occurrence, process)
        return 0.0 if fault is None else fault.seconds

    # ------------------------------------------------------------------------------------------- places

    def _fault(
        self, kind: FaultKind, site: str, occurrence: int, process: Process | None, point: str = ""
    ) -> Fault | None:
        fault = self._decider.fault(kind, site, occurrence, process, point)
        if fault is not None:
            self.faults.append(fault)
            self._notebook.note("fault", str(fault))
        return fault

    def _is_plain_target(self, process: Process) -> bool:
        return isinstance(process.behaviour, PlainBehaviour) and not self._is_spared(process)

    def _is_spared(self, process: Process) -> bool:
        return process.parent is None or process in self._spared

    def _time(self, site: str) -> int:
        """Which time it is that the program comes there."""
        self._times[site] += 1
        return self._times[site]

    def _subject(self, process: Process) -> str:
        """A process without its number, which other faults may change."""
        return self._notebook.name(process).rpartition(" <")[0]


class _Failing:
    """Stands for the function of a handler that is to fail."""

    __slots__ = ("_fault", "_function")

    def __init__(self, handler: Any, fault: Fault) -> None:
        self._function = handler.function
        self._fault = fault

    def __call__(self, /, *_args: Any, **_kwargs: Any) -> Any:
        if inspect.isasyncgenfunction(self._function):
            return _failing_stream(self._fault)
        return _fail(self._fault)

    @property
    def __code__(self) -> Any:
        """That of the function: it tells a call that does not fit from an error inside."""
        return self._function.__code__


async def _killed(process: Process) -> None:
    kill_process(process)
    await process.kernel.loop.create_future()


async def _fail(fault: Fault) -> None:
    raise InjectedFault(fault)


async def _failing_stream(fault: Fault) -> Any:
    raise InjectedFault(fault)
    yield


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

    __slots__ = ("_injector", "_occurrence", "_process", "_site")

    def __init__(self, injector: Injector, site: str, occurrence: int, process: Process | None) -> None:
        self._injector = injector
        self._site = site
        self._occurrence = occurrence
        self._process = process

    def __await__(self) -> Generator[Any, None, None]:
        seconds = self._injector.delay_at(self._site, self._occurrence, self._process)
        yield from _Delay(asyncio.get_running_loop(), seconds).__await__()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _nothing(_activation: Any, _value: object, _error: BaseException | None) -> None:
    """A delay is over, and the process goes on with what waits."""
