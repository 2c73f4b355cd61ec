"""Requests that every process understands, whatever it runs: what OTP calls system messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mabeam.kernel._calls import died

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("SystemRequest",)

T = TypeVar("T")


class SystemRequest(Generic[T]):
    """One request: a function that is run for the process between two of its messages."""

    __slots__ = ("_function", "_future", "what")

    def __init__(self, what: str, function: Callable[[Process], T], future: asyncio.Future[T]) -> None:
        """A request on its way."""
        self.what = what
        self._function = function
        self._future = future

    def run(self, process: Process) -> None:
        """Do it, and tell whoever asked; what the function raises is theirs."""
        try:
            value = self._function(process)
        except Exception as error:  # noqa: BLE001  (it is the asker's, whose function it may be)
            self._settle(None, error)
        else:
            self._settle(value, None)

    def refused(self, process: Process, reason: ExitReason) -> None:
        """The process has ended before it took the request."""
        self._settle(None, died(process, reason, "call"))

    def _settle(self, value: Any, error: Exception | None) -> None:
        if self._future.done():
            return
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(value)

    def __repr__(self) -> str:
        """Show what is asked."""
        return f"<system request: {self.what}>"
