"""The messages that servers understand, besides what is sent raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mabeam.kernel import Exempt, HandlerMessage

if TYPE_CHECKING:
    from mabeam.kernel import Caller, ExitReason
    from mabeam.otp._handlers import Handler
    from mabeam.telemetry import TraceContext

__all__ = ("Arguments", "Call", "Cast", "Continue", "IdleTimeout", "StopRequest", "show")


class Arguments:
    """Those of a server that has some with keywords; others are a plain tuple."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs


class Call(HandlerMessage):
    """A call on its way: answered through ``caller``."""

    __slots__ = ("caller", "trace")

    handler: Handler
    trace: TraceContext | None
    """The trace of the caller; set only when somebody traces."""

    def __init__(
        self, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any], caller: Caller[Any]
    ) -> None:
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        self.caller = caller

    def __repr__(self) -> str:
        return f"call of {show(self.handler.what, self.args, self.kwargs)}"


class Cast(HandlerMessage):
    """A cast on its way."""

    __slots__ = ("trace",)

    handler: Handler
    trace: TraceContext | None
    """The trace of the sender; set only when somebody traces."""

    def __init__(self, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.handler = handler
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"cast of {show(self.handler.what, self.args, self.kwargs)}"


def show(what: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """How a request reads in reports: ``Class.method(1, of=2)``."""
    arguments = [repr(each) for each in args] + [f"{name}={each!r}" for name, each in kwargs.items()]
    return f"{what}({', '.join(arguments)})"


@dataclass(frozen=True, slots=True)
class StopRequest(Exempt):
    """A request to end in an orderly way; taken in the order of the mailbox."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class IdleTimeout(Exempt):
    """Reaches ``handle_info`` when no message came for as long as ``idle_timeout`` asked for."""


class Continue(Exempt):
    """A continuation: what ``continue_with`` was given."""

    __slots__ = ("argument", "trace")

    def __init__(self, argument: object, trace: TraceContext | None) -> None:
        self.argument = argument
        self.trace = trace

    def __repr__(self) -> str:
        return f"continue with {self.argument!r}"
