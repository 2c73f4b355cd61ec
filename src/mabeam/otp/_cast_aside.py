"""Casts that take another road than that to a server: from a thread to the loop, or to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam._base import Log
from mabeam.errors import UsageError
from mabeam.kernel import name_target, refuse_left_behind
from mabeam.otp._requests import show

if TYPE_CHECKING:
    from mabeam.kernel import Kernel
    from mabeam.otp._ref import Ref

__all__ = ("bury_cast", "cast_from_thread")

logger = Log("mabeam")


class _LostCast:
    """A cast that met no server, so that only its method says how its handler is called."""

    __slots__ = ("args", "kwargs", "method")

    def __init__(self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        what = getattr(self.method, "__qualname__", None) or repr(self.method)
        return f"cast of {show(what, self.args, self.kwargs)}"


def bury_cast(ref: Ref[Any], kernel: Kernel, why: str, method: Any, args: Any, kwargs: Any) -> None:
    """Make a cast a dead letter, with its arguments."""
    kernel.dead_letters.add(name_target(ref.address()), _LostCast(method, args, kwargs), why)


def cast_from_thread(ref: Ref[Any], kernel: Kernel, method: Any, args: Any, kwargs: Any) -> None:
    """Have the loop cast it. What is wrong with it is told here: later there is nobody to be told."""
    refuse_left_behind("send")
    process = ref._find()
    if process is not None:
        ref._handler(process, method, "cast")
    if not kernel.hand_over(_cast_or_bury, ref, kernel, method, args, kwargs):
        bury_cast(ref, kernel, "dead", method, args, kwargs)


def _cast_or_bury(ref: Ref[Any], kernel: Kernel, method: Any, args: Any, kwargs: Any) -> None:
    try:
        ref.cast(method, *args, **kwargs)
    except UsageError as error:  # another class of server has the name by now
        bury_cast(ref, kernel, "not_understood", method, args, kwargs)
        logger.error("a cast from a thread was not delivered: %s", error)
