"""A process that records what it gets: the other side of whatever is under test."""

from __future__ import annotations

import asyncio
from bisect import insort
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from mabeam.kernel import (
    ExitSignal,
    Shutdown,
    current_kernel,
    demonitor,
    find,
    kill,
    link,
    matcher,
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
        self._open: list[tuple[int, Any]] = []
        """What was not given out, each with its place in the order of arrival."""
        self._waiting: list[tuple[Callable[[Any], bool], asyncio.Future[tuple[int, Any]]]] = []
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
        return tuple(message for _, message in self._open)

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
            UsageError: ``match`` is none of these.
            Exception: what ``match`` raises.
        """
        return await self._take(matcher(match, "wait_for"), f"a message that fits {match!r}", timeout)

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
            self._give_out(len(self._recorded), message)

    def _give_out(self, place: int, message: Any) -> None:
        """Give a message to the first who waits for such a one, or keep it where it came."""
        for match, future in self._waiting:
            if not future.done() and _accepts(match, message, future) and not future.done():
                future.set_result((place, message))
                return
        insort(self._open, (place, message), key=itemgetter(0))

    async def _take(self, match: Callable[[Any], bool], expected: str, timeout: float) -> Any:
        for index, (_, message) in enumerate(self._open):
            if match(message):
                del self._open[index]
                return message
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, Any]] = loop.create_future()
        waiter = (match, future)
        self._waiting.append(waiter)
        # Not asyncio.timeout: its cancellation may come when the message is there already, and one of both would be lost.
        timer = loop.call_later(timeout, _expire, future)
        try:
            _, message = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._waiting.remove(waiter)
                self._give_out(*future.result())
            raise
        except _Expired:
            got = ", ".join(map(repr, self.pending)) or "nothing"
            raise TimeoutError(f"{self!r} expected {expected} within {timeout:g} s; it has {got}.") from None
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return message

    def _act(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something of the kernel as the probe: it looks up who it acts for in the context."""
        return self._process.own_context().copy().run(function, *args, **kwargs)


class _Expired(Exception):
    """Nothing has come in time."""


def _expire(future: asyncio.Future[tuple[int, Any]]) -> None:
    if not future.done():
        future.set_exception(_Expired())


def _accepts(match: Callable[[Any], bool], message: Any, future: asyncio.Future[tuple[int, Any]]) -> bool:
    """Ask ``match``. What it raises is for whoever waits: the probe goes on."""
    try:
        return bool(match(message))
    except BaseException as error:  # noqa: BLE001  (code of the test: it is the test's error, whatever it is)
        if isinstance(error, StopIteration):  # a future refuses it
            error = RuntimeError(f"{match!r} raised {error!r}")
        if not future.done():
            future.set_exception(error)
        return False
