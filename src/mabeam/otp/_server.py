"""How a server runs: the loop behind every GenServer."""

from __future__ import annotations

import inspect
import math
from functools import partial
from pathlib import Path
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal

from mabeam.errors import UsageError
from mabeam.kernel import (
    BUSY,
    SCHEDULED,
    SUSPENDED,
    Activation,
    ExitSignal,
    HandlerMessage,
    Ignore,
    SystemRequest,
    activate,
    activate_trusted,
    crash_reason,
    end,
    here,
    run_blocking,
    stop,
)
from mabeam.otp._asides import LATER, Asides
from mabeam.otp._callbacks import awaited
from mabeam.otp._concurrent import ConcurrentHandlers
from mabeam.otp._deadlines import is_over_for_nobody
from mabeam.otp._lifespan import hold_lifespan
from mabeam.otp._mistakes import (
    arity_of,
    bad_call,
    forgotten_await,
    forgotten_return,
    is_bad_call,
    is_forgotten,
    late_ignore,
    misfit_of_class,
    signature_of,
)
from mabeam.otp._observed import observed
from mabeam.otp._requests import Arguments, Call, Cast, Continue, IdleTimeout, StopRequest
from mabeam.otp._streams import StreamRequest, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableSequence

    from mabeam.errors import RejectedError
    from mabeam.kernel import Caller, ExitReason, Observer, Process, Step
    from mabeam.otp._child_spec import ChildOptions
    from mabeam.otp._handlers import Handler

__all__ = ("ServerBehaviour",)


