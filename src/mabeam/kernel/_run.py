"""Running a whole program: an event loop, a Runtime, a main process, and an orderly stop on signals."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mabeam._base import start_thread
from mabeam.errors import InternalError, UsageError
from mabeam.kernel._activation import here
from mabeam.kernel._calls import died
from mabeam.kernel._current import current_kernel
from mabeam.kernel._ending import kill, kill_all
from mabeam.kernel._garbage import GarbageKeeper
from mabeam.kernel._operations import check_function
from mabeam.kernel._plain import Body, PlainBehaviour, label_of
from mabeam.kernel._reasons import NO_PROCESS, SHUTDOWN
from mabeam.kernel._runtime import Runtime
from mabeam.kernel._stop_signals import StopSignals
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mabeam.kernel._process import Process

__all__ = ("run", "run_in_thread", "run_program", "wait_stopped")

P = ParamSpec("P")
R = TypeVar("R")


def run(main: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run ``main`` as the first process of a new Runtime in a new event loop, and return what it returns.

    When ``main`` has ended, everything that runs is stopped, the latest first. The loop is uvloop's where it is
    installed.

    SIGINT and SIGTERM stop the program in order: ``wait_stopped()`` returns, and if ``main`` waits there it decides what
    comes next; else it is ended with ``Shutdown()``. Deadlines are kept: 5 s for ``main`` itself. The second signal kills
    everything; if a handler blocks the loop, it is raised in that handler.

    Returns:
        What ``main`` returned.

    Raises:
        BaseException: what ``main`` raised.
        ProcessDied: ``main`` was ended by a link or a signal of another process.
        KeyboardInterrupt: SIGINT ended ``main``, or a second signal everything.
        SystemExit: the same for SIGTERM; the code is 143, as the shell has it.

    Example:
        async def main() -> str:
            return "done"

        assert mabeam.run(main) == "done"
    """
    return run_program(Runtime(), main, args, kwargs)


async def wait_stopped() -> None:
    """Wait, in any process, until the program is asked to stop. See ``Runtime.wait_stopped``."""
    await current_kernel().wait_stopped(here.get().process)


def run_program(
    runtime: Runtime,
    main: Callable[..., Coroutine[Any, Any, R]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> R:
    """Run a program in a Runtime that was made for it."""
    check_function(main, "mabeam.run")
    if asyncio._get_running_loop() is not None:
        msg = (
            "mabeam.run(main) makes an event loop of its own, and one is running here already (Jupyter, FastAPI, a test). "
            "Write this instead:\n    async with mabeam.Runtime():\n        await main()"
        )
        raise UsageError(msg)
    program = _Program(runtime, Body(main, args, kwargs))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        task = loop.create_task(program.run())
        stopped_by: BaseException | None = None
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                # Raised by a handler, or by a signal in a handler that blocked the loop: the Runtime is stopped all the same,
                # however many of its processes say so on their way out. The first of them has the word.
                program.end()
                stopped_by = stopped_by or error
        program.error = stopped_by or program.error
    return program.result()  # type: ignore[no-any-return]  # the outcome of main, whose type is R


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  (optional: the kernel needs the standard library only)
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Program:
    """One run of a main function."""

    def __init__(self, runtime: Runtime, body: Body) -> None:
        self.runtime = runtime
        self.body = body
        self.body.finished = self._finished
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.signals = StopSignals(self._got_signal)
        self.process: Process | None = None

    async def run(self) -> None:
        async with self.runtime as runtime:
            loop = asyncio.get_running_loop()
            garbage = GarbageKeeper(runtime.kernel)
            with self.signals.handled_in(loop), contextlib.closing(garbage):
                kernel = runtime.kernel
                behaviour = PlainBehaviour(label_of(self.body.function))
                self.process = kernel.create(behaviour, self.body, runtime.root, runtime.root.own_context())
                if kernel.scheduler.traced:
                    self.body.trace = current_trace()  # run was called within a trace
                ended = loop.create_future()
                self.process.on_death = [ended]
                kernel.scheduler.schedule(self.process)
                await ended
                await runtime.stop()

    def result(self) -> Any:
        """What ``main`` came to, once the loop has ended."""
        if self.error is not None:
            raise self.error
        if self.signals.insisted:
            self.signals.raise_first()  # what main returned is not the whole truth: others were cut off
        if self.done:
            return self.value
        if self.signals.first is not None:
            self.signals.raise_first()
        if self.process is None:
            raise InternalError("the program ended before its main process began")
        failure = died(self.process, self.process.reason or NO_PROCESS, "main")
        raise failure from failure.__cause__

    def end(self) -> None:
        """End the program: in order, or at once if somebody insists."""
        if self.signals.insisted:
            kill_all(self.runtime.kernel)
        else:
            self._end_main()

    def _end_main(self) -> None:
        """Ask the main process to end, and give it its time."""
        process = self.process
        if process is not None:
            kernel = process.kernel
            until = process.grace_until = kernel.loop.time() + process.behaviour.shutdown
            kernel.signal(process, self.runtime.root, SHUTDOWN)
            kernel.loop.call_at(until, kill, process)

    def _finished(self, value: object, error: BaseException | None) -> None:
        self.value, self.error, self.done = value, error, True

    def _got_signal(self) -> None:
        main_waits = self.process in self.runtime.kernel.stop_waiters.values()
        self.runtime.request_stop()
        if self.signals.insisted or not main_waits:
            self.end()


@contextlib.contextmanager
def run_in_thread(options: dict[str, Any]) -> Iterator[Runtime]:
    """A Runtime in an event loop in a thread of its own, for as long as the block lasts."""
    ready = threading.Event()
    runtime = Runtime(**options)
    failure: list[BaseException] = []

    async def serve() -> None:
        async with runtime:
            ready.set()
            await runtime.wait_stopped()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001  (it is raised where the block is left)
            failure.append(error)
        finally:
            ready.set()

    thread = start_thread(f"mabeam-{runtime.id}-portal", work)
    try:
        ready.wait()
        if failure:
            raise failure[0]
        yield runtime
    finally:
        ready.wait()  # whoever was interrupted above has waited for nothing yet, and there is no loop to be told before
        if thread.is_alive() and not failure:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                runtime.kernel.loop.call_soon_threadsafe(runtime.request_stop)
        thread.join()
    if failure:
        raise failure[0]
