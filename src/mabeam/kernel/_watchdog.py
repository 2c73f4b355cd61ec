"""The watchdog: a thread that names whatever blocks the event loop, while it does."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mabeam._base import Position, start_thread, stopwatch_of
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._info import name_of
from mabeam.kernel._process import Process

if TYPE_CHECKING:
    from types import FrameType

    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._pid import Pid

__all__ = ("Blocked", "Watchdog")

logger = logging.getLogger("mabeam")

_LOOKS_PER_LIMIT: Final = 4
"""How often it looks within the time that a loop may be blocked."""
_DEEPEST: Final = 32
_IDLE_PLACES: Final = ("selectors.py", "asyncio/runners.py", "uvloop/__init__.py", "mabeam/kernel/_run.py")
"""Where the innermost Python frame of a loop's thread is when the loop waits for something to do."""
_RUN_CALLBACK: Final = asyncio.Handle._run.__code__
"""What asyncio runs a callback with; uvloop does it in C, where no context is to be seen."""


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

    It looks where the loop's thread is, four times within ``blocked_after``. While the loop waits for something to do, that
    is all, so an idle program is not woken. Otherwise the loop is asked to answer; if it does not within
    ``blocked_after`` seconds, whatever it is doing blocks it. So what takes a quarter more than the limit is always seen.

    C code that holds the interpreter's lock stops this thread as well. It is named as soon as it lets go, when the watchdog
    finds that it has slept for so much longer than it wanted.

    Attributes:
        blocked: what blocks the loop now.
        counts: how often a process did, by its serial number; the latest thousand processes.
    """

    def __init__(self, kernel: Kernel, blocked_after: float) -> None:
        """Begin to watch the loop of ``kernel``, in whose thread this is called."""
        self.blocked: Blocked | None = None
        self.counts: Counter[int] = Counter()
        self._kernel = kernel
        self._blocked_after = blocked_after
        self._stopwatch = stopwatch_of(kernel.loop)
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._answered = threading.Event()
        self._thread = start_thread(f"mabeam-{kernel.id}-watchdog", self._watch)

    def stop(self) -> None:
        """Watch no longer; the thread has ended when this returns."""
        self._stopped.set()
        self._answered.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = self._blocked_after / _LOOKS_PER_LIMIT
        began = self._stopwatch()
        while not self._stopped.wait(pause):
            frame = sys._current_frames().get(self._watched)
            waits = frame is None or frame.f_code.co_filename.endswith(_IDLE_PLACES)
            del frame  # it would keep the locals of a stranger alive
            if not waits:
                if self._stopwatch() - began - pause > self._blocked_after:
                    # No thread has run since: what the loop's thread is at has held the interpreter's lock. It has only
                    # just let go of it, so this is the moment at which its place can be seen.
                    self._report(began + pause)
                if not self._ask():
                    return
            began = self._stopwatch()

    def _ask(self) -> bool:
        """Have the loop answer; false when there is no loop any more."""
        self._answered.clear()
        since = self._stopwatch() if self.blocked is None else self.blocked.since
        if self._stopped.is_set():
            return False
        try:
            self._kernel.loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:
            return False  # the loop is closed
        if self.blocked is not None or not self._answered.wait(self._blocked_after):
            if self.blocked is None:
                self._report(since)
            self._answered.wait()
            blocked, self.blocked = self.blocked, None
            if blocked is not None and not self._stopped.is_set():
                self._report_end(blocked, self._stopwatch() - since)
        return True

    def _report(self, since: float) -> None:
        try:
            self._look_and_say(since)
        except Exception:
            # Names and messages are of users, so showing them may raise; the next report may be the one that is needed.
            logger.critical("mabeam: the watchdog could not say what blocks the loop", exc_info=True)

    def _look_and_say(self, since: float) -> None:
        frame = sys._current_frames().get(self._watched)
        owner, function = _owner_of(frame)
        process = owner.process if owner is not None else None
        self.blocked = blocked = Blocked(
            pid=process.pid if process is not None else None,
            process=process.describe() if process is not None else "no process",
            handler=_handler_of(owner, function) if owner is not None else "code",
            since=since,
            stack=stack_of(frame),
        )
        del frame
        if process is not None and process.kernel is self._kernel:
            self._count(process.pid.serial)  # in another Runtime of this loop that is somebody else's number
        logger.error(
            "%s, for %.2g s already. Nothing else runs meanwhile. Move what blocks to a thread: @handle_call(thread=True), "
            "or await in_thread(...).\n%s",
            blocked,
            self._stopwatch() - since,
            "\n".join(f"    {place}" for place in blocked.stack),
        )

    def _count(self, serial: int) -> None:
        count = self.counts.pop(serial, 0)
        self.counts[serial] = count + 1
        if len(self.counts) > 1_000:
            del self.counts[next(iter(self.counts))]

    def _report_end(self, blocked: Blocked, seconds: float) -> None:
        """In the loop again: the handlers of events belong there."""
        metadata: dict[str, object] = {
            "pid": blocked.pid.serial if blocked.pid is not None else None,
            "process": blocked.process,
            "handler": blocked.handler,
            "place": str(blocked.stack[-1]) if blocked.stack else "",
        }
        try:
            self._kernel.loop.call_soon_threadsafe(self._emit, {"duration": seconds}, metadata)
        except RuntimeError:  # it ended with what blocked it
            logger.debug("the loop ended before the watchdog could say that it had been blocked")

    def _emit(self, measurements: dict[str, float], metadata: dict[str, object]) -> None:
        if self._kernel.bus.listening:
            self._kernel.bus.emit("loop.blocked", measurements, metadata)


def stack_of(frame: FrameType | None) -> tuple[Position, ...]:
    """The frames of user code around a running frame, innermost last; those of the loop and of mabeam are left out.

    If there is no user code between the frame and the loop, it is code of mabeam that takes so long: then that is shown.
    """
    positions: list[Position] = []
    innermost = _position(frame) if frame is not None else None
    while frame is not None and len(positions) < _DEEPEST and not _is_loop(frame):
        if _is_of_users(frame):
            positions.append(_position(frame))
        elif positions:
            break
        frame = frame.f_back
    return tuple(reversed(positions)) or ((innermost,) if innermost is not None else ())


def _position(frame: FrameType) -> Position:
    code = frame.f_code
    return Position(code.co_filename, frame.f_lineno, code.co_qualname)


def _is_loop(frame: FrameType) -> bool:
    """Whether what is further out has called the loop, not been called by it."""
    return frame.f_code.co_name == "_run_once" or frame.f_code.co_filename.endswith(_IDLE_PLACES)


def _owner_of(frame: FrameType | None) -> tuple[Process | Activation | None, str]:
    """Whose code runs in ``frame``, and which function of theirs it is.

    It is what the innermost function of mabeam that runs code for a process was given. What that code has called of mabeam
    has been given a process, too: the one that is sent something, say. In a callback, of a library say, it is the one whose
    context that has.
    """
    innermost = frame
    while frame is not None and not _is_loop(frame) and not _is_of_users(frame):
        frame = frame.f_back
    if frame is None or _is_loop(frame):
        frame = innermost  # it is code of mabeam itself
    function, in_ours = "", False
    while frame is not None:
        if _is_ours(frame):
            in_ours = True
            for name in ("activation", "process"):
                owner = frame.f_locals.get(name)
                if isinstance(owner, Activation | Process) and hasattr(owner.process, "pid"):
                    return owner, function  # without a pid it is only being made, and not the one that blocks
        elif frame.f_code is _RUN_CALLBACK and not in_ours:
            owner = frame.f_locals["self"]._context.get(here)
            # The block of a Runtime runs in a task that is not of ours.
            return (owner if owner is not None and owner.process.parent is not None else None), function
        else:
            function = frame.f_code.co_qualname
        frame = frame.f_back
    return None, function


def _is_ours(frame: FrameType) -> bool:
    package, _, rest = frame.f_globals.get("__name__", "").partition(".")
    return package == "mabeam" and rest.partition(".")[0] in {"_base", "kernel", "otp"}


def _is_of_users(frame: FrameType) -> bool:
    return not _is_ours(frame) and frame.f_globals.get("__name__", "").partition(".")[0] != "asyncio"


def _handler_of(owner: Process | Activation, function: str) -> str:
    """``Class.method`` of a handler, a callback of a server or a plain process; else the name of a task."""
    process = owner.process
    if isinstance(owner, Activation) and owner in (process.tasks or ()):
        return name_of(owner)
    what = getattr(getattr(owner.message, "handler", owner.message), "what", None)
    if what is None and function:
        return function
    return name_of(owner) if isinstance(owner, Activation) else str(what or owner.label)
