"""Plain processes: one function from beginning to end, with ``receive`` in it."""

from __future__ import annotations

import inspect
from copy import copy
from typing import TYPE_CHECKING, Any

from mabeam.kernel._activation import activate
from mabeam.kernel._behaviour import Behaviour, Step
from mabeam.kernel._ending import advance, crash_reason, end
from mabeam.kernel._process import BUSY
from mabeam.kernel._reasons import NORMAL, Crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel._activation import Activation
    from mabeam.kernel._behaviour import Observer
    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason
    from mabeam.kernel._system import SystemRequest
    from mabeam.telemetry import TraceContext

__all__ = ("Body", "PlainBehaviour", "RootBehaviour", "label_of")


class Body:
    """What a plain process runs, and what came of it."""

    __slots__ = ("args", "finished", "function", "kwargs", "trace")

    trace: TraceContext | None
    """Where it was spawned from; set only when somebody traces."""

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        finished: Callable[[object, BaseException | None], None] | None = None,
    ) -> None:
        """A function with its arguments, and who wants to know the outcome."""
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.finished = finished


def label_of(function: object) -> str:
    """What a process that runs ``function`` is called in reports."""
    return getattr(function, "__qualname__", None) or type(function).__qualname__


class PlainBehaviour(Behaviour):
    """Runs ``process.body``: the process ends with its function."""

    __slots__ = ()

    answers_at_once = True

    def start(self, process: Process) -> None:
        """Run the function: a plain one to its end, an async one in an activation that lasts as long as the process."""
        process.kernel.started(process)
        body: Body = process.body
        try:
            result = process.own_context().copy().run(body.function, *body.args, **body.kwargs)
        except BaseException as error:
            self._finished(process, body, None, error)
            process.status &= ~BUSY
            advance(process)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
            return
        if inspect.iscoroutine(result):
            process.kernel.scheduler.woken += 1
            activate(process, result, None, self._body_over, serial=True)
            return
        self._finished(process, body, result, None)
        process.status &= ~BUSY
        advance(process)

    def take(self, process: Process, message: Any) -> bool:
        """Never called: a plain process is busy for all its life and takes its messages itself."""
        raise NotImplementedError

    def with_observers(self, observers: tuple[Observer, ...]) -> Behaviour:
        """A behaviour of its own: children of one spec share theirs."""
        own = copy(self)
        own.observers = observers
        return own

    def ask(self, process: Process, request: SystemRequest[Any]) -> None:
        """Take a system request now: its code takes its messages itself, whenever it likes."""
        request.run(process)

    def terminate(self, process: Process, reason: ExitReason) -> Step:
        """There is nothing to run: a plain process cleans up in its own ``finally``."""
        return None

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        """Nobody waits for what was sent to a plain process."""
        return False

    def _body_over(self, activation: Activation, value: object, error: BaseException | None) -> None:
        self._finished(activation.process, activation.process.body, value, error)

    def _finished(self, process: Process, body: Body, value: object, error: BaseException | None) -> None:
        if process.ending is not None:
            return
        if body.finished is not None:
            body.finished(value, error)
        reason = NORMAL if error is None else crash_reason(error)
        if isinstance(reason, Crashed) and body.finished is None:
            process.kernel.incidents.crash(process, reason, self.label)
        end(process, reason)


class RootBehaviour(PlainBehaviour):
    """The root of a Runtime: it runs nothing of its own and traps exits."""

    __slots__ = ()
