"""What OTP's `sys` does to a running server's state and code: look, replace, change."""

from __future__ import annotations

import inspect
from collections import deque
from types import CoroutineType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mabeam.errors import UsageError
from mabeam.kernel import admit, ask, crowd_of
from mabeam.otp._observed import unobserved
from mabeam.otp._ref import Ref
from mabeam.otp._requests import Call, Cast
from mabeam.otp._server import ServerBehaviour
from mabeam.otp._streams import StreamRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Process
    from mabeam.otp._asides import Asides

__all__ = ("code_change", "get_state", "replace_state")

_EMPTY: Final = object()
S = TypeVar("S")
T = TypeVar("T")


async def get_state(server: Ref[S], /, *, timeout: float | None = 5.0) -> S:
    """The state of a running server: its instance. For debugging and tests.

    It takes its place in the mailbox, so what is seen is the state between two messages; a suspended server answers, too.

    Args:
        server: its handle.
        timeout: seconds to wait; ``None`` waits without limit.

    Returns:
        The instance itself, which must not be changed: see :func:`replace_state`.

    Raises:
        NoSuchProcess: there is no such process.
        CallTimeout: it did not come to it in time.
        UsageError: it is a plain process.

    Example:
        from mabeam import GenServer, get_state

        class Counter(GenServer):
            def __init__(self) -> None:
                self.value = 7

        async def main() -> int:
            return (await get_state(await Counter.start_link())).value

        assert mabeam.run(main) == 7
    """
    return cast(
        "S", await ask(server, "get_state", lambda process: process.behaviour.state_of(process), timeout)
    )


