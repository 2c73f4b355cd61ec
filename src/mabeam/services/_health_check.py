"""One health check as users describe it, and what its function's result means."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mabeam.services._health_values import PRECEDENCE, Health

if TYPE_CHECKING:
    from mabeam.services._health_values import CheckFunction

__all__ = ("HealthCheck", "failure", "is_async", "verdict")

_LONGEST_DETAIL: Final = 200


@final
@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check and how it is run. It is looked at as a whole when it is given to a ``HealthChecker``.

    An ``async def`` runs in a task; a plain ``def`` in a thread of the Runtime, since nobody can tell whether it blocks. It
    returns ``True``, ``None`` or ``"healthy"``, ``"degraded"``, ``"unhealthy"``, ``"unknown"``, ``False`` for unhealthy, or a
    :class:`Health` with a detail. Raising is ``unhealthy``.

    Attributes:
        function: the check; takes no arguments.
        interval: seconds from the end of a run to the next one, give or take the checker's jitter.
        deadline: seconds that a run may take; then it is ``unhealthy`` and is ended.
        depends_on: ids of checks that this one makes no sense without.
        stale_after: seconds after which a result means nothing any more; three intervals, the deadline and 1 s unless given.
    """

    function: CheckFunction
    interval: float = 60.0
    deadline: float = 5.0
    depends_on: tuple[str, ...] = ()
    stale_after: float | None = None

    @property
    def stale_seconds(self) -> float:
        """Seconds after which a result is stale."""
        return 3 * self.interval + self.deadline + 1.0 if self.stale_after is None else self.stale_after

    @property
    def blocks(self) -> bool:
        """Whether it is run in a thread, since nobody can tell how long it blocks."""
        return not is_async(self.function)

    def problems(self) -> list[str]:
        """All that is wrong with it, a sentence each."""
        found: list[str] = []
        if inspect.iscoroutine(self.function):
            self.function.close()
            found.append(f"function expects a function, got {self.function!r}: was it called already?")
        elif not callable(self.function):
            found.append(
                f"function expects an async or plain function without arguments, got {self.function!r}"
            )
        for name, value in (
            ("interval", self.interval),
            ("deadline", self.deadline),
            ("stale_after", self.stale_after),
        ):
            if not (name == "stale_after" and value is None) and not _is_positive(value):
                found.append(f"{name} expects seconds > 0, got {value!r}")
        if not found and self.stale_seconds < self.interval + self.deadline:
            found.append(
                f"stale_after expects at least interval + deadline ({self.interval + self.deadline:g} s), got {self.stale_after!r}: "
                "a good result would be stale before the next one can be there"
            )
        if not isinstance(self.depends_on, tuple) or not all(
            isinstance(each, str) and each for each in self.depends_on
        ):
            found.append(f"depends_on expects a tuple of ids such as ('database',), got {self.depends_on!r}")
        elif len(set(self.depends_on)) != len(self.depends_on):
            found.append(f"depends_on names something twice: {self.depends_on!r}")
        return found


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def is_async(function: object) -> bool:
    """Whether calling it runs nothing that could block."""
    of_object = inspect.getattr_static(type(function), "__call__", None)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(of_object)


def verdict(value: object) -> Health:
    """What a returned value means."""
    if value is None or value is True:
        return Health("healthy")
    if value is False:
        return Health("unhealthy", "the check returned False")
    if isinstance(value, str) and value in PRECEDENCE:
        return Health(value)
    if isinstance(value, Health) and value.status in PRECEDENCE and isinstance(value.detail, str):
        return Health(value.status, _short(value.detail))
    if inspect.iscoroutine(value):
        value.close()
        return Health(
            "unhealthy", "the check is a plain function that returned a coroutine; write it as async def"
        )
    shown = _short(_shown(value))
    return Health(
        "unhealthy",
        f"the check returned {shown}; expected None, a bool, one of {', '.join(PRECEDENCE)}, or Health(status, detail)",
    )


def failure(error: BaseException) -> Health:
    """What an exception means. The exception itself is not kept: its frames would live as long as the result."""
    return Health("unhealthy", _short(f"{type(error).__name__}: {_shown(error, str)}".rstrip(": ")))


def _shown(value: object, how: type[str] | None = None) -> str:
    try:
        return str(value) if how is str else repr(value)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the place of the news
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"
