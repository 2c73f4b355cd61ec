"""The watchdog: a thread that names whatever blocks the event loop, while it does."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mabeam._base import Log, start_thread, stopwatch_of
from mabeam.kernel._frames import handler_of, is_dark, is_waiting, loop_entry, owner_of, stack_of
from mabeam.kernel._lending import Lending
from mabeam.kernel._watch_state import Looks

if TYPE_CHECKING:
    from mabeam._base import Position
    from mabeam.kernel._frames import Entry
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._watch_state import Doing

__all__ = ("Blocked", "Watchdog")

logger = Log("mabeam")

_SECONDS_TO_END: Final = 1.0
_LOOKS_PER_LIMIT: Final = 4
"""How often it looks within the time that a loop may be blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """What blocks the loop, or did.

    Attributes:
        pid: the process whose code it is; ``None`` for code that belongs to none: a callback, the block of a Runtime.
        process: how that is called.
        handler: ``Class.method``, or what else runs.
        since: when it was noticed, by the clock of the watchdog; only differences mean something.
        stack: where it is, innermost frame last.
    """

    pid: Pid | None
    process: str
    handler: str
    since: float
    stack: tuple[Position, ...]

    def __str__(self) -> str:
        """In a sentence without a stop."""
        place = f" at {self.stack[-1]}" if self.stack else ""
        return f"the event loop is blocked by {self.handler} of {self.process}{place}"


