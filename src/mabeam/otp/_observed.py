"""The behaviour of one server that somebody watches: it does what that of its class does, and says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mabeam.otp._state_machine_asks import puts_off

if TYPE_CHECKING:
    from mabeam.kernel import Caller, Observer, Process
    from mabeam.otp._server import ServerBehaviour

__all__ = ("observed", "unobserved")


class _Observing:
    """Goes before a behaviour class, whose methods it reports."""

    __slots__ = ()

    observers: tuple[Observer, ...]

    def take(self, process: Process, message: Any) -> bool:
        for observer in self.observers:
            observer.took(process, message)
        return super().take(process, message)  # type: ignore[misc,no-any-return]  # of the behaviour it goes before

    def answered(self, process: Process, caller: Caller[Any] | None, value: object) -> bool:
        for observer in self.observers:
            observer.finished(process, process.message, value, None)
        return super().answered(process, caller, value)  # type: ignore[misc,no-any-return]  # as above

    def failed(
        self, process: Process, message: Any, caller: Caller[Any] | None, error: BaseException
    ) -> bool:
        is_postponed = puts_off(process, error)
        for observer in self.observers:
            if is_postponed:
                observer.put_off(process, message, error)
            else:
                observer.finished(process, message, None, error)
        return super().failed(process, message, caller, error)  # type: ignore[misc,no-any-return]  # as above

    def answer_concurrent(
        self, process: Process, message: Any, value: object, error: BaseException | None
    ) -> None:
        for observer in self.observers:
            observer.finished(process, message, value, error)
        super().answer_concurrent(process, message, value, error)  # type: ignore[misc]  # as above


def observed(behaviour: ServerBehaviour, observers: tuple[Observer, ...]) -> ServerBehaviour:
    """A copy of ``behaviour`` for one process that tells ``observers``; that of the class, when there are none.

    None of its handlers may run in the turn of a caller, so that all it does goes through its mailbox, where it is seen.
    """
    base = unobserved(behaviour)
    if not observers:
        return base
    kind: Any = type(
        f"Observed{type(base).__name__}", (_Observing, type(base)), {"__slots__": ("unobserved",)}
    )
    copy: Any = kind.__new__(kind)
    for each in type(base).__mro__:
        for slot in vars(each).get("__slots__", ()):
            setattr(copy, slot, getattr(base, slot))
    copy.unobserved = base
    copy.observers = observers
    copy.answer_to({name: replace(handler, inline=False) for name, handler in (base.handlers or {}).items()})
    return copy  # type: ignore[no-any-return]  # a class that was made above


def unobserved(behaviour: ServerBehaviour) -> ServerBehaviour:
    """The behaviour of the class, whether it is watched or not."""
    base: ServerBehaviour = getattr(behaviour, "unobserved", behaviour)
    return base
