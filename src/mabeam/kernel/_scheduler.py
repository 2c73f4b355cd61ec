"""The run queue: which process runs next, and for how long."""

from __future__ import annotations

import math
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from mabeam.kernel._ending import advance, finish_kill
from mabeam.kernel._mailbox import offer
from mabeam.kernel._process import BUSY, EXITING, RECEIVING, SCHEDULED, STARTING, SUSPENDED
from mabeam.kernel._steps import Steps
from mabeam.kernel._tracing import in_trace, take_in_trace, trace_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mabeam.kernel._behaviour import Behaviour
    from mabeam.kernel._process import Process

__all__ = ("Chooser", "Scheduler")

MESSAGES_PER_SLICE: Final = 64
"""Messages that a process may take before the next process has its turn."""
MESSAGES_PER_LOOK: Final = 4
"""After so many messages of a process the time is looked at for the first time."""
MOST_PER_LOOK: Final = 8
"""Then after twice as many, and after each so many messages from there on; calls that are handed off likewise, from the first on.
A look takes a tenth of the shortest handlers."""
SECONDS_PER_TURN: Final = 0.002
"""How long processes run before the event loop has its turn."""
WOKEN_PER_TURN: Final = 64
"""Coroutines that begin, or get the answer to their call, before the event loop has its turn: it runs all of them in that."""
SLICES_PER_TURN: Final = 4_096
"""The same as a count, for loops whose clock stands still while they run: virtual ones."""
HANDOFFS_IN_A_ROW: Final = 64
SECONDS_OF_HANDOFFS: Final = 0.001


class Chooser(Protocol):
    """Makes the choices that the kernel is free to make. Without one: first come first served, hand-off when possible."""

    def choose(self, kind: str, count: int) -> int:
        """Pick one of ``count`` possibilities; 0 is what happens without a chooser.

        Args:
            kind: ``next_process`` (which one in the run queue), ``hand_off`` (0: at once, 1: through the mailbox),
                ``slice`` (messages that it takes before the next has its turn; 0: as many as ever), ``turn`` (1: the loop
                has its turn now). Simulations ask more kinds, of a loop of their own.
            count: how many there are.
        """
        ...