class Watchdog:
    """Watches one event loop from a thread.

    It looks where the loop's thread is, four times within ``blocked_after``, and needs the interpreter's lock for no more than
    that; a busy loop lends it (``_lending.py``). While the loop waits for something to do nothing is asked of it, so an idle
    program is not woken (on uvloop once a second, see below). Otherwise it is to answer; if it has not within ``blocked_after``
    seconds, whatever it is doing blocks it. So what takes a quarter more than the limit is always seen.
    What follows from a look is decided in ``_watch_state.py``.

    C code that holds the interpreter's lock stops this thread as well. It is named when it lets go, if this thread gets the lock
    before the loop goes on. If not, it is told without a name when the loop had been asked before, or not at all.

    uvloop leaves no frames. Whether it waits, or runs a callback that is not written in Python, cannot be seen, so it is asked
    once a second.

    Attributes:
        counts: how often a process did, by its serial number; the latest thousand processes.
    """

    def __init__(self, kernel: Kernel, blocked_after: float) -> None:
        """Begin to watch the loop of ``kernel``, in whose thread this is called."""
        self.counts: Counter[int] = Counter()
        self._kernel = kernel
        self._blocked_after = blocked_after
        self._pause = blocked_after / _LOOKS_PER_LIMIT
        self._lending = Lending(kernel.scheduler, self._pause)
        self._stopwatch = stopwatch_of(kernel.loop)
        self._watched = threading.get_ident()
        self._blocked: Blocked | None = None
        self._entry: Entry = None
        """From where the loop is run, if that is all that there is to be seen of it; known from its first answer on."""
        self._answered: float | None = None
        """When the loop answered the last question."""
        self._thread = start_thread(f"mabeam-{kernel.id}-watchdog", self._watch)

    @property
    def blocked(self) -> Blocked | None:
        """What blocks the loop now."""
        return self._blocked if self._answered is None else None

    def stop(self) -> None:
        """Watch no longer; the thread has ended when this returns, unless the log that it writes to takes too long.

        That may be a log that waits for this very loop. The thread ends when it comes back.
        """
        self._lending.stop()
        self._thread.join(_SECONDS_TO_END)

    def _watch(self) -> None:
        looks = Looks(self._blocked_after, self._pause, self._stopwatch())
        while self._lending.sleep():
            turns, answered, asked = self._kernel.scheduler.turns, self._answered, looks.since
            for step in looks.look(self._stopwatch(), self._doing(), turns=turns, answered=answered):
                if step == "report":
                    self._report(looks.since)
                elif step == "end":
                    self._report_end(answered)
                elif step == "missed":
                    self._report_missed(answered, asked)
                elif not self._ask():
                    return

    def _doing(self) -> Doing:
        frame = sys._current_frames().get(self._watched)
        if frame is None or is_waiting(frame):
            return "waits"
        return "dark" if is_dark(frame, self._entry) else "works"

    def _ask(self) -> bool:
        """Have the loop answer; false when there is no loop any more."""
        self._answered = None
        try:
            self._kernel.loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False  # the loop is closed
        return True

    def _answer(self) -> None:
        # Whoever owns the loop may have gone on with it in another thread.
        self._watched = threading.get_ident()
        self._entry = loop_entry(sys._getframe())
        self._answered = self._stopwatch()

    def _report(self, since: float) -> None:
        try:
            self._look_and_say(since)
        except Exception:
            # It looks from its thread at what the loop may be changing; the next report may be the one that is needed.
            logger.critical("mabeam: the watchdog could not say what blocks the loop", exc_info=True)

    def _look_and_say(self, since: float) -> None:
        frame = sys._current_frames().get(self._watched)
        owner, function, is_callback = owner_of(frame, self._entry)
        process = owner.process if owner is not None else None
        in_dark = frame is not None and is_dark(frame, self._entry)
        code = "a function that is not Python" if in_dark else "code"
        self._blocked = blocked = Blocked(
            pid=process.pid if process is not None else None,
            process=process.describe() if process is not None else "no process",
            handler=handler_of(owner, function, is_callback=is_callback) if owner is not None else code,
            since=since,
            stack=() if in_dark else stack_of(frame, self._entry),
        )
        del frame
        if process is not None and process.kernel is self._kernel:
            self._count(process.pid.serial)  # in another Runtime of this loop that is somebody else's number
        logger.error(
            "%s, for %.2g s already. Nothing else runs meanwhile. Move what blocks to a thread: @handle_call(thread=True), "
            "or await in_thread(...).%s",
            blocked,
            self._stopwatch() - since,
            "".join(f"\n    {place}" for place in blocked.stack),
        )

    def _report_missed(self, answered: float | None, asked: float) -> None:
        seconds = (answered if answered is not None else self._stopwatch()) - asked
        logger.error(
            "the event loop was blocked for %.2g s by code that held the interpreter's lock (C code that does not release it, the "
            "garbage collector), so that nobody could see where. It is over.",
            seconds,
        )
        metadata: dict[str, object] = {
            "pid": None,
            "process": "unknown",
            "handler": "code that held the lock of the interpreter",
            "place": "",
        }
        self._have_emitted({"duration": seconds}, metadata)

    def _count(self, serial: int) -> None:
        count = self.counts.pop(serial, 0)
        self.counts[serial] = count + 1
        if len(self.counts) > 1_000:
            del self.counts[next(iter(self.counts))]

    def _report_end(self, answered: float | None) -> None:
        """In the loop again: the handlers of events belong there."""
        blocked, self._blocked = self._blocked, None
        if blocked is None or answered is None:
            return  # it could not be shown
        seconds = answered - blocked.since
        metadata: dict[str, object] = {
            "pid": blocked.pid.serial if blocked.pid is not None else None,
            "process": blocked.process,
            "handler": blocked.handler,
            "place": str(blocked.stack[-1]) if blocked.stack else "",
        }
        self._have_emitted({"duration": seconds}, metadata)

    def _have_emitted(self, measurements: dict[str, float], metadata: dict[str, object]) -> None:
        try:
            self._kernel.loop.call_soon_threadsafe(self._emit, measurements, metadata)
        except RuntimeError:  # it ended with what blocked it
            logger.debug("the loop ended before the watchdog could say that it had been blocked")

    def _emit(self, measurements: dict[str, float], metadata: dict[str, object]) -> None:
        if self._kernel.bus.listening:
            self._kernel.bus.emit("loop.blocked", measurements, metadata)
