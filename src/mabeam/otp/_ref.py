"""Typed handles: how a server is called, cast to, streamed from and stopped."""

from __future__ import annotations

from asyncio import _get_running_loop as running_loop
from sys import exception
from threading import get_ident
from types import CoroutineType, FunctionType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    final,
    overload,
)

from mabeam.errors import NoSuchProcess, ProcessDied
from mabeam.kernel import (
    BUSY,
    DEAD,
    EXITING,
    SCHEDULED,
    Caller,
    NoProcess,
    Normal,
    Pid,
    Turn,
    check_cycle,
    check_reason,
    check_seconds,
    context_of_sender,
    current_kernel,
    current_tasks,
    died,
    enter_full,
    find,
    heed_end,
    here,
    is_decided,
    is_on_loop,
    is_seconds,
    name_target,
    stop,
    wait_for_reply,
    was_gone,
)
from mabeam.otp import _mistakes as mistakes
from mabeam.otp._after_hand_off import Nobody, after_hand_off
from mabeam.otp._cast_aside import bury_cast, cast_from_thread
from mabeam.otp._deadlines import check_deadline
from mabeam.otp._requests import Call, Cast, StopRequest
from mabeam.otp._server import ServerBehaviour
from mabeam.otp._streams import Stream
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from mabeam.kernel import ExitReason, Kernel, Name, Process
    from mabeam.otp._handlers import Handler

__all__ = ("Ref", "ref")

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

_UNSET: Final[Any] = object()