async def replace_state(server: Ref[S], function: Callable[[S], S], /, *, timeout: float | None = 5.0) -> S:
    """Have a running server go on with another state. For debugging, repair and tests.

    Args:
        server: its handle.
        function: is given the instance and returns the one to go on with, the same or another of its class. It runs as
            code of the server, between two messages: ``self_pid()`` is the server's, and it may ask for what a handler may
            (``continue_with``, ``stop_self``, ``become``), which takes effect when it has returned, or when a suspended
            server is resumed. It must neither wait nor block.
        timeout: seconds to wait; ``None`` waits without limit.

    Returns:
        The new state.

    Raises:
        Exception: what ``function`` raised; the server goes on with the instance that it had, and what was asked for is
            forgotten.
        NoSuchProcess: there is no such process.
        CallTimeout: it did not come to it in time.
        UsageError: it is a plain process, or ``function`` is no plain function or returned something else.
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        msg = f"replace_state expects a plain function that is given the instance and returns one, got {function!r}"
        raise UsageError(msg)

    def change(process: Process) -> S:
        state = function(cast("S", process.behaviour.state_of(process)))
        process.behaviour.replace_state(process, state)
        return state

    return await ask(server, "replace_state", change, timeout)


async def code_change(
    server: Ref[Any], new: type[S], /, extra: object = None, *, timeout: float | None = 5.0
) -> Ref[S]:
    """Have a running server go on as an instance of another class: state handed over, mailbox kept.

    Between two messages the instance becomes one of ``new``, and its ``code_change(old, extra)``, if the class has one, makes
    its attributes fit. It runs as code of the server and may ask for what a handler may: a :class:`StateMachine` may
    ``become`` another state. Messages that wait are handled by the methods of the same name; those that the new class does
    not answer are refused. Handlers in progress beside (concurrent ones, streams, ``lifespan``) end as they began.

    When it fails the instance is of its old class again, its attributes are bound to what they were bound to, and what was
    asked for is forgotten. What ``code_change`` has changed inside of a list or a dict stays changed, and what it has sent is
    sent: one that may fail makes new ones.

    A restart still starts what the child spec says: put the new class there, too.

    Args:
        server: its handle.
        new: the class to change to: a server of the same kind.
        extra: given to ``code_change``.
        timeout: seconds to wait; ``None`` waits without limit.

    Returns:
        A handle of the new class for the same process.

    Raises:
        Exception: what ``code_change`` raised.
        UsageError: ``new`` is no server class of the same kind, or its instances are laid out in another way; or it has not
            the state that a machine is in, and ``code_change`` has chosen no other.
        NoSuchProcess: there is no such process.
        CallTimeout: it did not come to it in time.
    """
    process = await ask(server, "code_change", lambda process: _change(process, new, extra), timeout)
    return Ref(process, process.kernel)


def _change(process: Process, new: type[Any], extra: object) -> Process:
    behaviour = process.behaviour
    changed: Any = getattr(new, "__mabeam_behaviour__", None)
    if not isinstance(behaviour, ServerBehaviour):
        msg = f"{process.describe()} runs a function, and goes on with it to its end; code_change is for servers"
        raise UsageError(msg)
    if (
        not isinstance(new, type)
        or _kind(new) is not _kind(behaviour.cls)
        or type(changed) is not type(unobserved(behaviour))
        or (new.is_supervisor, new.runs_trusted_code)
        != (behaviour.cls.is_supervisor, behaviour.cls.runs_trusted_code)
    ):
        msg = f"{process.describe()} cannot change to {new!r}; code_change expects a server class of the same kind"
        raise UsageError(msg)
    instance = process.body
    old, attributes, slots = type(instance), dict(vars(instance)), _slots(instance)
    try:
        object.__setattr__(instance, "__class__", new)  # it may be a frozen dataclass, say
    except TypeError as error:
        msg = f"{old.__qualname__} cannot become {new.__qualname__}: {error}. The two must have the same __slots__, or none."
        raise UsageError(msg) from error
    # Before its code runs, which is that of the new class in all respects: ``become`` knows the new states.
    _go_on_with(process, changed)
    try:
        rest: object = instance.code_change(old, extra)
        if isinstance(rest, CoroutineType):
            rest.close()
            msg = f"{new.__qualname__}.code_change is async; it runs between two messages and cannot wait: write it as a plain def"
            raise UsageError(msg)
        changed.check_change(process)
    except BaseException:
        _go_on_with(process, behaviour)
        object.__setattr__(instance, "__class__", old)
        vars(instance).clear()
        vars(instance).update(attributes)
        for slot, value in slots:
            slot.__set__(instance, value)
            if value is _EMPTY:
                slot.__delete__(instance)
        raise
    admit(process)
    _redirect(process)
    return process


def _go_on_with(process: Process, behaviour: ServerBehaviour) -> None:
    observers = process.behaviour.observers
    process.kernel.scheduler.change_behaviour(process, behaviour.with_observers(observers))


def _kind(cls: type[Any]) -> type[Any] | None:
    """The class of ours that it is built upon: what its state is made of."""
    return next((each for each in cls.__mro__ if each.__module__.partition(".")[0] == "mabeam"), None)


def _slots(instance: object) -> list[tuple[Any, Any]]:
    """What it keeps in ``__slots__``, and which of them are empty."""
    found = []
    for cls in type(instance).__mro__:
        for slot in vars(cls).values():
            if isinstance(slot, MemberDescriptorType):
                try:
                    found.append((slot, slot.__get__(instance)))
                except AttributeError:
                    found.append((slot, _EMPTY))
    return found


def _redirect(process: Process) -> None:
    """Have the messages that wait handled by the new class; those for a place among concurrent handlers are taken again."""
    behaviour = cast("ServerBehaviour", process.behaviour)
    asides: Asides | None = process.extra
    if asides is not None:
        _take_again(process, asides)
        _share_places(asides, behaviour)
    # Those who wait for room first: whoever is turned away below makes some.
    for entered, message in crowd_of(process):
        error = _redirected(process, behaviour, message)
        if error is not None and not entered.done():
            entered.set_exception(error)
    for messages in (process.mailbox, *behaviour.put_off(process)):
        for index in reversed(range(len(messages or ()))):
            message = messages[index]  # type: ignore[index]  # not empty, or there is no index
            error = _redirected(process, behaviour, message)
            if error is None:
                continue
            del messages[index]  # type: ignore[union-attr]  # as above
            if type(message) is Call:
                message.caller.fail(error)
            elif type(message) is StreamRequest:
                message.channel.refuse(error)
            else:
                process.kernel.dead_letters.add(process.describe(), message, "not_understood")
    if not process.mailbox:
        process.mailbox = None


def _take_again(process: Process, asides: Asides) -> None:
    """Return what waits for a place among concurrent handlers to the mailbox."""
    for waiting in asides.waiting.values():
        while waiting:
            message = waiting.pop()
            message.caller.needs_place, message.caller.detached = False, ""
            process.kernel.put_back(process, message)


def _share_places(asides: Asides, behaviour: ServerBehaviour) -> None:
    """Have the handlers in progress take up places of the methods that stand for theirs now, whatever these are called."""
    for what, running in tuple(asides.running.items()):
        handler = (behaviour.handlers or {}).get(what.rpartition(".")[2])
        if handler is not None:
            asides.running[handler.what] = running
            asides.waiting[handler.what] = asides.waiting.setdefault(what, deque())


def _redirected(process: Process, behaviour: ServerBehaviour, message: Any) -> UsageError | None:
    """Have one message handled by the new class; what to tell its sender if that has no handler for it."""
    if not isinstance(message, Call | Cast | StreamRequest):
        return None
    name = message.handler.what.rpartition(".")[2]
    handler = behaviour.handlers.get(name) if behaviour.handlers is not None else None
    if handler is not None and handler.kind == message.handler.kind:
        message.handler = handler
        return None
    return UsageError(
        f"{message.handler.what} is no handler of {process.describe()} since its code was changed"
    )
