"""Telling about the changes of a breaker in their order, though several threads make them, and outside of any lock."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.telemetry import Bus

__all__ = ("InOrder",)


class InOrder:
    """Emits changes in the order in which they were put in, one thread at a time."""

    __slots__ = ("_bus", "_lock", "_waiting")

    def __init__(self, bus: Bus | None) -> None:
        """Nothing to tell yet."""
        self._bus = bus
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Mapping[str, float], Mapping[str, object]]] = deque()

    def put(self, measurements: Mapping[str, float], metadata: Mapping[str, object]) -> None:
        """Put a change in line; to be called under the lock that orders the changes."""
        if self._bus is not None and self._bus.listening:
            self._waiting.append((measurements, metadata))

    def tell(self) -> None:
        """Emit what is in line, unless another thread (or a handler of this one) is at it and will emit this, too."""
        bus = self._bus
        if bus is None:
            return
        while self._waiting and self._lock.acquire(blocking=False):
            try:
                while self._waiting:
                    bus.emit("circuit_breaker.changed", *self._waiting.popleft())
            finally:
                self._lock.release()
