"""Named places in a program where a simulation may break it.

Production code says where it would hurt most (``fault_point("order.stored")``), and ``mabeam.testing.simulate`` lets it
crash or wait there. Outside of a simulation nobody listens, and a fault point costs a look-up.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

__all__ = ("FaultListener", "fault_listener", "fault_point")


class FaultListener(Protocol):
    """Told of each fault point that the program passes."""

    def passed(self, name: str) -> Awaitable[None]:
        """The running code is at the point of that name.

        Returns:
            What the code waits for if it can wait.

        Raises:
            Exception: the code is to fail here.
        """
        ...


fault_listener: Final[ContextVar[FaultListener | None]] = ContextVar("mabeam.fault_listener", default=None)
"""Who is told; what a simulation sets before the program begins, so that all of its processes and threads inherit it."""


class _Nothing:
    """Awaited, it is over."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_NOTHING: Final = _Nothing()


def fault_point(name: str, /) -> Awaitable[None]:
    """Mark a place where a simulation may make the running code crash, or wait.

    Put it where it matters that an operation is half done: between two writes, after the payment and before the mail. In
    plain code it is called, in ``async`` code it may be awaited as well, so that delays can be injected too.

    Guarantees:
        Without a simulation nothing happens, and awaiting it does not yield to the event loop.
        With one, only what its ``Faults(points=...)`` names is ever hit.

    Args:
        name: what the place is called in settings and reports: dotted, what has just been done.

    Returns:
        Something that may be awaited, or be left alone.

    Raises:
        InjectedFault: a simulation wants the code to fail here.

    Example:
        import asyncio

        async def store(order: str) -> str:
            fault_point("order.received")
            await fault_point("order.stored")
            return order

        assert asyncio.run(store("tea")) == "tea"
    """
    listener = fault_listener.get()
    return _NOTHING if listener is None else listener.passed(name)
