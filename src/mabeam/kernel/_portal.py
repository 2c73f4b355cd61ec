"""The way into a Runtime for other threads and for programs without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, final

from mabeam._base import thread_asks
from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel._activation import Activation, activate, here
from mabeam.kernel._calls import Caller, died
from mabeam.kernel._current import left_behind
from mabeam.kernel._ending import kill
from mabeam.kernel._in_thread import ThreadOwner
from mabeam.kernel._operations import check_function, send
from mabeam.kernel._plain import Body, PlainBehaviour, label_of
from mabeam.kernel._reasons import NO_PROCESS
from mabeam.kernel._waits import Wait
from mabeam.telemetry import current_trace, enter_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from mabeam.kernel._current import Target
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._process import Process
    from mabeam.kernel._runtime import Runtime
    from mabeam.telemetry import TraceContext

__all__ = ("Portal", "open_portal", "portal")

P = ParamSpec("P")
R = TypeVar("R")

_IN_BLOCK = (
    "Its block was left, which stops its Runtime. Use it inside:\n"
    "    with mabeam.open_portal() as portal:\n"
    "        portal.run(function, ...)"
)
_IN_RUNTIME = "Its Runtime was stopped. Have the threads that use the portal end before that."


@final
class Portal:
    """Runs things in a Runtime for threads that are not its own, and waits for them.

    Guarantees:
        A thread that is interrupted while it waits (Ctrl-C, a time limit) cancels what it waits for. When the Runtime stops
        first, the waiting thread gets ``ProcessDied``.

    A portal made by :func:`portal` acts for the process of its thread: what it runs is the code of that process, as an
    ``async def`` handler is. One made by ``runtime.portal()`` or :func:`open_portal` acts for nobody: what it runs is a
    process of its own.
    """

    def __init__(
        self,
        kernel: Kernel,
        parent: Process,
        owner: Process | Activation | None = None,
        how: str = _IN_RUNTIME,
    ) -> None:
        """Made by ``Runtime.portal``, ``portal`` and ``open_portal``; ``how`` says what to do when it is closed."""
        self._kernel = kernel
        self._parent = parent
        self._owner = owner
        self._how = how

    def run(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an async function and wait for its result.

        In a thread of a process it acts for that process: ``self_pid()`` is the process's, what it starts with
        ``start_link`` is linked to the process, and a call to the process itself raises ``CallCycle``. Elsewhere it is a
        process of its own: what it starts with ``start_link`` ends with it; start what is to stay with
        ``child_spec(...).start()``, or under a supervisor.

        Raises:
            ProcessDied: its process was ended, or the Runtime stopped.
            UsageError: called in the event loop's own thread, which would wait for itself.
            BaseException: whatever the function raised.
        """
        return cast("R", self._submit(function, args, kwargs).wait())

    def call(self, ref: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a server and wait for the reply: ``ref.call`` from a thread."""
        _check_handle("call", ref)
        return self.run(ref.call, method, *args, **kwargs)

    def cast(self, ref: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Cast to a server: ``ref.cast`` from a thread."""
        _check_handle("cast", ref)
        self._act(ref.cast, method, *args, **kwargs)

    def send(self, target: Target, message: object, /) -> None:
        """Send a message: ``send`` from a thread. One to an unknown name becomes a dead letter."""
        self._act(_send_or_bury, self._kernel, target, message)

    def _submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Pending:
        check_function(function, "portal.run", args, kwargs)
        self._check()
        if asyncio._get_running_loop() is self._kernel.loop:
            msg = "portal.run() was called in the thread of the Runtime's own event loop, which would wait for itself; await the function instead"
            raise UsageError(msg)
        body = Body(function, args, kwargs)
        trace = self._trace()
        if trace is not None:
            body.trace = trace
        thread = _thread_of(self._owner)
        # The root of a Runtime is whoever entered it: it has no handlers that could be cancelled or frozen at its end.
        if self._owner is None or self._parent.parent is None:
            pending: _Pending = _OwnProcess(self._parent, body)
        else:
            pending = _OnBehalf(self._owner, body, thread.waiter if thread is not None else None)
        with self._kernel.gate:
            # Once this is handed over it will run: the Runtime cannot close in between.
            self._check()
            self._kernel.loop.call_soon_threadsafe(pending.begin)
        return pending

    def _act(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Do here what any thread may do: it is this thread that is told what is wrong, and the loop that does the work."""
        self._check()
        context = self._parent.own_context().copy()
        context.run(enter_trace, self._trace())
        context.run(function, *args, **kwargs)

    def _trace(self) -> TraceContext | None:
        """The trace of the thread, which the Runtime may not have heard of yet."""
        trace = current_trace()
        if trace is not None:
            self._kernel.bus.trace_begun()
        return trace

    def _check(self) -> None:
        owner, parent, thread = self._owner, self._parent, here.get(None)
        if owner is not None and owner.over:
            raise left_behind(owner.process, "call")
        if isinstance(thread, ThreadOwner) and thread.over:  # whoever made the portal
            raise left_behind(thread.process, "call")
        if self._kernel.is_closed:
            closed = f"the portal of Runtime {self._kernel.id} is closed. {self._how}"
            raise NoSuchProcess(parent.describe(), NO_PROCESS, operation="call", instead=closed)
        if not parent.is_alive:
            raise NoSuchProcess(parent.describe(), NO_PROCESS, operation="call", pid=parent.pid)


class _Pending:
    """One function on its way through the event loop."""

    def __init__(self, parent: Process, body: Body) -> None:
        self.parent = parent
        self.body = body
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._thread = threading.get_ident()
        """Whoever made this, and waits for the outcome."""
        self._is_settled = False
        self._hand_over: Callable[[Callable[[], None]], None]

    def begin(self) -> None:
        """Begin; runs in the loop's thread."""
        self._hand_over = thread_asks(self.parent.kernel.loop, self._thread)
        self.start()

    def start(self) -> None:
        """Begin what is special."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Nobody waits any more; runs in the loop's thread."""
        raise NotImplementedError

    def settle(self, value: object, error: BaseException | None) -> None:
        if self._is_settled or self.outcome.done():
            return
        self._is_settled = True
        set_outcome: Callable[[Any], None] = (
            self.outcome.set_result if error is None else self.outcome.set_exception
        )
        self._hand_over(partial(set_outcome, value if error is None else error))

    def watch(self, process: Process) -> asyncio.Future[None]:
        """Have the waiting thread told when a process dies before it has answered."""
        ended: asyncio.Future[None] = process.kernel.loop.create_future()
        ended.add_done_callback(
            lambda _ended: self.settle(None, died(process, process.reason or NO_PROCESS, "call"))
        )
        process.on_death = [*(process.on_death or ()), ended]
        return ended

    def wait(self) -> Any:
        try:
            return self.outcome.result()
        except BaseException:
            if not self.outcome.done():
                # When the loop is closed nothing is left to be ended.
                with contextlib.suppress(RuntimeError):
                    self.parent.kernel.loop.call_soon_threadsafe(self.give_up)
            raise


class _OwnProcess(_Pending):
    """Runs as a process, for a thread that belongs to none."""

    process: Process | None = None

    def start(self) -> None:
        if not self.parent.is_alive:
            self.settle(None, died(self.parent, self.parent.reason or NO_PROCESS, "call"))
            return
        self.body.finished = self.settle
        behaviour = PlainBehaviour(label_of(self.body.function))
        self.process = self.parent.kernel.spawn(behaviour, self.body, self.parent, link=False)
        self.watch(self.process)

    def give_up(self) -> None:
        if self.process is not None:
            kill(self.process)


class _OnBehalf(_Pending):
    """Runs as code of the process that the thread belongs to."""

    def __init__(self, owner: Process | Activation, body: Body, waiter: Activation | None) -> None:
        super().__init__(owner.process, body)
        self.owner = owner
        self.waiter = waiter
        """What waits for the thread that asks."""
        self.activation: Activation | None = None
        self.ended: asyncio.Future[None] | None = None
        self.wait_edge: Wait | None = None

    def start(self) -> None:
        process, owner = self.parent, self.owner
        if owner.over or process.ending is not None:
            self.settle(None, left_behind(process, "call"))
            return
        self.ended = self.watch(process)
        self.activation = activation = activate(process, self._run(), owner.message, self._over)
        activation.caller = owner.caller
        if self.waiter is not None:
            # The handler waits for its thread, and the thread for this: who looks for a cycle finds the way through.
            loop, what = process.kernel.loop, f"portal.run of {label_of(self.body.function)}"
            caller: Caller[None] = Caller(process, self.ended, what)
            caller.answerer = activation
            self.waiter.waits_for = self.wait_edge = Wait(process, what, loop.time(), caller, kind="call")

    async def _run(self) -> object:
        body = self.body
        if hasattr(body, "trace"):
            enter_trace(body.trace)
        value = body.function(*body.args, **body.kwargs)
        return await value if inspect.iscoroutine(value) else value

    def _over(self, _activation: Activation, value: object, error: BaseException | None) -> None:
        process = self.parent
        if self.waiter is not None and self.waiter.waits_for is self.wait_edge:
            self.waiter.waits_for = None
        if process.on_death is not None:
            process.on_death = [each for each in process.on_death if each is not self.ended] or None
        if isinstance(error, asyncio.CancelledError) and process.ending is not None:
            error = died(process, process.ending.reason, "call")
        self.settle(value, error)

    def give_up(self) -> None:
        if self.activation is not None:
            self.activation.cancel()


def _thread_of(owner: Process | Activation | None) -> ThreadOwner | None:
    """The thread of the owner's process that this is, whichever code of it made the portal; ``None`` in other threads.

    Some other that was given the portal may ask while the code of the process goes on.
    """
    if owner is None:
        return None
    ours = [each for each in (here.get(None), owner) if isinstance(each, ThreadOwner)]
    this = threading.get_ident()
    return next((each for each in ours if each.ident == this and each.process is owner.process), None)


def _check_handle(what: str, ref: object) -> None:
    if isinstance(ref, type) or not hasattr(ref, what):
        msg = (
            f"portal.{what} expects the handle of a server and then a method of its class, got {ref!r} for a handle. A handle "
            f"is what start_link returned, or mabeam.ref(name, Server).\n"
            f"    right:  portal.{what}(mabeam.ref('counter', Counter), Counter.add, 5)"
        )
        raise UsageError(msg)


def _send_or_bury(kernel: Kernel, target: Target, message: object) -> None:
    try:
        send(target, message)
    except NoSuchProcess:
        kernel.dead_letters.add(repr(target), message, "no_name")


def portal() -> Portal:
    """The way back into the Runtime from a thread of a process: in a handler with ``thread=True``, say.

    Guarantees:
        It acts for the process of the thread, as any other code of that process does.

    Raises:
        UsageError: the thread belongs to no process.
        NoSuchProcess: on use, when the process of the thread has ended: the thread was left behind.
    """
    owner = here.get(None)
    if owner is None:
        msg = "portal() belongs in a thread of a process; elsewhere take runtime.portal() along, or use open_portal()"
        raise UsageError(msg)
    return Portal(owner.process.kernel, owner.process, owner)


def open_portal(**options: Any) -> contextlib.AbstractContextManager[Portal]:
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
    return _OpenPortal(options)


class _OpenPortal(contextlib.AbstractContextManager[Portal]):
    """The block of a portal."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._thread: contextlib.AbstractContextManager[Runtime] | None = None

    def __enter__(self) -> Portal:
        from mabeam.kernel._run import run_in_thread  # noqa: PLC0415  (it needs this module)

        if self._thread is not None:
            msg = "open_portal() was entered already; each block has one of its own: with mabeam.open_portal() as portal:"
            raise UsageError(msg)
        self._thread = run_in_thread(self._options)
        runtime = self._thread.__enter__()
        return Portal(runtime.kernel, runtime.root, how=_IN_BLOCK)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return None if self._thread is None else self._thread.__exit__(kind, error, traceback)

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __getattr__(self, name: str) -> Any:
            msg = (
                f"open_portal() is the block of a portal and has no {name!r}; the portal is what the block gives:\n"
                "    with mabeam.open_portal() as portal:\n"
                "        portal.run(function, ...)"
            )
            raise AttributeError(msg)
