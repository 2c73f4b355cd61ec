"""The check that nothing is left behind: tasks, threads, OS processes, sockets, and processes of mabeam."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from mabeam._base import OwnedThread, child_processes, open_sockets
from mabeam.errors import MabeamError
from mabeam.kernel import here
from mabeam.testing._describe import describe_task, indent, live_tasks

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterable, Iterator

    from mabeam.kernel import Kernel, Process

__all__ = ("LeakError", "Snapshot", "check_leaks")

_PATIENCE = (
    1.0  # real seconds that an ending thread is given; spent only when something is about to be reported
)


@final
class LeakError(MabeamError, AssertionError):
    """Something that was started in a block is still there at its end.

    Attributes:
        leaks: one description for each thing left behind.
    """

    def __init__(self, leaks: Iterable[str]) -> None:
        """Keep what was left behind."""
        self.leaks = tuple(leaks)
        listing = "\n".join(self.leaks).replace("\n", "\n  ")
        super().__init__(
            f"{len(self.leaks)} left behind:\n  {listing}\n"
            f"Whoever starts something owns it and ends it: stop it, close it or wait for it before the block ends."
        )


@final
class Snapshot:
    """What there is at one moment, to be compared with what there is later.

    Args:
        loop: the loop whose tasks are looked at; without one, tasks are not.
        kernel: the inside of the Runtime whose processes are looked at; without one, processes are not.
        outside: look at OS processes and sockets as well, for which the operating system has to be asked.
    """

    def __init__(
        self, *, loop: AbstractEventLoop | None = None, kernel: Kernel | None = None, outside: bool = True
    ) -> None:
        self._loop = loop
        self._kernel = kernel
        self._tasks = set() if loop is None else asyncio.all_tasks(loop)
        self._processes = set(self._live_processes())
        self._threads = set(threading.enumerate())
        self._outside = outside
        self._children = set(child_processes()) if outside else set()
        self._sockets = set(open_sockets().values()) if outside else set()

    def leaks(self, *, patience: float = _PATIENCE) -> Iterator[str]:
        """Look again.

        Args:
            patience: real seconds that each thread that is left is given to end.

        Yields:
            A description of each thing that is there now and was not then.
        """
        processes = self._live_processes()
        for process in processes:
            if process not in self._processes:
                yield f"process {process.describe()}"
        # The tasks that run for a process are a part of it, and go with it.
        owned = {activation.task for process in processes for activation in process.running()}
        for task in () if self._loop is None else live_tasks(self._loop):
            if task not in self._tasks and task not in owned:
                yield describe_task(task)
        for thread in self._new_threads():
            if not _ends_within(patience, thread):
                yield _describe_thread(thread)
        if not self._outside:
            return
        for pid, name in child_processes().items():
            if pid not in self._children:
                yield f"OS process {pid} ({name}), not waited for"
        for descriptor, name in open_sockets().items():
            if name not in self._sockets:
                yield f"socket with file descriptor {descriptor} ({name})"

    def _live_processes(self) -> tuple[Process, ...]:
        return () if self._kernel is None else tuple(self._kernel.table.values())

    def _new_threads(self) -> Iterator[Any]:
        # The default executor belongs to the loop, which ends its threads when it is closed.
        executor = getattr(self._loop, "_default_executor", None)
        owned_by_loop = getattr(executor, "_threads", ())
        for thread in threading.enumerate():
            # A dummy stands for a thread that C code made; nobody in Python started it, and it cannot be joined.
            is_dummy = type(thread).__name__ == "_DummyThread"
            if thread not in self._threads and thread not in owned_by_loop and not is_dummy:
                yield thread


@contextmanager
def check_leaks() -> Iterator[None]:
    """Fail if the block leaves behind what it started.

    Looked at are threads, OS processes (ended ones that were not waited for included) and sockets of the whole
    interpreter; when a loop is running, its asyncio tasks; inside a Runtime, its processes. Nothing is said of what was
    there before the block.

    Guarantees:
        A block that raises is not checked: its own error is the news. A thread that is about to end is waited for, a
        second at most. Nothing is ended or closed.

    Yields:
        Nothing.

    Raises:
        LeakError: something was left behind; says what, where it waits, and, for threads of mabeam and for tasks in debug
            mode, where it was created.

    Example:
        >>> with check_leaks():
        ...     asyncio.run(asyncio.wait_for(asyncio.to_thread(int), timeout=60))
        0
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    owner = here.get(None)
    before = Snapshot(loop=loop, kernel=None if owner is None else owner.process.kernel)
    yield
    leaks = tuple(before.leaks())
    if leaks:
        raise LeakError(leaks)


def _ends_within(seconds: float, thread: Any) -> bool:
    if thread is not threading.current_thread():
        thread.join(seconds)
    ended: bool = not thread.is_alive()
    return ended


def _describe_thread(thread: Any) -> str:
    daemon = "daemon " if thread.daemon else ""
    lines = [f"{daemon}thread {thread.name!r}"]
    if isinstance(thread, OwnedThread):
        lines += ["  started at", *indent(thread.started_at)]
    return "\n".join(lines)
