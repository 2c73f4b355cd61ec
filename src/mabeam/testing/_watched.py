"""Behaviours as a simulation uses them: they do what they always do, and tell the simulation before and after."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, final

from mabeam.kernel import HandlerMessage, PlainBehaviour, here
from mabeam.testing._faults import InjectedFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.kernel import Behaviour, Process

__all__ = ("Watcher", "never_declared", "replace_function", "watched")

M = TypeVar("M")


class Watcher(Protocol):
    """Told what the processes do, and may do something else instead."""

    def take(self, process: Process, message: Any, proceed: Callable[[Process, Any], bool]) -> bool:
        """A process takes a message: ``proceed`` works on it, and says what ``take`` of a behaviour says."""
        ...

    def received(self, process: Process, message: Any) -> Awaitable[None] | None:
        """A plain process has got a message; it waits for what this returns."""
        ...

    def answered(self, process: Process, caller: Any, value: object) -> None:
        """A handler of a server has returned, in the turn of nobody else."""
        ...

    def call_handler(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A plain handler of a server is about to run, on behalf of a message or in the turn of its caller."""
        ...


def watched(behaviour: Behaviour, watcher: Watcher) -> Behaviour:
    """A copy of ``behaviour`` for the processes of one simulation.

    Code that changes a behaviour finds in ``unobserved`` what it was made from, as with the copies that ``trace`` makes.
    """
    kind: Any = _watched_kind(cast("Any", type(behaviour)))
    copy: Any = kind.__new__(kind)
    for base in type(behaviour).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in {"__dict__", "__weakref__"} and hasattr(behaviour, slot):
                setattr(copy, slot, getattr(behaviour, slot))
    for name, value in getattr(behaviour, "__dict__", {}).items():
        setattr(copy, name, value)
    copy.watcher = watcher
    copy.unobserved = getattr(behaviour, "unobserved", behaviour)
    handlers = getattr(behaviour, "handlers", None)
    if isinstance(behaviour, PlainBehaviour):
        others = (observer for observer in behaviour.observers if not isinstance(observer, _Receiving))
        copy.observers = (*others, _Receiving(watcher))
    elif handlers:
        # Those that may run in their caller's turn, where no message is taken.
        copy.answer_to(
            {
                name: replace_function(handler, _WatchedFunction(handler, watcher))
                if handler.inline
                else handler
                for name, handler in handlers.items()
            }
        )
    return cast("Behaviour", copy)


def replace_function(handler: M, function: Callable[..., Any]) -> M:
    """The same handler with another function behind it."""
    return cast("M", replace(cast("Any", handler), function=function))


def never_declared(handler: M) -> M:
    """The same handler for a crash, which is none of the exceptions that are answers: not even of ``raises=(Exception,)``."""
    return cast("M", replace(cast("Any", handler), raises=()))


@cache
def _watched_kind(kind: Any) -> Any:
    """The class of such copies: one for each kind of behaviour, however many simulations there are."""

    def take(self: Any, process: Process, message: Any) -> bool:
        proceed: Callable[[Process, Any], bool] = super(made, self).take
        return cast("bool", self.watcher.take(process, message, proceed))

    def answered(self: Any, process: Process, caller: Any, value: object) -> bool:
        done: bool = super(made, self).answered(process, caller, value)
        self.watcher.answered(process, caller, value)
        return done

    def failed(self: Any, process: Process, message: Any, caller: Any, error: BaseException) -> bool:
        if (
            isinstance(error, InjectedFault)
            and error.fault.kind == "crash"
            and isinstance(message, HandlerMessage)
        ):
            message.handler = never_declared(message.handler)
        return cast("bool", super(made, self).failed(process, message, caller, error))

    def answer_concurrent(self: Any, process: Process, message: Any, value: object, error: Any) -> None:
        super(made, self).answer_concurrent(process, message, value, error)
        self.watcher.answered(process, getattr(message, "caller", None), value)

    def fill(namespace: dict[str, Any]) -> None:
        own = () if hasattr(kind, "unobserved") else ("unobserved",)
        namespace.update(__slots__=("watcher", *own), __module__=kind.__module__, take=take)
        if hasattr(kind, "answered"):
            namespace.update(answered=answered, failed=failed, answer_concurrent=answer_concurrent)

    made: Any = new_class(kind.__name__, (kind,), exec_body=fill)
    return made


@final
class _Receiving:
    """Tells of the messages that a plain process gets: it takes them by itself."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def took(self, process: Process, message: Any) -> Awaitable[None] | None:
        return self._watcher.received(process, message)

    def finished(self, process: Process, message: Any, value: object, error: BaseException | None) -> None:
        """It has no handlers."""

    def put_off(self, process: Process, message: Any, error: BaseException) -> None:
        """As above."""


@final
class _WatchedFunction:
    """Stands for the function of a handler."""

    __slots__ = ("_handler", "_watcher")

    def __init__(self, handler: Any, watcher: Watcher) -> None:
        self._handler = handler
        self._watcher = watcher

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        owner = here.get(None)
        if owner is None or owner.in_thread:
            return self._handler.function(*args, **kwargs)
        return self._watcher.call_handler(self._handler, args, kwargs)

    @property
    def __code__(self) -> Any:
        """That of the function: it tells a call that does not fit from an error inside."""
        return self._handler.function.__code__
