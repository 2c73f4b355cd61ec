"""Tasks that libraries create: each belongs to the process whose code created it, and ends with it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from mabeam.kernel._activation import Activation, here, steps
from mabeam.kernel._process import DEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._process import Process

__all__ = ("OwnedTaskFactory",)


class OwnedTaskFactory:
    """A task factory that gives each task created by code of a process to that process.

    Tasks created outside every process go to the factory that was there before, or become plain tasks. All Runtimes of
    one loop share one, so that each may end when it likes: the last of them takes it away.
    """

    def __init__(self, previous: Callable[..., Any] | None) -> None:
        """Made by :meth:`install`."""
        self._previous = previous
        self._make_task = previous if previous is not None else _make_plain
        self._users = 0

    @classmethod
    def install(cls, loop: asyncio.AbstractEventLoop) -> OwnedTaskFactory:
        """Have the tasks of ``loop`` made by one of these, until :meth:`remove`."""
        present: Any = loop.get_task_factory()
        factory = present if isinstance(present, cls) else cls(present)
        if factory is not present:
            loop.set_task_factory(factory)
        factory._users += 1
        return factory

    def remove(self, loop: asyncio.AbstractEventLoop) -> None:
        """One Runtime less needs it. If somebody has built another factory upon this one it stays, and only passes on."""
        self._users -= 1
        if not self._users and loop.get_task_factory() is self:
            loop.set_task_factory(self._previous)

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        """Make a task, as asyncio asks for it."""
        owner = here.get(None)
        if owner is None or owner.process.parent is None or owner.process.kernel.loop is not loop:
            return self._make_task(loop, coro, **options)
        activation = Activation(owner.process, coro, None, _leave_process)
        stepped = coro
        if options.get("context") is None:
            options["context"] = contextvars.copy_context()
            options["context"].run(here.set, activation)
        else:
            stepped = _Guest(coro, activation)
        activation.context = options["context"]
        if isinstance(owner, Activation) and owner.caller is not None:
            activation.caller, activation.within = owner.caller, owner
        driver: Any = _drive(activation, stepped)
        driver.__qualname__ = getattr(coro, "__qualname__", "task")
        options.pop("eager_start", None)  # the driver must know its task before the first step
        activation.task = task = self._make_task(loop, driver, **options)
        _enlist(owner.process, activation)
        task.add_done_callback(lambda _task: _ended(activation))
        return task


class _Guest:
    """Steps a coroutine in a context that it was given, which others may use as well: it leads to the task for each step only."""

    def __init__(self, coroutine: Any, activation: Activation) -> None:
        self._coroutine = coroutine
        self._activation = activation

    def send(self, value: Any) -> Any:
        return self._step(self._coroutine.send, value)

    def throw(self, error: BaseException) -> Any:
        return self._step(self._coroutine.throw, error)

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        token = here.set(self._activation)
        try:
            return step(value)
        finally:
            here.reset(token)


def _enlist(process: Process, activation: Activation) -> None:
    if process.status & DEAD:
        # Made by something that has outlived its process: a callback, or the clean-up of a generator that was left open.
        process.kernel.stragglers[activation] = None
        if process.kernel.is_closed or (process.ending is not None and process.ending.killed):
            activation.task.cancel()  # type: ignore[union-attr]  # it has just been made
        return
    if process.tasks is None:
        process.tasks = {}
    process.tasks[activation] = None
    if process.ending is not None and process.ending.cancels_tasks:
        activation.task.cancel()  # type: ignore[union-attr]  # as those before it


def _make_plain(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **options)


async def _drive(activation: Activation, coroutine: Any) -> Any:
    """Run a library's coroutine: its result belongs to its task, its end to the process."""
    return await steps(activation, coroutine, None, resumed=False)


def _ended(activation: Activation) -> None:
    coroutine: Any = activation.coroutine
    if coroutine is not None and not activation.started:
        coroutine.close()  # cancelled before its first step; asyncio would do the same
    activation.tell(None, None)
    # Each leads back to it, in a cycle that only the garbage collector would end.
    activation.task = activation.context = None


def _leave_process(activation: Activation, _value: object, _error: BaseException | None) -> None:
    if activation.process.tasks is not None:
        activation.process.tasks.pop(activation, None)
    activation.process.kernel.stragglers.pop(activation, None)
