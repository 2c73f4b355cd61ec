"""One run of a health check: what goes on in its task, and in the thread of a plain one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from mabeam.kernel import in_thread, label_of, send
from mabeam.services._health_check import failure, is_async, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Pid, TimerRef
    from mabeam.services._health_state import Check
    from mabeam.services._health_values import Health

__all__ = ("CheckTask", "Done", "Run", "body_of_thread")


@final
class Run:
    """One run.

    Attributes:
        check: what is run.
        began: when.
        pid: its task.
        timer: its deadline; after that, the time when its task is killed.
        is_over: it has come to something, though its task may still be ending.
    """

    __slots__ = ("_entry", "_is_out", "began", "check", "is_over", "pid", "timer")

    def __init__(self, check: Check, began: float) -> None:
        """Nothing has begun."""
        self.check = check
        self.began = began
        self.pid: Pid | None = None
        self.timer: TimerRef | None = None
        self.is_over = False
        self._entry = threading.Lock()
        """Whoever has it first decides: the thread that enters, or the runner that lets none in any more. It is never given back."""
        self._is_out = False

    def enter(self) -> bool:
        """A thread is about to call the function. Returns whether it may."""
        return self._entry.acquire(blocking=False)

    def leave(self) -> None:
        """The thread that has entered is out of the function."""
        self._is_out = True

    def hangs(self) -> bool:
        """Let no thread enter from now on: its task has ended. Returns whether one is in the function all the same."""
        if self._entry.acquire(blocking=False):
            self._is_out = True
        return not self._is_out

    def stop_timer(self) -> None:
        """It is over in time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@final
class Done:
    """From the task: what the run has come to."""

    __slots__ = ("result", "run")

    def __init__(self, run: Run, result: Health) -> None:
        self.run = run
        self.result = result


@final
class CheckTask:
    """What the task of a run executes; in reports it is called as the check's function is."""

    def __init__(self, runner: Pid, run: Run, on_thread_end: Callable[[Run], None]) -> None:
        """For this runner. ``on_thread_end`` is called in the thread of a plain check, when it leaves the function."""
        self.__qualname__ = label_of(run.check.settings.function)
        self._runner = runner
        self._run = run
        self._on_thread_end = on_thread_end

    async def __call__(self) -> None:
        """Run the check once, and say what it has come to. What it raises is a result, and no crash."""
        run = self._run
        function: Any = run.check.settings.function
        try:
            value = (
                await function()
                if is_async(function)
                else await in_thread(body_of_thread(run, self._on_thread_end))
            )
            result = verdict(value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a check raises is its result
            # SystemExit as well: it ends the program, and what a check calls may be made for a command line (sys.exit).
            result = failure(error)
        send(self._runner, Done(run, result))


def body_of_thread(run: Run, on_end: Callable[[Run], None]) -> Callable[[], Any]:
    """What runs in the thread, and goes on there if the task is ended meanwhile: a thread cannot be interrupted."""
    function: Any = run.check.settings.function

    def body() -> Any:
        if not run.enter():
            return None  # the task has ended, and nobody waits for this
        try:
            return function()
        finally:
            run.leave()
            on_end(run)

    body.__qualname__ = label_of(function)
    return body
