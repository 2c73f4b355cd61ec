"""The record of one simulated run: everything that happened, in words that are the same in each run of the same schedule."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, final

from mabeam.kernel import HandlerMessage

if TYPE_CHECKING:
    from mabeam.kernel import ExitReason, Process

__all__ = ("Trace", "name_callback", "name_message", "name_process", "name_reason", "short_name")

_LONGEST_LITERAL: Final = 40
_ADDRESS: Final = " at 0x"
"""In the text of an object that has no better one."""


@final
class Trace:
    """Lines, each with the virtual time.

    Guarantees:
        No line holds anything that differs from run to run: no memory addresses, no values but short literals, no names
        that a global counter makes up.
    """

    def __init__(self) -> None:
        self._events: list[tuple[float, str, str]] = []
        self._unusual: list[str] = []
        self._end: int | None = None

    def add(self, time: float, kind: str, text: str, *, unusual: bool = False) -> None:
        """Record one event; ``unusual`` for a choice that was not the ordinary one."""
        self._events.append((time, kind, text))
        if unusual:
            self._unusual.append(text)

    def unusual(self) -> tuple[str, ...]:
        """The choices that were not the ordinary ones, in the order of time."""
        return tuple(self._unusual)

    def lines(self) -> tuple[str, ...]:
        """The events in words, oldest first."""
        return tuple(f"{time:10.3f}  {kind:<6} {text}" for time, kind, text in self._events)

    def ends(self) -> None:
        """The program is over; what follows is how the rest is stopped."""
        if self._end is None:
            self._end = len(self._events)

    def lines_to_end(self) -> tuple[str, ...]:
        """The events in words up to the end of the program."""
        return self.lines()[: self._end]

    def digest(self) -> str:
        """A short word that two traces have in common only if they are equal."""
        text = "\n".join(f"{time!r} {kind} {text}" for time, kind, text in self._events)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        """How many events."""
        return len(self._events)


def short_name(name: str) -> str:
    """A qualified name without the functions that it was defined in."""
    return name.rpartition("<locals>.")[2]


def name_process(process: Process, name: str | None = None) -> str:
    """What a process is, with its name if that is a word (or with one that it had), and its number."""
    if isinstance(process.name, str):
        name = process.name
    shown = f" {name!r}" if name is not None else ""
    return f"{short_name(process.label)}{shown} <{process.pid.serial}>"


def name_message(message: Any) -> str:
    """What a message is: the handler for a call or a cast, a short literal, or else its class."""
    if isinstance(message, HandlerMessage):
        return short_name(message.handler.what)
    if message is None or type(message) in {str, int, float, bool, bytes}:
        text = repr(message)
        if len(text) <= _LONGEST_LITERAL and _ADDRESS not in text:
            return text
    return short_name(type(message).__qualname__)


def name_reason(reason: ExitReason) -> str:
    """An exit reason, with no more than the class of what is inside."""
    inside = next(
        (getattr(reason, name) for name in ("exception", "value", "detail") if hasattr(reason, name)), None
    )
    word = type(reason).__name__
    return word if inside is None else f"{word}({short_name(type(inside).__qualname__)})"


def name_callback(callback: Any) -> str:
    """What a timer calls."""
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    return short_name(str(name))