class ServerBehaviour(ConcurrentHandlers):
    """Runs the instances of one server class. ``process.body`` is the instance, once ``__init__`` has made it.

    Attributes:
        cls: the class.
        handlers: what the class answers to.
    """

    __slots__ = (
        "_activate",
        "_arity",
        "_check",
        "_has",
        "_signature",
        "by_function",
        "child_options",
        "cls",
        "handlers",
        "inline_calls",
    )

    def __init__(
        self, cls: Any, handlers: dict[str, Handler], overridden: frozenset[str], *, shared: bool
    ) -> None:
        """For ``cls``, which defines the callbacks named in ``overridden`` itself."""
        is_supervisor: bool = cls.is_supervisor
        super().__init__(
            cls.__qualname__,
            mailbox_limit=cls.mailbox_limit,
            on_full=cls.on_full,
            shutdown=math.inf if is_supervisor else 5.0,
            is_supervisor=is_supervisor,
            shared=shared,
        )
        self.cls = cls
        self.answer_to(handlers)
        self._has = overridden
        self.child_options: ChildOptions | None = None
        """What all specs of the class have in common; made with the first."""
        self._signature: inspect.Signature | None = None
        self._arity = range(0)
        self._check: Callable[..., list[str]] | None = getattr(cls.__init__, "__mabeam_check__", None)
        self._activate = _activate_supervisor if cls.runs_trusted_code else _activate_serial

    def answer_to(self, handlers: Mapping[str, Handler]) -> None:
        """Have these handlers, which are those of the class or stand for them.

        They are found by name, so that overriding works. Nearly every message names the very function of the class or of
        one above it, though, and that is a shorter way.
        """
        self.handlers = handlers
        self.by_function: dict[Any, Handler] = {}
        for name, handler in handlers.items():
            functions = [vars(base).get(name) for base in self.cls.__mro__]
            self.by_function.update((each, handler) for each in functions if type(each) is FunctionType)
        self.inline_calls = {
            each: handler
            for each, handler in self.by_function.items()
            if handler.inline and handler.kind == "call"
        }

    def misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        """Say so if arguments do not fit ``__init__``: where they are written, not when the server starts."""
        if self._signature is None:
            self._signature = signature_of(self.cls)  # kept: making one takes longer than a start
            self._arity = arity_of(self._signature) if self._check is None else range(0)
        if not kwargs and len(args) in self._arity:
            return ()  # so does binding arguments to a signature
        return misfit_of_class(self._signature, self.label, self._check, args, kwargs)

    # ------------------------------------------------------------------------------------------- start

    def start(self, process: Process) -> None:
        """``__init__``, then the first half of ``lifespan``, then ``init``."""
        given, context = process.body, process.own_context()
        try:
            # In the process's own context, not a copy: what is set there is seen by every later handler.
            if type(given) is Arguments:
                process.body = context.run(self.cls, *given.args, **given.kwargs)
            else:
                process.body = context.run(self.cls, *given)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the start has failed)
            process.body = None
            self._start_failed(process, error)
            return
        if "lifespan" in self._has and process.ending is None:
            process.status &= ~BUSY
            hold_lifespan(process, process.body.lifespan(), partial(self._init, process), self._start_failed)
        else:
            self._init(process)

    def _init(self, process: Process) -> None:
        process.status |= BUSY
        # A lifespan that swallows its cancellation comes here when the end of the process is decided already.
        is_due = "init" in self._has and process.ending is None
        try:
            rest = process.own_context().run(process.body.init) if is_due else None
        except BaseException as error:  # noqa: BLE001  (whatever it is, the start has failed)
            self._start_failed(process, error)
            return
        if rest is not None and inspect.isawaitable(rest):
            activate(process, awaited(rest), None, self._init_over, serial=True)
        else:
            self._up(process)

    def _init_over(self, activation: Activation, _value: object, error: BaseException | None) -> None:
        process = activation.process
        if process.ending is not None:
            return
        if error is not None:
            self._start_failed(process, error)
            return
        if activation.context is not None:
            # What init has set in its context is seen by every later handler. This code runs in that very context.
            process.context = activation.context
            here.set(process)
        self._up(process)

    def _up(self, process: Process) -> None:
        if process.ending is None:
            process.kernel.started(process)
            if not self._afterwards(process):
                return
        if process.serial is None:
            process.kernel.scheduler.settle(process)

    def _start_failed(self, process: Process, error: BaseException) -> None:
        process.status &= ~BUSY
        if process.ending is not None:
            process.kernel.scheduler.settle(
                process
            )  # it was decided before, by a signal that it sent itself, say
        elif isinstance(error, Ignore):
            process.kernel.ignore_start(process)
        else:
            end(process, crash_reason(error))
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error

    # ------------------------------------------------------------------------------------------- messages

    def take(self, process: Process, message: Any) -> bool:
        """Work on one message."""
        kind = type(message)
        if process.extra is not None and kind is not SystemRequest:
            process.extra.end_silence()
        if kind is Call or kind is Cast:
            handler: Handler = message.handler
            caller = message.caller if kind is Call else None
            until = caller.deadline if caller is not None else None
            if until is not None and process.kernel.loop.time() >= until:
                process.kernel.incidents.expired(process, handler.what, "dropped")
                return True
            if handler.concurrent:
                self.start_concurrent(process, message)
                return True
            process.message = message
            try:
                if handler.waits:
                    value: Any = handler.function(process.body, *message.args, **message.kwargs)
                elif handler.thread:
                    function = partial(handler.function, process.body, *message.args, **message.kwargs)
                    value = run_blocking(process, message, function)
                else:
                    context = process.context
                    if context is None:
                        context = process.own_context()
                    value = context.copy().run(
                        handler.function, process.body, *message.args, **message.kwargs
                    )
            except BaseException as error:  # noqa: BLE001  (it is the outcome of the handler)
                if caller is not None:
                    caller.hold()
                return self.failed(process, message, caller, error)
            if handler.inline and process.extra is None and type(value) is not CoroutineType:
                # A value and nothing besides: nearly always.
                if caller is None:
                    return True
                if not caller.detached:
                    if not caller.future.done():
                        caller.future.set_result(value)
                        process.kernel.scheduler.woken += 1
                    return True
            if caller is not None:
                caller.hold()
            if type(value) is CoroutineType:
                return self.go_on(process, value, message, caller)
            return self.answered(process, caller, value)
        if kind is Continue:
            return self._run(process, message, None, partial(process.body.handle_continue, message.argument))
        if kind is StopRequest:
            stop(process, message.reason)
            return True
        if kind is StreamRequest:
            open_stream(process, message)
            return True
        if kind is ExitSignal and process.parent is not None and message.pid is process.parent.pid:
            stop(process, message.reason)
            return True
        if kind is SystemRequest:
            return self._serve(process, message)
        return self._run(process, message, None, partial(process.body.handle_info, message))

    def _serve(self, process: Process, request: SystemRequest[Any]) -> bool:
        """Run code that others ask for; what it asks for in turn takes effect as after a handler, unless it has raised."""
        asides: Asides | None = process.extra
        asked = None if asides is None else asides.open()
        process.message = request
        if request.run(process):
            after: Any = process.behaviour  # another one when its code was changed
            return after._afterwards(process)  # type: ignore[no-any-return]  # it is a server's
        if asides is None or asked is None:
            process.extra = None
        else:
            asides.withdraw(asked)
        return True

    def with_observers(self, observers: tuple[Observer, ...]) -> ServerBehaviour:
        """A behaviour for one process; the one of its class, when there are none."""
        return observed(self, observers)

    def state_of(self, process: Process) -> object:
        """The instance."""
        return process.body

    def replace_state(self, process: Process, state: object) -> None:
        """Another instance of the same class."""
        if type(state) is not type(process.body):
            msg = f"the state of {process.describe()} is an instance of {self.label}; got {state!r}. Return the instance."
            raise UsageError(msg)
        process.body = state

    def check_change(self, process: Process) -> None:
        """See to it that a process of another class can go on with this behaviour: ``code_change``."""

    def put_off(self, process: Process) -> tuple[MutableSequence[Any], ...]:
        """Where messages wait that were taken from the mailbox, and are for the handlers of the class that it has then."""
        return ()

    def is_urgent(self, process: Process, message: Any) -> bool:
        """What ends a server does so while it is suspended, too."""
        kind = type(message)
        return kind in {SystemRequest, StopRequest} or (
            kind is ExitSignal and process.parent is not None and message.pid is process.parent.pid
        )

    def drop(self, process: Process, message: Any, error: RejectedError) -> None:
        """Tell a caller or a reader; the rest are dead letters."""
        if type(message) is Call:
            message.caller.fail(error)
        elif type(message) is StreamRequest:
            message.channel.refuse(error)
        else:
            super().drop(process, message, error)

    def _run(
        self, process: Process, message: Any, caller: Caller[Any] | None, function: Callable[[], Any]
    ) -> bool:
        """Run serial code on behalf of a message; true when it is done with."""
        process.message = message
        try:
            value = process.own_context().copy().run(function)
        except BaseException as error:  # noqa: BLE001  (it is the outcome of the handler)
            return self.failed(process, message, caller, error)
        if type(value) is CoroutineType:
            return self.go_on(process, value, message, caller)
        return self.answered(process, caller, value)

    def go_on(
        self, process: Process, coroutine: Any, message: Any, caller: Caller[Any] | None
    ) -> Literal[False]:
        """Run what a serial handler has left to be awaited; the process takes no other message meanwhile."""
        if message.__class__ is Call and message.handler.thread:
            activation = activate(process, coroutine, message, self.activation_done, serial=True)
        else:
            activation = self._activate(process, coroutine, message, self.activation_done)
        if caller is not None and caller.deadline is not None:
            activation.caller = caller
        return False

    def activation_done(self, activation: Activation, value: object, error: BaseException | None) -> None:
        process, message = activation.process, activation.message
        if process.ending is not None:
            return
        caller = message.caller if type(message) is Call else None
        if error is None and type(value) is CoroutineType:
            process.message, where = message, self.where(process, message)
            self._crash(process, forgotten_await(where, value), where)
        elif error is None:
            self.answered(process, caller, value)
        else:
            process.message = message
            self.failed(process, message, caller, error)

    def answered(self, process: Process, caller: Caller[Any] | None, value: object) -> bool:
        """A serial handler has returned; true when nothing more is to be done before the next message."""
        asides: Asides | None = process.extra
        if value is None and caller is not None and is_forgotten(caller):
            process.message = None  # the error says it all
            self._crash(process, forgotten_return(caller), caller.what)
            return True
        if asides is not None and asides.stop_reason is not None:
            reason, asides.stop_reason = asides.stop_reason, None
            self._part(process, reason, None if caller is None or value is LATER else (caller, value))
            return True
        if caller is not None and value is not LATER:
            caller.reply(value)
        return self._afterwards(process)

    def _part(self, process: Process, reason: ExitReason, answer: tuple[Caller[Any], object] | None) -> None:
        """Stop as the handler has asked; its caller has the answer when ``terminate`` has run, as of a gen_server."""
        stop(process, reason, answer)

    def failed(
        self, process: Process, message: Any, caller: Caller[Any] | None, error: BaseException
    ) -> bool:
        """A serial handler has raised; true when nothing more is to be done before the next message."""
        if process.ending is not None:
            return True  # it ended itself by a signal, and this is its own cancellation
        handler: Handler | None = message.handler if isinstance(message, HandlerMessage) else None
        if handler is not None:
            if caller is not None and isinstance(error, handler.raises):
                caller.fail(error)
                return self._afterwards(process)
            if caller is not None and is_over_for_nobody(error, process, caller):
                # Only this handler is over: its caller has gone, and the server has done nothing wrong.
                process.kernel.incidents.expired(process, handler.what, "ended")
                caller.fail(error)
                return self._afterwards(process)
            if isinstance(error, TypeError) and is_bad_call(error, handler):
                # The sender's mistake: no code of the handler has run, so the server has no reason to end.
                self._refuse(process, message, caller, bad_call(handler, error))
                return True
        where = self.where(process, message)
        if isinstance(error, Ignore):
            error = late_ignore(where, error)
        self._crash(process, error, where)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error
        return True

    def where(self, process: Process, message: Any) -> str:
        """The method that works on a message, for reports."""
        if isinstance(message, HandlerMessage):
            return str(message.handler.what)
        return f"{self.label}.{'handle_continue' if type(message) is Continue else 'handle_info'}"

    def _crash(self, process: Process, error: BaseException, where: str) -> None:
        reason = crash_reason(error)
        process.kernel.incidents.crash(process, reason, where)
        stop(process, reason)

    def _refuse(self, process: Process, message: Any, caller: Caller[Any] | None, error: UsageError) -> None:
        if caller is not None:
            caller.fail(error)
        else:
            process.kernel.dead_letters.add(process.describe(), message, "not_understood")
            process.kernel.incidents.failure(process, error, message.handler.what)

    def _afterwards(self, process: Process) -> bool:
        """Do what the handler asked for besides; false when that goes on in an activation."""
        asides: Asides | None = process.extra
        if asides is None or not asides.pending or process.ending is not None:
            return True
        if asides.stop_reason is not None:
            reason, asides.stop_reason = asides.stop_reason, None
            stop(process, reason)
            return True
        if asides.continuations:
            # In front of the mailbox, not a call from here: a long chain of them must neither nest nor keep others waiting.
            # One at a time; in a suspended server there is one already, perhaps.
            if process.mailbox is None or type(process.mailbox[0]) is not Continue:
                process.kernel.put_back(process, asides.continuations.pop(0))
            return True
        asides.pending = False
        seconds, asides.idle_seconds = asides.idle_seconds, None
        if seconds is not None and _is_silent(process):
            asides.end_silence()  # introspection has not ended it
            if process.registrations is None:
                process.registrations = {}
            process.registrations[asides] = None  # the timer goes with the process
            context = process.own_context().copy()  # this may be the turn of a caller, whose timer it is not
            asides.idle_timer = process.kernel.loop.call_later(
                seconds, _idle, process, asides, context=context
            )
        return True

    def alarms(self, process: Process) -> Iterable[tuple[float, str]]:
        """Its idle timeout as well."""
        timer = process.extra.idle_timer if process.extra is not None else None
        return [*super().alarms(process), *([(timer.when(), "its idle timeout")] if timer else [])]

    # ------------------------------------------------------------------------------------------- end

    def terminate(self, process: Process, reason: ExitReason) -> Step:
        """Run ``terminate`` of the instance."""
        if "terminate" not in self._has:
            return None
        rest = process.own_context().copy().run(process.body.terminate, reason)
        return awaited(rest) if inspect.isawaitable(rest) else None

    def leave_lifespan(self, process: Process) -> None:
        """Begin the second half of ``lifespan``."""
        asides: Asides | None = process.extra
        leave = asides.leave if asides is not None else None
        if process.hold is not None and leave is not None and not leave.done():
            leave.set_result(None)

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        """Tell a caller or a reader; casts and raw messages become dead letters."""
        kind = type(message)
        if kind is Call:
            message.caller.callee_died(reason)
        elif kind is StreamRequest:
            message.channel.server_died(reason)
        return kind in {Call, StreamRequest, StopRequest, ExitSignal, IdleTimeout, Continue}


_OURS: Final = str(Path(__file__).parent)


def _activate_supervisor(process: Process, coroutine: Any, message: Any, done: Any) -> Activation:
    """Code of ours needs no task of its own. A subclass may have some of its own, which may ask for that."""
    activate_it = activate_trusted if coroutine.cr_code.co_filename.startswith(_OURS) else _activate_serial
    return activate_it(process, coroutine, message, done)


def _activate_serial(process: Process, coroutine: Any, message: Any, done: Any) -> Activation:
    return activate(process, coroutine, message, done, serial=True)


def _is_silent(process: Process) -> bool:
    """Whether no message waits. Whoever looks at a server does not disturb it."""
    return process.mailbox is None or all(type(each) is SystemRequest for each in process.mailbox)


def _idle(process: Process, asides: Asides) -> None:
    asides.idle_timer = None
    if not process.status & ~(SUSPENDED | SCHEDULED) and _is_silent(process):
        process.kernel.scheduler.enqueue(process, IdleTimeout())
