"""The way into a Runtime for other threads and for programs without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, final

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel._activation import here
from mabeam.kernel._calls import died
from mabeam.kernel._ending import kill
from mabeam.kernel._plain import Body, PlainBehaviour, label_of
from mabeam.kernel._reasons import NO_PROCESS
from mabeam.kernel._signals import check_function, send

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mabeam.kernel._current import Target
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._process import Process

__all__ = ("Portal", "open_portal", "portal")

P = ParamSpec("P")
R = TypeVar("R")


@final
class Portal:
    """Runs things in a Runtime for threads that are not its own, and waits for them.

    Guarantees:
        What is run is a process of that Runtime. A thread that is interrupted while it waits (Ctrl-C, a time limit)
        kills it. When the Runtime stops first, the waiting thread gets ``ProcessDied``.
    """

    def __init__(self, kernel: Kernel, parent: Process, owner: Any = None) -> None:
        """Made by ``Runtime.portal``, ``portal`` and ``open_portal``."""
        self._kernel = kernel
        self._parent = parent
        self._owner = owner

    def run(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an async function as a process and wait for its result.

        What the function starts with ``start_link`` is linked to that process and ends with it; start what is to stay
        with ``child_spec(...).start()``, or under a supervisor.

        Raises:
            ProcessDied: its process was ended, or the Runtime stopped.
            UsageError: called in the event loop's own thread, which would wait for itself.
            BaseException: whatever the function raised.
        """
        return cast("R", self._submit(function, args, kwargs).wait())

    def call(self, ref: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a server and wait for the reply: ``ref.call`` from a thread."""
        return self.run(ref.call, method, *args, **kwargs)

    def cast(self, ref: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Cast to a server: ``ref.cast`` from a thread."""
        self._hand_over(self._parent.context.copy().run, partial(ref.cast, method, *args, **kwargs))

    def send(self, target: Target, message: object, /) -> None:
        """Send a message: ``send`` from a thread. One to an unknown name becomes a dead letter."""
        self._hand_over(self._parent.context.copy().run, _send_or_bury, self._kernel, target, message)

    def _submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Pending:
        check_function(function, "portal.run")
        self._check()
        if asyncio._get_running_loop() is self._kernel.loop:
            msg = "portal.run() was called in the thread of the Runtime's own event loop, which would wait for itself; await the function instead"
            raise UsageError(msg)
        pending = _Pending(self._kernel, self._parent, function, args, kwargs)
        self._hand_over(pending.start)
        return pending

    def _hand_over(self, function: Callable[..., object], *args: Any) -> None:
        """Have the loop run something; once this returns it will, since the Runtime cannot close in between."""
        with self._kernel.gate:
            self._check()
            self._kernel.loop.call_soon_threadsafe(function, *args)

    def _check(self) -> None:
        owner = self._owner
        if owner is not None and owner.over:
            raise NoSuchProcess(owner.process.describe(), NO_PROCESS, operation="call")
        if self._kernel.is_closed or not self._parent.is_alive:
            raise NoSuchProcess(f"Runtime {self._kernel.id}", NO_PROCESS, operation="call")


class _Pending:
    """One function on its way through the event loop."""

    def __init__(
        self,
        kernel: Kernel,
        parent: Process,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.kernel = kernel
        self.parent = parent
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.body = Body(function, args, kwargs, self._finished)
        self.process: Process | None = None

    def start(self) -> None:
        """Runs in the loop's thread."""
        if not self.parent.is_alive:
            self.outcome.set_exception(died(self.parent, self.parent.reason or NO_PROCESS, "call"))
            return
        behaviour = PlainBehaviour(label_of(self.body.function))
        self.process = self.kernel.spawn(behaviour, self.body, self.parent, link=False)
        ended = self.kernel.loop.create_future()
        ended.add_done_callback(self._ended)
        self.process.on_death = [ended]

    def _finished(self, value: object, error: BaseException | None) -> None:
        if error is None:
            self.outcome.set_result(value)
        else:
            self.outcome.set_exception(error)

    def _ended(self, _future: object) -> None:
        if self.process is not None and not self.outcome.done():
            self.outcome.set_exception(died(self.process, self.process.reason or NO_PROCESS, "call"))

    def wait(self) -> Any:
        try:
            return self.outcome.result()
        except BaseException:
            if not self.outcome.done():
                # When the loop is closed nothing is left to be killed.
                with contextlib.suppress(RuntimeError):
                    self.kernel.loop.call_soon_threadsafe(self._give_up)
            raise

    def _give_up(self) -> None:
        if self.process is not None:
            kill(self.process)


def _send_or_bury(kernel: Kernel, target: Target, message: object) -> None:
    try:
        send(target, message)
    except NoSuchProcess:
        kernel.dead_letters.add(repr(target), message, "no_name")


def portal() -> Portal:
    """The way back into the Runtime from a thread of a process: in a handler with ``thread=True``, say.

    Raises:
        UsageError: the thread belongs to no process.
        NoSuchProcess: on use, when the process of the thread has ended: the thread was left behind.
    """
    owner = here.get(None)
    if owner is None:
        msg = "portal() belongs in a thread of a process; elsewhere take runtime.portal() along, or use open_portal()"
        raise UsageError(msg)
    return Portal(owner.process.kernel, owner.process, owner)


@contextlib.contextmanager
def open_portal(**options: Any) -> Iterator[Portal]:
    """Run a Runtime in a thread of its own for a program that has no event loop.

    Guarantees:
        Leaving the block stops everything that was started through the portal, then the loop, then the thread.

    Args:
        **options: those of :class:`Runtime`.

    Example:
        async def double(number: int) -> int:
            return 2 * number

        with mabeam.open_portal() as portal:
            assert portal.run(double, 21) == 42
    """
    from mabeam.kernel._run import run_in_thread  # noqa: PLC0415  (it needs this module)

    with run_in_thread(options) as runtime:
        yield runtime.portal()
