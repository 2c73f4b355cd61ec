"""Running coroutines for a process: inside real asyncio tasks, but stepped by a driver of ours.

Every asyncio library works in a handler because a real ``asyncio.Task`` surrounds it. The driver sits between the
task and the user's coroutine, and gives the kernel what a task cannot: a coroutine that swallows its cancellation can
be left behind for good (*frozen*), and a task that a library creates belongs to the process that ran the library.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from mabeam._base import Log, Position, await_chain
from mabeam.kernel._frozen import keep_for_ever
from mabeam.kernel._messages import HandlerMessage
from mabeam.kernel._reports import leave_out_frame

if TYPE_CHECKING:
    from mabeam.kernel._calls import Caller
    from mabeam.kernel._process import Process
    from mabeam.kernel._steps import Steps
    from mabeam.kernel._waits import AnyWait

logger = Log("mabeam")

__all__ = (
    "Activation",
    "activate",
    "activate_trusted",
    "freeze_or_finish",
    "here",
    "steps",
)

Done = Callable[["Activation", object, BaseException | None], None]
"""Called once when an activation is over: with its value, or with what it raised."""

here: contextvars.ContextVar[Process | Activation] = contextvars.ContextVar("mabeam.here")
"""Which process the running code belongs to."""


class Activation:
    """One coroutine that runs for a process: a handler, the body of a plain process, a task that a library created.

    Attributes:
        process: the process it runs for.
        message: the message it works on, if any.
        waits_on: the future that it waits for at the moment.
        waits_for: what it waits for of another process.
        in_line: it waits for nothing but its step.
        caller: who waits for what it does, if that was given a deadline.
        within: the activation that made it, for tasks that a handler makes.
        over: it was ended from outside and must never be stepped again.
        frozen: it was left behind because it did not end when it was cancelled.
    """

    __slots__ = (
        "caller",
        "context",
        "coroutine",
        "done",
        "frozen",
        "in_line",
        "in_thread",
        "message",
        "over",
        "process",
        "started",
        "task",
        "waits_for",
        "waits_on",
        "within",
    )

    def __init__(
        self, process: Process, coroutine: Coroutine[Any, Any, object] | None, message: Any, done: Done
    ) -> None:
        """Made by ``activate`` and its neighbours only."""
        self.process = process
        self.coroutine = coroutine
        self.message = message
        self.done = done
        self.task: asyncio.Task[Any] | None = None
        self.context: contextvars.Context | None = None
        self.waits_on: Any = None
        self.waits_for: AnyWait | None = None
        self.in_line = False
        self.caller: Caller[Any] | None = None
        self.within: Activation | None = None
        self.started = False
        self.over = False
        self.frozen = False
        self.in_thread = False

    @property
    def deadline(self) -> float | None:
        """When its caller stops waiting, in loop time. A task has that of the handler that made it, until that has ended."""
        maker = self.within
        if maker is not None and (maker.coroutine is None or maker.deadline is None):
            self.within = self.caller = None
        return self.caller.deadline if self.caller is not None else None

    @property
    def goes_on(self) -> bool:
        """What it waited for has come, and it has only not had its step yet."""
        return self.in_line or (isinstance(self.waits_on, asyncio.Future) and self.waits_on.done())

    def cancel(self) -> None:
        """Ask it to end, the way asyncio does: ``CancelledError`` is thrown in where it waits."""
        if not self.started and self.coroutine is not None:
            # It never ran, so there is nothing to throw into; and asyncio would tell nobody that it is over.
            self.coroutine.close()
            self.tell(None, asyncio.CancelledError())
            self.over = True
        if self.task is not None:
            _cancel(self, self.task)

    def tell(self, value: object, error: BaseException | None) -> None:
        """Report the outcome, once; then the process goes on with its next message, or with its end."""
        if self.coroutine is None or self.over:
            return
        self.coroutine = None
        process = self.process
        if process.activations is not None:
            process.activations.pop(self, None)
        try:
            self.done(self, value, error)
        finally:
            process.kernel.activation_over(self)

    def forget_caller(self) -> None:
        """Let go of who is told of its error: the error's traceback leads back here, in a cycle that only the collector ends.

        A timer that it has set still says which handler that was.
        """
        self.caller = None
        if isinstance(self.message, HandlerMessage):
            self.message = self.message.bare()

    def stack(self) -> tuple[Position, ...]:
        """Where it waits, innermost frame last."""
        return await_chain(self.coroutine) if self.coroutine is not None else ()


@types.coroutine
def steps(
    activation: Activation, coroutine: Any, waits_on: Any, *, resumed: bool
) -> Generator[Any, Any, Any]:
    """Step ``coroutine`` for the task that steps this generator, until it ends or is taken away.

    ``resumed`` says that the coroutine has had its first step already and waits for ``waits_on``.
    """
    error: BaseException | None = None
    turns = activation.process.kernel.scheduler.steps
    if activation.message is None and not resumed:
        # A task or a plain process begins. How many handlers do, the run queue sees to.
        turns.left -= 1
        if turns.left < 0:
            yield from _turn(activation, turns)
            if activation.over:
                raise asyncio.CancelledError
    while True:
        if resumed:
            resumed = False
        else:
            ending = activation.process.ending
            if ending is not None and ending.killed:
                # The kill is carried out from the run queue, and what it waited for came first. It is dead to all others, so it
                # takes no step more: it waits here to be ended.
                error = None
                yield from activation.process.kernel.loop.create_future()
            activation.started = True
            try:
                waits_on = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                error = None
        activation.waits_on = waits_on
        if activation.waits_for is None and waits_on is not None and activation.process.tasks:
            activation.process.kernel.began_to_wait(activation)  # for one of them, perhaps
        try:
            yield waits_on
            turns.left -= 1
            if turns.left < 0 and (
                waits_on is None or activation.waits_for is not None or _got_message(activation, waits_on)
            ):
                # It goes on because of a process (an answer, a message), of which there are any number, or of itself. Whom the
                # world outside woke does not wait.
                yield from _turn(activation, turns)
        except BaseException as thrown:  # noqa: BLE001  (whatever is thrown in belongs to the coroutine)
            error = thrown
        # Tracebacks lead to this frame, so nothing in it may lead to an error: neither what was waited for, which may have failed
        # with it, nor the error itself.
        activation.waits_on = waits_on = None
        if activation.over:
            error = None
            raise asyncio.CancelledError


def _turn(activation: Activation, turns: Steps) -> Generator[Any, Any, None]:
    """Wait until there is time for a step."""
    turn = turns.wait()
    activation.in_line = turn is not None
    try:
        while turn is not None:
            activation.waits_on = turn
            yield from turn
            turn = turns.called()
    finally:
        activation.in_line = False


def _got_message(activation: Activation, waited_on: Any) -> bool:
    return any(receiver.future is waited_on for receiver in activation.process.receivers or ())


async def _drive(activation: Activation, coroutine: Any, waits_on: Any, *, resumed: bool) -> None:
    """Run an activation to its end and tell its process. Nothing is raised here but what must stop the loop."""
    try:
        await _begun()
        value = await steps(activation, coroutine, waits_on, resumed=resumed)
    except BaseException as error:
        if not activation.started:
            coroutine.close()  # cancelled before its first step
        if isinstance(error, SystemExit | KeyboardInterrupt) and activation.task is not None:
            # Whoever runs the loop gets it; nobody asks the task, which would complain about that.
            activation.task.add_done_callback(asyncio.Task.exception)
        _tell(activation, None, error)
        activation.forget_caller()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
    else:
        _tell(activation, value, None)
    finally:
        # Each leads back here, in a cycle that only the garbage collector would end.
        activation.task = activation.context = None


@types.coroutine
def _begun() -> Generator[None, None, None]:
    """Wait for the task, so that it is told when it is cancelled before its first step: what has not begun has no say."""
    yield


def _tell(activation: Activation, value: object, error: BaseException | None) -> None:
    try:
        activation.tell(value, error)
    except Exception:
        # Nothing of the user's comes out of there, so this is a fault of ours.
        logger.critical("mabeam: internal error; please report it", exc_info=True)


def _adopt(activation: Activation) -> contextvars.Context:
    process = activation.process
    context = (process.context or process.origin).copy()
    context.run(here.set, activation)
    activation.context = context
    return context


def activate(
    process: Process,
    coroutine: Coroutine[Any, Any, object],
    message: Any,
    done: Done,
    *,
    serial: bool = False,
) -> Activation:
    """Run a coroutine of user code for ``process`` in a task of its own, from the next turn of the loop on.

    Guarantees:
        ``done`` is called exactly once, unless the activation is ended by ``freeze_or_finish``. The context is a fresh
        copy of the process's. While a ``serial`` one runs the process takes no other message.
    """
    activation = Activation(process, coroutine, message, done)
    _adopt(activation)
    _enlist(activation, serial=serial)
    _run_in_task(activation, coroutine, None, resumed=False)
    return activation


def _enlist(activation: Activation, *, serial: bool) -> None:
    process = activation.process
    if process.activations is None:
        process.activations = {}
    process.activations[activation] = None
    if serial:
        process.serial = activation


def _run_in_task(activation: Activation, coroutine: Any, waits_on: Any, *, resumed: bool) -> None:
    driver: Any = _drive(activation, coroutine, waits_on, resumed=resumed)
    driver.__qualname__ = name = getattr(coroutine, "__qualname__", activation.process.label)
    driver.send(None)  # to where it waits for its task
    kernel = activation.process.kernel
    make_task = kernel.make_task or asyncio.Task
    activation.task = make_task(driver, loop=kernel.loop, name=name, context=activation.context)


def activate_trusted(
    process: Process, coroutine: Coroutine[Any, Any, object], message: Any, done: Done
) -> Activation:
    """Run a coroutine of our own: at once as far as it goes without waiting, then in a task.

    The first step has no current task, so nothing that asks for one (timeouts, task groups, user code) may be in it.
    """
    activation = Activation(process, coroutine, message, done)
    context = _adopt(activation)
    _enlist(activation, serial=True)
    activation.started = True
    try:
        waits_on = context.run(coroutine.send, None)
    except StopIteration as end:
        activation.tell(end.value, None)
        activation.context = None  # as in _drive
    except BaseException as error:
        leave_out_frame(error)  # it has the message, and so have those that it was called from
        activation.tell(None, error)
        activation.forget_caller()
        activation.context = None
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
    else:
        activation.waits_on = waits_on
        _run_in_task(activation, coroutine, waits_on, resumed=True)
    return activation


def freeze_or_finish(activation: Activation, *, throw: bool = True) -> None:
    """End an activation now: throw ``CancelledError`` in once; if it waits again after that, it is frozen.

    Called from the scheduler, when no code of the process is on the stack. A frozen coroutine is never stepped again,
    not even by the garbage collector, which would close it. Without ``throw`` it is just left behind.
    """
    coroutine: Any = activation.coroutine
    activation.over = True
    task = activation.task
    if coroutine is not None and not activation.started:
        coroutine.close()
    elif coroutine is not None and not throw:
        keep_for_ever(coroutine, with_open_generators=True)
    elif coroutine is not None and activation.context is not None:
        if activation.waits_on is not None and hasattr(activation.waits_on, "cancel"):
            _cancel(activation, activation.waits_on)
        try:
            _as_current_task(task, activation.context, coroutine.throw, asyncio.CancelledError)
        except BaseException:  # noqa: BLE001  (StopIteration or what its clean-up raised: it is over either way)
            pass
        else:
            activation.frozen = True
            keep_for_ever(coroutine)
    if task is not None:
        _cancel(activation, task)


def _cancel(activation: Activation, awaited: Any) -> None:
    """Cancel a task, and so what it waits for, or that alone. Where that is a class of the user's, it may raise; the end goes on."""
    try:
        awaited.cancel()
    except Exception as error:  # noqa: BLE001  (it is reported, and a process that ends has others to tell)
        activation.process.kernel.incidents.failure(
            activation.process, error, "cancel() of what it waits for"
        )


def _as_current_task(
    task: asyncio.Task[Any] | None,
    context: contextvars.Context,
    function: Callable[..., object],
    *args: object,
) -> object:
    """Call with ``task`` as the current one: clean-up code may ask for it (``asyncio.timeout`` does)."""
    if task is None:
        return context.run(function, *args)
    loop = task.get_loop()
    asyncio.tasks._enter_task(loop, task)
    try:
        return context.run(function, *args)
    finally:
        asyncio.tasks._leave_task(loop, task)