@final
class Ref(Generic[S_co]):
    """A typed handle of a server: of one process, or of whichever process has a name.

    Handles come from ``start_link``, ``start_child`` and :func:`ref`. One by name follows the name across restarts; one
    by process leads to nobody once that process has ended.

    Attributes:
        start_info: what the server gave to ``start_info`` when it started; ``None`` on other handles.
    """

    __slots__ = ("_address", "_kernel", "_process", "_timeout", "start_info")

    def __init__(
        self, address: Process | Name, kernel: Kernel | None, timeout: Any = _UNSET, info: object = None
    ) -> None:
        """Made by the functions named above only."""
        self._process: Process | None = None
        if hasattr(address, "behaviour"):
            self._process = cast("Process", address)
            address = None  # type: ignore[assignment]  # the pid stands for it
        self._address = address
        self._kernel = kernel
        self._timeout = timeout
        self.start_info = info

    # ------------------------------------------------------------------------------------------- addressing

    @property
    def pid(self) -> Pid | None:
        """The process that it leads to now; ``None`` when its name leads nowhere."""
        process = self._find()
        return process.pid if process is not None else None

    def address(self) -> Pid | Name:
        """The pid or the name that it was made for."""
        return self._process.pid if self._process is not None else cast("Name", self._address)

    def options(self, *, timeout: float | None = 5.0) -> Self:
        """The same handle with other options.

        Args:
            timeout: seconds that a call waits for its reply; ``None`` waits without limit.

        Raises:
            UsageError: ``timeout`` is no duration.
        """
        if timeout is not None and not is_seconds(timeout):
            check_seconds("options expects timeout in seconds", timeout, none="to wait without limit")
        return type(self)(
            self._process or cast("Name", self._address), self._kernel, timeout, self.start_info
        )

    def _find(self) -> Process | None:
        if self._process is not None:
            return self._process
        return find(self._kernel or current_kernel(), cast("Name", self._address))

    def _reach(self, operation: Any) -> Process:
        process = self._process
        if process is None:
            process = (self._kernel or current_kernel()).names.find(cast("Name", self._address))
            if process is None:
                raise NoSuchProcess(name_target(self.address()), NoProcess(), operation=operation)
        elif process.status & DEAD:
            raise NoSuchProcess(process.describe(), NoProcess(), operation=operation, pid=process.pid)
        return process

    def _handler(self, process: Process, method: Any, kind: str) -> Handler:
        """The handler behind a method: found by name on the server's own class, so that overriding works."""
        behaviour = process.behaviour
        handler: Handler | None = behaviour.by_function.get(method) if type(method) is FunctionType else None
        if handler is not None and handler.kind == kind:
            return handler
        handlers = behaviour.handlers
        if handlers is not None:
            handler = handlers.get(getattr(method, "__name__", ""))
        if (
            handler is None
            or handler.kind != kind
            # One that is overridden is found by the base's method of that name; a coroutine of it, say, has that name, too.
            or (handler.function is not method and (type(method) is MethodType or not callable(method)))
        ):
            raise mistakes.wrong_method(process, handlers, method, kind)
        return handler

    # ------------------------------------------------------------------------------------------- talking

    @overload
    async def call(
        self,
        method: Callable[Concatenate[S_co, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def call(
        self, method: Callable[Concatenate[S_co, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    async def call(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method declared with ``@handle_call`` and wait for its answer, 5 s unless said otherwise.

        Guarantees:
            It ends in the answer, a typed error, or a timeout; a late answer reaches nobody. Calls and casts of one
            process to another are taken in the order sent. A caller that is cancelled stops waiting; the handler goes
            on. Arguments and answers are passed by reference and must not be changed afterwards.

        Raises:
            NoSuchProcess: there is no such process; nothing was done.
            ProcessDied: the server ended before it answered; the exception that crashed it is chained.
            CallTimeout: no answer came in time; the handler may still run.
            RejectedError: its mailbox is full; nothing was done. With ``on_full="block"`` the call waits for room first.
            CallCycle: the answer would wait for the caller: the server called itself, or the callee waits for it.
            DeadlineExceeded: the handler that calls has a caller of its own who has stopped waiting. Starts of children and
                tasks are let through all the same.
            HandlerFailed: a concurrent handler raised; the server lives.
            UsageError: the method answers no calls, or the arguments do not fit.
            Exception: one that the handler declared with ``raises``.
        """
        owner = here.get(None)
        client: Process | type[Nobody] = Nobody
        if owner is not None:
            client = owner.process
            if client.status & EXITING:
                await Turn()  # see heed_end
            if owner.caller is not None:
                check_deadline(owner, method)
        process = self._process or self._reach("call")
        kernel = process.kernel
        try:
            handler = process.behaviour.inline_calls.get(method)
        except TypeError:  # something unhashable, which is told below
            handler = None
        scheduler = kernel.scheduler
        if handler is not None and process.status == 0 and get_ident() == scheduler.thread:
            if scheduler.handoffs_left > scheduler.look_at:
                scheduler.handoffs_left -= 1
                is_now = True
            else:
                is_now = scheduler.may_hand_off()
            loop = kernel.loop
            if (
                is_now
                and exception() is None  # one that is being handled would be seen by the handler
                and (task := current_tasks.pop(loop, None))  # it is this loop that runs, and in a task
            ):
                # The handler runs now, in the turn of its caller. What can be seen of it is what the mailbox would have done.
                try:
                    if process.extra is not None:
                        process.extra.end_silence()
                    process.status, process.message = BUSY, handler
                    context = process.context
                    if context is None:
                        context = process.own_context()
                    if scheduler.traced:
                        context = context_of_sender(context)
                    if kwargs:
                        value = context.copy().run(handler.function, process.body, *args, **kwargs)
                    elif len(args) == 1:  # the most usual, and a tenth quicker when nothing is unpacked
                        value = context.copy().run(handler.function, process.body, args[0])
                    else:
                        value = context.copy().run(handler.function, process.body, *args)
                except BaseException as error:  # noqa: BLE001  (it is the outcome of the handler, not of the caller)
                    outcome: tuple[Any, BaseException | None] = None, error
                else:
                    if (
                        process.extra is None
                        and process.mailbox is None
                        and process.ending is None
                        and type(value) is not CoroutineType
                        and not client.status & EXITING
                        and scheduler.handoffs_left > 0
                    ):
                        process.status, process.message = 0, None
                        return value
                    outcome = value, None
                finally:
                    current_tasks[loop] = task
                goes_on = not client.status & EXITING
                timeout = handler.timeout if self._timeout is _UNSET else self._timeout
                try:
                    return await after_hand_off(
                        process, handler, args, kwargs, timeout, *outcome, goes_on=goes_on
                    )
                finally:
                    outcome = None, None  # the traceback of an exception leads to this frame
        if process.status & DEAD:
            process = self._reach("call")
        if running_loop() is not kernel.loop:
            raise mistakes.wrong_thread(process)
        handler = handler or self._handler(process, method, "call")
        if process.status & ~SCHEDULED:
            check_cycle(owner, process)
        timeout = handler.timeout if self._timeout is _UNSET else self._timeout
        now, deadline = kernel.loop.time(), None
        if timeout is not None and kernel.deadline_stamps and not handler.starts:
            deadline = now + timeout
        caller: Caller[Any] = Caller(process, kernel.loop.create_future(), handler.what, deadline, owner)
        message = Call(handler, args, kwargs, caller)
        if scheduler.traced:
            message.trace = current_trace()
        if process.status == 0 and handler.in_task:
            scheduler.take_at_once(process, message)
        elif (mailbox := process.mailbox) is None or len(mailbox) < process.behaviour.mailbox_limit:
            scheduler.enqueue(process, message)
        else:
            await enter_full(process, message, timeout)
            since, now = now, kernel.loop.time()
            timeout = None if timeout is None else max(0.0, timeout - (now - since))
        is_late = process.ending is not None and is_decided(process)
        try:
            return await wait_for_reply(process, caller.future, handler.what, timeout, caller, now)
        except ProcessDied:
            if is_late:
                raise was_gone(process, "call") from None
            raise
        finally:
            del caller, message  # an error is in there, and its traceback leads to this frame

    def cast(
        self, method: Callable[Concatenate[S_co, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Send a message to a method declared with ``@handle_cast``. Never waits, and never fails for the receiver's sake.

        Guarantees:
            One that cannot be delivered is a dead letter. May be called from threads of a process as well.

        Raises:
            UsageError: the method takes no casts; or the code runs for no process, and the handle is by name only.
        """
        process = self._process
        if (
            process is not None
            and not process.status & DEAD
            and get_ident() == process.kernel.scheduler.thread
        ):
            behaviour, mailbox = process.behaviour, process.mailbox
            if mailbox is None or len(mailbox) < behaviour.mailbox_limit:
                message = Cast(self._handler(process, method, "cast"), args, kwargs)
                scheduler = process.kernel.scheduler
                if scheduler.traced:
                    message.trace = current_trace()
                scheduler.enqueue(process, message)
                return
        kernel = process.kernel if process is not None else self._kernel or current_kernel()
        if running_loop() is not kernel.loop:
            cast_from_thread(self, kernel, method, args, kwargs)
            return
        if process is None:
            process = kernel.names.find(cast("Name", self._address))
            if process is None:
                bury_cast(self, kernel, "no_name", method, args, kwargs)
                return
        kernel.send(process, Cast(self._handler(process, method, "cast"), args, kwargs))

    async def cast_wait(
        self, method: Callable[Concatenate[S_co, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Cast, and wait until the message is in the mailbox: for servers whose mailbox is full now and then.

        Guarantees:
            When it returns the message is in the mailbox; nothing is known of what becomes of it there. With
            ``on_full="block"`` it waits for room, first come first served, 5 s unless said otherwise. Given up, it has sent
            nothing; nor when it is cancelled, unless that comes so late that the server has taken the message already.

        Raises:
            NoSuchProcess: there is no such process.
            ProcessDied: the server ended while this waited.
            RejectedError: the mailbox is full, and there was no room in time, or its policy is not to wait.
            CallCycle: the server waits for the caller.
            UsageError: the method takes no casts.
        """
        await heed_end()
        process = self._reach("send")
        if not is_on_loop(process.kernel):
            raise mistakes.wrong_thread(process)
        message = Cast(self._handler(process, method, "cast"), args, kwargs)
        message.trace = current_trace()
        if process.kernel.has_room(process):
            process.kernel.send(process, message)
            return
        if process.behaviour.on_full == "block":
            check_cycle(here.get(None), process)
        await enter_full(process, message, 5.0 if self._timeout is _UNSET else self._timeout)

    def stream(
        self, method: Callable[Concatenate[S_co, P], AsyncIterator[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AbstractAsyncContextManager[AsyncIterator[R]]:
        """Read an async generator declared with ``@handle_stream``: ``async with ref.stream(Feed.rows, 5) as rows:``.

        Guarantees:
            The server is never more than a few items ahead of its reader. The generator is closed when the block is
            left or the reader dies. If the server dies, the reader gets ``ProcessDied`` after what has arrived. A name is
            followed on entering the block.

        Raises:
            UsageError: the method is no stream; or, on iterating, the block was left out.
            CallTimeout: on entering the block, when the server does not begin in time.
            RejectedError: on entering the block: the mailbox is full, or as many streams are open as it may hold messages.
            NoSuchProcess: on entering the block: there is no such process.
            HandlerFailed: on reading, when the generator raised.
        """

        def find_server() -> tuple[Process, Handler, float | None]:
            process = self._reach("stream")
            handler = self._handler(process, method, "stream")
            return process, handler, handler.timeout if self._timeout is _UNSET else self._timeout

        process = self._find()
        if process is not None:
            self._handler(process, method, "stream")  # what is wrong with it is told where it is written
        return Stream(find_server, getattr(method, "__qualname__", repr(method)), args, kwargs)

    async def stop(self, reason: ExitReason = Normal(), *, timeout: float | None = None) -> None:  # noqa: B008  (frozen)
        """Ask the server to end in an orderly way, and wait until it has.

        The request takes its place in the mailbox; ``terminate`` runs. A supervisor restarts it like any other that
        ends with that reason; to stop a child for good, ask its supervisor.

        Args:
            reason: what it is to end with.
            timeout: seconds to wait; ``None`` waits without limit. After a timeout it goes on ending.

        Raises:
            NoSuchProcess: there is no such process.
            ProcessDied: it ended with another reason.
            CallTimeout: it did not end in time.
            UsageError: ``reason`` is no exit reason, or ``timeout`` no duration.
        """
        check_reason(reason)
        check_seconds("stop expects timeout in seconds", timeout, none="to wait without limit")
        await heed_end()
        process = self._reach("stop")
        if not is_on_loop(process.kernel):
            raise mistakes.wrong_thread(process)
        check_cycle(here.get(None), process)
        was_decided = is_decided(process)
        ended: asyncio.Future[None] = process.kernel.loop.create_future()
        process.on_death = [*(process.on_death or ()), ended]
        if isinstance(process.behaviour, ServerBehaviour):
            process.kernel.scheduler.enqueue(process, StopRequest(reason))
        else:
            stop(process, reason)  # a plain process would find the request among its messages
        try:
            await wait_for_reply(process, ended, "stop", timeout)
        finally:
            if process.on_death is not None:
                process.on_death = [each for each in process.on_death if each is not ended] or None
            del ended  # an error is in there, and its traceback leads to this frame
        if was_decided:
            raise was_gone(process, "stop")
        if process.reason is not None and process.reason != reason:
            raise died(process, process.reason, "stop")

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __getattr__(self, name: str) -> Any:
            """Say how a server is reached: it is another process, and a handle has no part of it."""
            raise AttributeError(mistakes.no_attribute(name), name=name, obj=self)

    def __eq__(self, other: object) -> bool:
        """Equal when made for the same process or the same name."""
        return isinstance(other, Ref) and self.address() == other.address()

    def __hash__(self) -> int:
        """Hash by address."""
        return hash(self.address())

    def __deepcopy__(self, _memo: object = None) -> Self:
        """Itself: what is copied along with what holds it must still reach the server."""
        return self

    __copy__ = __deepcopy__

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: it leads to nobody in another OS process."""
        raise mistakes.no_pickle(self.address())

    def __repr__(self) -> str:
        """Show whom it leads to."""
        return f"<ref {self.address()!r}>"


def ref(name: Pid | Name, server: type[S], /) -> Ref[S]:
    """A handle that follows a name: each call goes to whichever process has it then.

    Args:
        name: the name of a process, or a ``via`` name of a registry; or a pid, of which the handle leads to that process only.
        server: the class of the server behind it, for types.

    Raises:
        UsageError: it is no name, or no class of a server.
        NoSuchProcess: the pid came from elsewhere: it was pickled.
    """
    behaviour = getattr(server, "__mabeam_behaviour__", None)  # what every server class has
    if behaviour is None or behaviour.cls is not server:
        mistakes.check_server(server)
    if type(name) is not str or not name:
        if isinstance(name, Pid):
            process = name._process
            if process is None:
                raise NoSuchProcess(repr(name), NoProcess(), operation="call", pid=name)
            return Ref(process, process.kernel)
        mistakes.check_ref_name(name)
    owner = here.get(None)
    return Ref(name, owner.process.kernel if owner is not None else None)
