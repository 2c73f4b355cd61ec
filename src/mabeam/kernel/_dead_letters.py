"""Messages that could not be delivered: counted, and the latest kept."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.kernel._messages import Carried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.telemetry import Bus

__all__ = ("DeadLetter", "DeadLetters")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that nobody got.

    Attributes:
        target: whom it was for.
        message: what was sent.
        why: ``dead`` (the receiver had ended), ``no_name`` (the name led nowhere), ``full`` (its mailbox was),
            ``ended`` (it was in the mailbox when the receiver ended), ``not_understood`` (the receiver has no use for it).
    """

    target: str
    message: object
    why: str


class DeadLetters:
    """A bounded ring of the latest dead letters, and how many there were of each kind."""

    def __init__(self, bus: Bus, *, capacity: int = 1_000) -> None:
        """Keep at most ``capacity`` letters."""
        self._bus = bus
        self._ring: deque[DeadLetter] = deque(maxlen=capacity)
        self._counts: Counter[str] = Counter()

    def add(self, target: str, message: object, why: str) -> None:
        """Record one."""
        if type(message) is Carried:
            message = message.message
        self._counts[why] += 1
        self._ring.append(DeadLetter(target=target, message=message, why=why))
        if self._bus.listening:
            self._bus.emit("message.dead_letter", {"count": 1}, {"target": target, "why": why})

    @property
    def latest(self) -> tuple[DeadLetter, ...]:
        """Those still in the ring, oldest first."""
        return tuple(self._ring)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were since the start, by ``why``."""
        return dict(self._counts)

    def __len__(self) -> int:
        """How many there were since the start."""
        return self._counts.total()

    def __repr__(self) -> str:
        """Show the counts."""
        return f"<dead letters {dict(self._counts)}>"