class Scheduler:
    """The run queue of one Runtime, drained from one callback of its event loop.

    Guarantees:
        A process takes its messages in the order in which they came, one at a time. No process runs for more than
        ``MESSAGES_PER_SLICE`` messages while others are ready. The loop has its turn after ``SECONDS_PER_TURN`` or, since no
        handler is interrupted, when the next look at the time finds that it is over: at most ``MOST_PER_LOOK`` messages later.
    """

    __slots__ = (
        "_awake",
        "_in_a_row",
        "_loop",
        "_often",
        "_receive_until",
        "_receives",
        "_row_until",
        "_until",
        "_visit",
        "_visit_at",
        "chooser",
        "handoffs_left",
        "look_at",
        "ready",
        "steps",
        "stopwatch",
        "thread",
        "traced",
        "turns",
        "woken",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stopwatch: Callable[[], float], chooser: Chooser | None
    ) -> None:
        """An empty run queue."""
        self._loop = loop
        self.stopwatch = stopwatch
        self.thread = get_ident()
        """The thread of the loop. On Python 3.11 this is told in a fifth of the time of asking for the running loop."""
        self._awake = False
        self._in_a_row = False
        self._row_until = 0.0
        self.handoffs_left = 0
        """How many more calls of this row may be handed off."""
        self.look_at = 0
        """With how many left the next must ask: after 1 call of the row, 2, 4, 8 and each 8 more the time is looked at."""
        self._receives = 0
        self._receive_until = -math.inf
        self._until = -math.inf
        """Until when processes run in this turn."""
        self.turns = 0
        """How often the loop has come to this scheduler's callbacks: the watchdog sees by it that the loop goes on."""
        self._often = 0
        self._visit: Callable[[], None] | None = None
        self._visit_at: float = math.inf
        """At which turn ``_visit`` is called."""
        self.traced = False
        """Somebody traces, or has: messages may come with a trace. The one test that all others pay for it."""
        self.steps = Steps(loop, stopwatch, self._turned)
        """The turns of coroutines, which go on outside of the run queue."""
        self.woken = 0
        """How many coroutines have begun, or got an answer, in this turn."""
        self.chooser = chooser
        self.ready: deque[Process] = deque()

    def choose(self, kind: str, count: int) -> int:
        """Every free choice of the kernel goes through here."""
        return 0 if self.chooser is None or count < 2 else self.chooser.choose(kind, count)

    def each_so_often(self, turns: int | None, function: Callable[[], None]) -> None:
        """Call a function after each so many turns, from the loop and between two processes; ``None`` calls it no more."""
        self._often, self._visit = turns or 0, function
        self._visit_at = math.inf if turns is None else self.turns + turns

    def _turned(self) -> None:
        self.turns += 1
        if self.turns >= self._visit_at and self._visit is not None:
            self._visit_at = self.turns + self._often
            self._visit()

    def enqueue(self, process: Process, message: Any) -> None:
        """Put a message into a mailbox and see to it that it is taken."""
        status = process.status
        if status & (RECEIVING | SUSPENDED):
            if status & SUSPENDED:
                if process.behaviour.is_urgent(process, message):
                    self._loop.call_soon(self._take_urgent, process, message)
                    return
            elif offer(process, message):
                return
        if process.mailbox is None:
            process.mailbox = deque((message,))
        else:
            process.mailbox.append(message)
        if status == 0:
            self.schedule(process)

    def take_at_once(self, process: Process, message: Any) -> None:
        """Have a process at rest take a message now, which begins something that goes on by itself.

        It is what would come next if the run queue were empty, so only a simulation chooses another order.
        """
        if self.chooser is not None:
            self.enqueue(process, message)
            return
        process.status = BUSY
        done = True
        try:
            take = take_in_trace if self.traced else process.behaviour.take
            done = take(process, message)
        finally:
            if done:
                self.settle(process)

    def schedule(self, process: Process) -> None:
        """Put a process into the run queue."""
        process.status |= SCHEDULED
        self.ready.append(process)
        if not self._awake:
            # In this order: what a signal handler raises in between must not leave it awake and never called.
            self._loop.call_soon(self._drain)
            self._awake = True

    def settle(self, process: Process) -> None:
        """A handler that held the process up has ended: go on with its next message, or with its end."""
        process.status &= ~BUSY
        process.message = process.serial = None
        if process.ending is not None:
            advance(process)
        elif process.mailbox and process.status == 0:
            self.schedule(process)

    def change_behaviour(self, process: Process, behaviour: Behaviour) -> None:
        """Have a process run as something else from its next message on; if it runs now, its slice ends."""
        process.behaviour = behaviour
        if process.status & BUSY and not process.status & SCHEDULED:
            self.schedule(process)

    def take_urgent_mail(self, process: Process) -> None:
        """Have a process that has just been suspended take what is in its mailbox and does not wait for its resumption."""
        is_urgent = process.behaviour.is_urgent
        while process.status & SUSPENDED and process.ending is None:
            mailbox = process.mailbox or ()
            index = next((at for at, message in enumerate(mailbox) if is_urgent(process, message)), None)
            if index is None:
                return
            message = mailbox[index]
            del mailbox[index]  # type: ignore[union-attr]  # it has just been looked through
            if not mailbox:
                process.mailbox = None
            self._take_urgent(process, message)

    def _take_urgent(self, process: Process, message: Any) -> None:
        """Have a suspended process take a message out of turn."""
        if not process.status & SUSPENDED or process.ending is not None:
            process.kernel.enqueue_or_return(process, message)
            return
        process.status |= BUSY
        try:
            done = process.behaviour.take(process, message)
        except BaseException:
            self.settle(process)
            raise
        if done:
            self.settle(process)

    def may_hand_off(self) -> bool:
        """Whether a call may run its handler in the caller's turn; says no when the caller has to yield first.

        ``Ref.call`` asks when the time is to be looked at and counts the rest by itself.
        """
        if self.chooser is not None and self.chooser.choose("hand_off", 2):
            return False
        now = self.stopwatch()
        if not self._in_a_row:
            self._loop.call_soon(self._end_row)
            self._in_a_row = True
            self.handoffs_left = HANDOFFS_IN_A_ROW
            self._row_until = now + SECONDS_OF_HANDOFFS
        elif self.handoffs_left <= 0 or now > self._row_until:
            return False
        taken = HANDOFFS_IN_A_ROW - self.handoffs_left
        stride = min(max(taken, 1), MOST_PER_LOOK)
        self.look_at = self.handoffs_left - (stride if self.chooser is None else 0)
        self.handoffs_left -= 1
        return True

    def _end_row(self) -> None:
        """The loop has had its turn, so calls may be handed off again."""
        self._in_a_row = False
        self.handoffs_left = self.look_at = 0
        self._turned()

    def _slice(self, process: Process) -> int:
        """How many messages a process may take in a row, if that is to be chosen."""
        waiting = min(len(process.mailbox or ()), MESSAGES_PER_SLICE)
        return self.choose("slice", waiting) or MESSAGES_PER_SLICE

    def must_yield(self) -> bool:
        """Whether a plain process that looks into its mailbox has to let the loop have its turn first.

        It would otherwise never wait as long as it finds something. One count for all is enough: none of them gets past.
        """
        self._receives += 1
        if self._receives < MESSAGES_PER_SLICE and (
            self._receives % MESSAGES_PER_LOOK or self.stopwatch() <= self._receive_until
        ):
            return False
        self._receives = 0
        self._receive_until = self.stopwatch() + SECONDS_PER_TURN
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no process is ready to run."""
        return not self.ready and not self.steps.is_crowded

    def _drain(self) -> None:
        """Run ready processes for one turn of the event loop."""
        ready, stopwatch = self.ready, self.stopwatch
        slices = SLICES_PER_TURN
        try:
            self._turned()
            self._until = until = stopwatch() + (
                SECONDS_PER_TURN / 2 if self.steps.is_crowded else SECONDS_PER_TURN
            )
            self.woken = 0
            self.thread = get_ident()  # whoever owns the loop may have gone on with it in another one
            # Those made ready meanwhile wait behind all of these; time is looked at once for each slice.
            while ready:
                if self.chooser is None:
                    process = ready.popleft()
                else:
                    index = self.choose("next_process", len(ready))
                    process = ready[index]
                    del ready[index]
                self._run(process)
                slices -= 1
                if not slices or self.woken >= WOKEN_PER_TURN or stopwatch() > until:
                    break
                if self.chooser is not None and ready and self.choose("turn", 2):
                    break
        finally:
            self._awake = bool(ready)
            if ready:
                self._loop.call_soon(self._drain)

    def _run(self, process: Process) -> None:
        process.status = status = process.status & ~SCHEDULED
        if status:
            if status & EXITING:
                finish_kill(process)
            elif status & STARTING and not status & BUSY:
                # Also when it is suspended already: it takes no message by that.
                process.status = status | BUSY
                start = process.behaviour.start
                if self.traced:
                    in_trace(process, trace_of(process.body), start, process)
                else:
                    start(process)
            return
        take = process.behaviour.take
        look = MESSAGES_PER_LOOK
        for number in range(MESSAGES_PER_SLICE if self.chooser is None else self._slice(process)):
            if number == look:
                look += min(look, MOST_PER_LOOK)
                if self.stopwatch() > self._until:
                    break
            mailbox = process.mailbox
            if mailbox is None:
                return
            message = mailbox.popleft()
            if not mailbox:
                process.mailbox = None
            process.status = BUSY
            try:
                if not (take_in_trace if self.traced else take)(process, message):
                    self.woken += 1
                    return  # it waits for something; settle() is called later
            except BaseException:
                # Raised to stop the loop (SystemExit, say). The process must still be able to end.
                self.settle(process)
                raise
            process.message = None
            process.status &= ~BUSY
            if process.status:
                if process.ending is not None:
                    advance(process)
                return
        if process.mailbox is not None and process.status == 0:
            self.schedule(process)
