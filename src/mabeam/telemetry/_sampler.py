"""Samplers: which traces are kept. Time and chance are given to them."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop as running_loop
from typing import TYPE_CHECKING, Protocol, cast, final

from mabeam._base import stopwatch_of, system_random
from mabeam.errors import UsageError
from mabeam.telemetry._sampler_state import AdaptiveState, PerSecondState

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from mabeam._base import Random

__all__ = ("Adaptive", "FixedRate", "PerSecond", "Sampler")

_MOST_PER_SECOND = 1_000_000


class Sampler(Protocol):
    """Decides whether a trace is kept. Asked at its root only; whatever belongs to the trace follows.

    May be asked from any thread. One that raises is logged and counted, and the trace is kept.
    """

    def keep(self, event: str, /) -> bool:
        """Whether to keep what begins with ``event``."""
        ...


def _time() -> float:
    """The stopwatch of the running loop, virtual if that is; the real one in threads and outside."""
    return stopwatch_of(cast("AbstractEventLoop", running_loop()))()


def _check_number(what: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UsageError(f"{what} from {low:g} to {high:g}, got {value!r}")
    return float(value)


@final
class FixedRate:
    """Keeps a fixed share, each trace by chance for itself.

    Args:
        rate: the share that is kept: 0 for none, 1 for all, 0.1 for one in ten.
        random: where chance comes from; a generator of its own unless given.

    Raises:
        UsageError: ``rate`` is no number from 0 to 1.

    Example:
        >>> FixedRate(1.0).keep("order"), FixedRate(0.0).keep("order")
        (True, False)
    """

    __slots__ = ("_random", "rate")

    def __init__(self, rate: float, *, random: Random | None = None) -> None:
        self.rate = _check_number("FixedRate expects the share to keep,", rate, 0.0, 1.0)
        self._random = system_random() if random is None else random

    def keep(self, event: str, /) -> bool:
        """Decide by chance. From any thread."""
        return self._random.random() < self.rate

    def __repr__(self) -> str:
        return f"FixedRate({self.rate:g})"


@final
class PerSecond:
    """Keeps the first ones of each second.

    Guarantees:
        Never more than ``limit`` within any second, wherever that second begins. When the clock has gone backwards it
        counts anew.

    Args:
        limit: most traces to keep within a second, from 1 to 1,000,000; it remembers as many times.
        clock: seconds since whenever; the stopwatch of the running loop unless given.

    Raises:
        UsageError: ``limit`` is no such number.

    Example:
        >>> sampler = PerSecond(2, clock=iter([0.0, 0.1, 0.2, 1.0]).__next__)
        >>> [sampler.keep("order") for _ in range(4)]
        [True, True, False, True]
    """

    __slots__ = ("_clock", "_lock", "_state")

    def __init__(self, limit: int, *, clock: Callable[[], float] | None = None) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MOST_PER_SECOND:
            raise UsageError(
                f"PerSecond expects a number of traces from 1 to {_MOST_PER_SECOND:,}, got {limit!r}. "
                "Less than one a second is a matter of FixedRate or Adaptive."
            )
        self._state = PerSecondState(limit)
        self._clock = _time if clock is None else clock
        self._lock = threading.Lock()

    def keep(self, event: str, /) -> bool:
        """Decide by the time. From any thread."""
        with self._lock:
            return self._state.keep(self._clock())

    def __repr__(self) -> str:
        return f"PerSecond({self._state.limit})"


@final
class Adaptive:
    """Keeps such a share that about as many traces a second come of it as asked for, whatever the load.

    Guarantees:
        While fewer come than asked for, all are kept; so they are before the load is known, and when the clock has gone
        backwards. The share follows the load of the window before: a rise at once, a fall by half of the difference for each
        window that has passed. None of it is exact: for a hard limit use :class:`PerSecond`.

    Args:
        target: traces to keep in a second, on average; more than 0.
        window: seconds over which the load is measured.
        clock: seconds since whenever; the stopwatch of the running loop unless given.
        random: where chance comes from; a generator of its own unless given.

    Raises:
        UsageError: one of them is no such number.

    Example:
        >>> Adaptive(10.0).keep("order")  # nothing is known yet
        True
    """

    __slots__ = ("_clock", "_lock", "_random", "_state")

    def __init__(
        self,
        target: float,
        *,
        window: float = 1.0,
        clock: Callable[[], float] | None = None,
        random: Random | None = None,
    ) -> None:
        self._state = AdaptiveState(
            _check_number("Adaptive expects traces a second", target, 1e-6, 1e9),
            _check_number("Adaptive expects window in seconds", window, 1e-3, 3600.0),
        )
        self._clock = _time if clock is None else clock
        self._random = system_random() if random is None else random
        self._lock = threading.Lock()

    @property
    def share(self) -> float:
        """The part that is kept at the moment, from 0 to 1."""
        return self._state.share

    def keep(self, event: str, /) -> bool:
        """Decide by chance and load. From any thread."""
        with self._lock:
            return self._state.keep(self._clock(), self._random.random())

    def __repr__(self) -> str:
        return f"<Adaptive {self._state.target:g} a second, keeps {self.share:.3g} of all>"
