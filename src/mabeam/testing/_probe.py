"""A process that records what it gets: the other side of whatever is under test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from mabeam.kernel import (
    ExitSignal,
    Shutdown,
    current_kernel,
    demonitor,
    find,
    kill,
    link,
    monitor,
    receive,
    self_pid,
    send,
    spawn,
    trap_exit,
    unlink,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Match, MonitorRef, Pid, Process, Target

__all__ = ("Probe",)

P = ParamSpec("P")
R = TypeVar("R")


@final
class Probe:
    """A plain process that keeps every message it gets, and gives them out one by one.

    It traps exits, so the end of what it is linked to is a message like any other. Only ``Shutdown`` from the process that
    started it ends it, as it would end a server. Made by :meth:`start`.

    Guarantees:
        Messages are recorded in the order of arrival. Each is given out once, by :meth:`next` or :meth:`wait_for`; all
        stay in :attr:`messages`.

    Attributes:
        pid: the process.

    Example:
        >>> from mabeam.kernel import Runtime
        >>> def greet(guest: object) -> None:
        ...     send(guest, "welcome")
        >>> async def main() -> str:
        ...     async with Runtime():
        ...         probe = Probe.start()
        ...         spawn(greet, probe.pid)
        ...         return await probe.next()
        >>> asyncio.run(main())
        'welcome'
    """

    def __init__(self, name: str) -> None:
        """Use :meth:`start`."""
        self._name = name
        self._recorded: list[Any] = []
        self._open: list[Any] = []
        self._waiting: list[tuple[Callable[[Any], bool], asyncio.Future[Any]]] = []
        self._parent = self_pid()
        self.pid: Pid = spawn(self._record)
        process = find(current_kernel(), self.pid)
        assert process is not None
        self._process: Process = process
        self._act(trap_exit, True)

    @classmethod
    def start(cls, name: str = "probe") -> Probe:
        """Start a probe.

        Args:
            name: what it is called in error messages.

        Returns:
            The probe; it is there at once, and can be sent to.

        Raises:
            UsageError: called outside of any Runtime.
        """
        return cls(name)

    @property
    def messages(self) -> tuple[Any, ...]:
        """Everything that it got, in the order of arrival, given out or not."""
        return tuple(self._recorded)

    @property
    def pending(self) -> tuple[Any, ...]:
        """What it got and has not given out."""
        return tuple(self._open)

    async def next(self, *, timeout: float = 5.0) -> Any:
        """Give out the oldest message, waiting for one if need be.

        Guarantees:
            On cancellation no message is lost.

        Args:
            timeout: longest wait in seconds, virtual ones on a virtual loop.

        Returns:
            The message.

        Raises:
            TimeoutError: none came.
        """
        return await self._take(lambda _: True, "a message", timeout)

    async def wait_for(self, match: Match, /, *, timeout: float = 5.0) -> Any:
        """Give out the oldest message that matches; the others stay, in their order.

        Guarantees:
            On cancellation no message is lost.

        Args:
            match: a class, a tuple of classes, or a predicate.
            timeout: longest wait in seconds, virtual ones on a virtual loop.

        Returns:
            The message.

        Raises:
            TimeoutError: none came; says what came instead.
        """
        if isinstance(match, type | tuple):
            classes = match
            return await self._take(
                lambda message: isinstance(message, classes), f"one of {match!r}", timeout
            )
        return await self._take(match, f"one that {match!r} accepts", timeout)

    def watch(self, target: Target, /) -> MonitorRef:
        """Monitor a process: its end is recorded as ``Down``."""
        return self._act(monitor, target)

    def unwatch(self, ref: MonitorRef, /) -> None:
        """End a monitor of this probe."""
        self._act(demonitor, ref)

    def link(self, target: Target, /) -> None:
        """Link with a process: its end is recorded as ``ExitSignal``, and the end of the probe is a signal to it."""
        self._act(link, target)

    def unlink(self, target: Target, /) -> None:
        """Cut the link to a process."""
        self._act(unlink, target)

    def send(self, target: Target, message: object, /) -> None:
        """Send a message from the probe, in order with its other signals."""
        self._act(send, target, message)

    def kill(self) -> None:
        """End the probe: those linked to it get ``Killed()``."""
        kill(self.pid)

    def __repr__(self) -> str:
        state = "" if self.pid.is_alive else " dead"
        return f"<Probe {self._name!r}{state} got {len(self._recorded)}, {len(self._open)} not given out>"

    async def _record(self) -> None:
        while True:
            message = await receive()
            self._recorded.append(message)
            if (
                isinstance(message, ExitSignal)
                and message.pid == self._parent
                and isinstance(message.reason, Shutdown)
            ):
                return
            for waiter in self._waiting:
                match, future = waiter
                if match(message) and not future.done():
                    future.set_result(message)
                    self._waiting.remove(waiter)
                    break
            else:
                self._open.append(message)

    async def _take(self, match: Callable[[Any], bool], expected: str, timeout: float) -> Any:
        for index, message in enumerate(self._open):
            if match(message):
                del self._open[index]
                return message
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiter = (match, future)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            got = ", ".join(map(repr, self._open)) or "nothing"
            raise TimeoutError(f"{self!r} expected {expected} within {timeout:g} s; it has {got}.") from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._open.insert(0, future.result())
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _act(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something of the kernel as the probe: it looks up who it acts for in the context."""
        return self._process.own_context().copy().run(function, *args, **kwargs)
