"""One test's event loop and Runtime, and everything that must hold when they end."""

from __future__ import annotations

import asyncio
import gc
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, final

from mabeam._base import fault_listener
from mabeam.errors import MabeamError
from mabeam.kernel import Runtime
from mabeam.telemetry import Bus
from mabeam.testing._describe import said_by
from mabeam.testing._idle import turn
from mabeam.testing._leaks import LeakError, Snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mabeam._base import FaultListener
    from mabeam.kernel import Process

__all__ = ("LoopSession", "UnhandledError", "problem_of_loop", "problem_of_shared_wait")

T = TypeVar("T")

_TURNS_TO_CLOSE = (
    10  # loop turns that transports and handles closed at the end of a test may take to be really gone
)


@final
class UnhandledError(MabeamError, AssertionError):
    """Something went wrong in a test that the test itself did not see.

    Attributes:
        problems: what the event loop's exception handler was told, events that differ from the telemetry catalogue, and
            handlers of shared services that waited for others.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Keep what went wrong."""
        self.problems = tuple(problems)
        super().__init__("the test passed, but:\n" + "\n".join(self.problems))


@final
class LoopSession:
    """A loop on which one test runs inside a Runtime.

    The Runtime is entered by the very task that later runs the test, because the entering task acts for the root process.
    It can be entered earlier than the test runs, so that fixtures can have it: the loop stands still in between.

    Guarantees:
        After :meth:`close` nothing of the session is left: no task, no executor thread, no loop.

    Args:
        loop_factory: makes the loop.
        listener: told of the fault points that the test passes.
        looks_outside: whether OS processes and sockets are looked for that are left behind.

    Attributes:
        loop: the loop.
    """

    def __init__(
        self,
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
        listener: FaultListener | None = None,
        *,
        looks_outside: bool = True,
    ) -> None:
        self._listener = listener
        self._looks_outside = looks_outside
        self._before = Snapshot(outside=looks_outside)
        self._runner = asyncio.Runner(loop_factory=loop_factory)
        self.loop = self._runner.get_loop()
        self.loop.set_exception_handler(self._note)
        with suppress(AttributeError):  # uvloop's have no room for it
            setattr(self.loop, "shared_service_waits", self._note_shared_wait)  # noqa: B010  (no loop declares it)
        self._bus = Bus(strict=True)
        self._problems: list[str] = []
        self._body: asyncio.Future[Callable[[], Awaitable[Any]]] | None = None
        self._main: asyncio.Future[Any] | None = None
        self._runtime: Runtime | None = None
        self._failed = False
        self._closed = False

    def runtime(self) -> Runtime:
        """Enter the Runtime, unless that is done, and return it."""
        if self._runtime is None:
            self._body = self.loop.create_future()
            ready: asyncio.Future[Runtime] = self.loop.create_future()
            self._main = self.loop.create_task(self._run_main(ready, self._body), name="test")
            # Not only for `ready`: a Runtime that cannot start ends the main task instead.
            self.loop.run_until_complete(
                asyncio.wait((ready, self._main), return_when=asyncio.FIRST_COMPLETED)
            )
            if self._main.done():
                self._main.result()
            self._runtime = ready.result()
        return self._runtime

    def run(self, body: Callable[[], Awaitable[T]]) -> T:
        """Run the test inside the Runtime, and leave that.

        Raises:
            BaseException: what the test raised.
            LeakError: the test passed and left something behind.
        """
        __tracebackhide__ = True
        self.runtime()
        assert self._body is not None
        assert self._main is not None
        self._body.set_result(body)
        self._failed = True
        result: T = self.loop.run_until_complete(self._main)
        self._failed = False
        return result

    def close(self) -> None:
        """End the loop and all that is on it, and say what is wrong. Closing again does nothing.

        Raises:
            LeakError: something is left that should have gone with the loop.
            UnhandledError: something was reported to the loop's exception handler, or a strict bus found an event that
                is not in the catalogue.
        """
        if self._closed:
            return
        self._closed = True
        if self._body is not None:
            self._body.cancel()  # nobody came to run a test; the main task leaves the Runtime
        self._runner.close()
        self._main = self._body = self._runtime = None
        # Young objects only, which is quick: a task that died with an unread exception says so when it is collected.
        gc.collect(1)
        # Of a test that failed nothing is said: what it left behind follows from that, or has been said already.
        leaks = () if self._failed else tuple(self._before.leaks())
        if leaks:
            raise LeakError(leaks)
        if problems := [*self._problems, *self._bus.problems]:
            raise UnhandledError(problems)

    async def _run_main(
        self, ready: asyncio.Future[Runtime], body: asyncio.Future[Callable[[], Awaitable[Any]]]
    ) -> Any:
        __tracebackhide__ = True
        fault_listener.set(self._listener)
        async with Runtime(bus=self._bus) as runtime:
            ready.set_result(runtime)
            function = await body
            # Not before the Runtime: between then and now the loop may have stood still, and uvloop's own sockets change then.
            before = Snapshot(loop=self.loop, outside=self._looks_outside)
            result = await function()
        for _ in range(_TURNS_TO_CLOSE):
            if not any(before.leaks(patience=0.0)):
                return result
            await turn()
        leaks = tuple(before.leaks())
        if leaks:
            raise LeakError(leaks)
        return result

    def _note_shared_wait(self, service: Process, callee: Process, what: str) -> None:
        problem = problem_of_shared_wait(service, callee, what)
        if problem not in self._problems:  # a handler may wait for the same task again and again
            self._problems.append(problem)

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._problems.append(problem_of_loop(context))


def problem_of_loop(context: dict[str, Any]) -> str:
    """What an event loop tells its exception handler, in words."""
    lines = [str(context.get("message", "unhandled error in the event loop"))]
    lines += [
        f"  {key}: {said_by(repr, value)}"
        for key, value in context.items()
        if key not in {"message", "exception"}
    ]
    if (error := context.get("exception")) is not None:
        lines += traceback.format_exception(error)
    return "\n".join(lines)


def problem_of_shared_wait(service: Process, callee: Process, what: str) -> str:
    """What is wrong with a shared service that waits for others."""
    return (
        f"{service.describe()} is a shared service (shared=True), and one of its handlers waited for {callee.describe()} "
        f"{what}: while it waits, all who use the service wait too. Let the caller do it, or a task that "
        "answers the caller itself; a handler with concurrent=N may wait."
    )
