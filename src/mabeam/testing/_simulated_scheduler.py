"""The run queue as a simulation sees it: each choice and each message is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from mabeam.kernel import Scheduler

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable

    from mabeam.kernel import Behaviour, Process
    from mabeam.testing._simulation import Simulation

__all__ = ("SimulatedScheduler",)


@final
class SimulatedScheduler(Scheduler):
    """A run queue that tells a simulation what it does.

    Args:
        loop: the event loop.
        stopwatch: tells how long something took.
        simulation: makes the choices, and is told of everything.
    """

    __slots__ = ("_simulation",)

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stopwatch: Callable[[], float], simulation: Simulation
    ) -> None:
        choices = _Choices(simulation)
        super().__init__(loop, stopwatch, choices)
        choices.ready = self.ready
        self._simulation = simulation

    def enqueue(self, process: Process, message: Any) -> None:
        """Put a message into a mailbox."""
        self._simulation.sent(process, message)
        if not self._simulation.is_late(process, message):
            super().enqueue(process, message)
        self._simulation.arrived(process, message)

    def may_hand_off(self) -> bool:
        """Whether a call may run at once; remembers whose."""
        may = super().may_hand_off()
        if may:
            self._simulation.hands_off()
        return may

    def change_behaviour(self, process: Process, behaviour: Behaviour) -> None:
        """Have a process run as something else, and go on watching it."""
        super().change_behaviour(process, self._simulation.watch(behaviour))


class _Choices:
    """Makes the choices of one run queue, and writes them down."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.ready: deque[Process] | None = None

    def choose(self, kind: str, count: int) -> int:
        """Pick one of ``count`` possibilities."""
        value = self._simulation.choose(kind, count)
        self._simulation.note_choice(value, count, self._in_words(kind, value))
        return value

    def _in_words(self, kind: str, value: int) -> str:
        simulation = self._simulation
        if kind == "next_process" and self.ready is not None:
            before = f", before {simulation.name(self.ready[0])}" if value else ""
            return f"next_process: {simulation.name(self.ready[value])} runs{before}"
        if kind == "hand_off":
            how = "waits for its turn" if value else "is done at once"
            return f"hand_off: what {simulation.name_here()} asks for {how}"
        if kind == "slice":
            return f"slice: it takes {value or 'all'} of its messages"
        if kind == "turn":
            return f"turn: {'the event loop has its turn' if value else 'the others go on'}"
        return kind
