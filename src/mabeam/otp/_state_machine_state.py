"""What a state machine does next: its state, its queue, what it has postponed, its timeouts. Pure decisions.

The rules are those of Erlang/OTP's ``gen_statem`` (loop_state_transition/9 and what follows it): a handler asks for
things, and all of them take effect together when it has returned. Nothing here runs a handler, starts a timer or waits;
``_state_machine_run.py`` carries the decisions out. Where an event comes from does not matter here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ("IDLE", "STATE", "Changes", "Machine", "Seconds", "Timeout", "TimeoutKey", "named")

E = TypeVar("E")

TimeoutKey: TypeAlias = "tuple[Literal['state', 'idle', 'named'], Hashable]"
"""Which timeout: there is one of each key at a time."""
Seconds: TypeAlias = float | Literal["update"] | None
"""How a timeout is asked for: after so long; with another content only; not at all."""

STATE: Final[TimeoutKey] = ("state", None)
"""The timeout that a change of the state ends."""
IDLE: Final[TimeoutKey] = ("idle", None)
"""The timeout that any event ends."""


def named(name: Hashable) -> TimeoutKey:
    """The timeout of that name, which nothing ends but itself."""
    return ("named", name)


class Timeout:
    """One timeout that was started. A later one of the same key is another object.

    Attributes:
        key: which one it is.
        content: what its event is to carry.
    """

    __slots__ = ("content", "key")

    def __init__(self, key: TimeoutKey, content: object) -> None:
        """A timeout that is started now."""
        self.key = key
        self.content = content


class Changes(NamedTuple):
    """What is to be done about timers after an event.

    Attributes:
        cancelled: their time is not waited for any more; some had none to wait for.
        started: these are to be waited for, so many seconds each; they are started in this order.
    """

    cancelled: list[Timeout]
    started: list[tuple[Timeout, float]]


class Machine(Generic[E]):
    """The bookkeeping of one state machine.

    One event after the other: ``begin``, then whatever its handler asks for, ``left``, the entering of a state if that
    says so, ``finish``. The very first round has no event: what ``init`` asks for.

    Attributes:
        state: the name of the state; ``None`` until the first one is entered.
        previous: the state before the last change or repetition; ``None`` while the first one is entered.
        event: what is being handled, if it is an event.
        is_open: an event is being handled, or the start is.
        is_entering: a state is being entered.
        queue: events that come before any message: inserted ones, and postponed ones that are tried again.
        postponed: events that wait for a change of the state, oldest first.
        timeouts: those that were started and are not over, by key.
    """

    __slots__ = (
        "_asked",
        "_changes",
        "_due",
        "_inserted",
        "_postpones",
        "_repeats",
        "_target",
        "event",
        "is_entering",
        "is_open",
        "postponed",
        "previous",
        "queue",
        "state",
        "timeouts",
    )

    def __init__(self) -> None:
        """A machine that is being started: what is asked for now belongs to the first state."""
        self.state: str | None = None
        self.previous: str | None = None
        self.is_open = True
        self.is_entering = False
        self.queue: deque[E] = deque()
        self.postponed: list[E] = []
        self.timeouts: dict[TimeoutKey, Timeout] = {}
        # Timeouts without a time: they come when the queue is empty, before any message.
        self._due: list[TimeoutKey] = []
        self._forget_requests(None)

    def _forget_requests(self, event: E | None) -> None:
        self.event: E | None = event
        self._target: str | None = None
        self._repeats = self._changes = self._postpones = False
        self._inserted: list[E] = []
        self._asked: list[tuple[TimeoutKey, Seconds, object]] = []

    # ------------------------------------------------------------------------------------------- requests

    def begin(self, event: E) -> None:
        """An event is about to be handled."""
        self._forget_requests(event)
        self.is_open, self.is_entering = True, False

    def open(self) -> None:
        """Code is about to run that handles no event. What was asked for by such code and has to wait still counts."""
        if not self.is_open:
            self._forget_requests(None)
            self.is_open, self.is_entering = True, False

    def asked(self) -> tuple[bool, str | None, bool, int, int]:
        """What has been asked for, so that what is asked for from now on can be forgotten."""
        return self.is_open, self._target, self._repeats, len(self._inserted), len(self._asked)

    def withdraw(self, asked: tuple[bool, str | None, bool, int, int]) -> None:
        """Forget what was asked for since then."""
        self.is_open, self._target, self._repeats, inserted, timeouts = asked
        del self._inserted[inserted:], self._asked[timeouts:]

    def become(self, state: str) -> None:
        """Change the state. The last such wish counts; the state it is in already means: none."""
        self._target, self._repeats = state, False

    def repeat(self) -> None:
        """Enter the present state again."""
        self._target, self._repeats = None, True

    def postpone(self) -> None:
        """Handle the event again when the state has changed."""
        self._postpones = True

    def insert(self, event: E) -> None:
        """Have an event of its own next, after those that were inserted before it."""
        self._inserted.append(event)

    def insert_first(self, events: Iterable[E]) -> None:
        """Have events of its own next, in this order, before those that were inserted."""
        self._inserted[:0] = events

    def ask(self, key: TimeoutKey, seconds: Seconds, content: object) -> None:
        """Start, stop or update a timeout. Of several wishes for one key the last counts."""
        self._asked.append((key, seconds, content))

    @property
    def target(self) -> str | None:
        """The state that it will be in when the handler has returned; ``None`` when a first one was not named."""
        return self.state if self._target is None else self._target

    @property
    def inserts(self) -> int:
        """How many events there are before the first message, with those that are wished for now."""
        return len(self.queue) + len(self._inserted)

    @property
    def is_needless(self) -> bool:
        """It was opened for code that handles no event and has asked for nothing."""
        asks = self._target is not None or self._repeats or self._inserted or self._asked
        return self.event is None and not self.is_entering and not asks

    # ------------------------------------------------------------------------------------------- decisions

    def left(self) -> bool:
        """The handler has returned; whether a state is to be entered before anything else."""
        if self.is_entering or not self.is_open:
            return False
        self._changes = self._target is not None and self._target != self.state
        if not (self._changes or self._repeats):
            return False
        self.previous, self.state = self.state, self.target
        self.is_entering = True
        return True

    def crashed(self) -> None:
        """The handler has raised. A state whose entering did so is none that it is in; the first one has none before it."""
        if self.is_entering and self.previous is not None:
            self.state = self.previous

    def finish(self) -> Changes:
        """Everything has returned: let what was asked for take effect."""
        changes = Changes([], [])
        if not self.is_open:
            return changes
        if self._postpones and self.event is not None:
            self.postponed.append(self.event)
        # In this order: a state timeout and an idle one that are asked for now are those of the new state.
        self._cancel(IDLE, changes)
        if self._changes:
            self._cancel(STATE, changes)
            self.queue.extendleft(reversed(self.postponed))
            self.postponed = []
        self.queue.extendleft(reversed(self._inserted))
        self._start_timeouts(changes)
        self._forget_requests(None)
        self.is_open = self.is_entering = False
        return changes

    def _start_timeouts(self, changes: Changes) -> None:
        # From the last wish to the first, as gen_statem does: the last for a key counts, and of timeouts that take equally long
        # the one that was asked for last is over first. Those without a time come in the order asked for, there as here.
        latest: dict[TimeoutKey, tuple[Seconds, object]] = {}
        for key, seconds, content in reversed(self._asked):
            latest.setdefault(key, (seconds, content))
        at_once: list[TimeoutKey] = []
        for key, (seconds, content) in latest.items():
            running = self.timeouts.get(key)
            if seconds == "update" and running is not None:
                running.content = content
                continue
            self._cancel(key, changes)
            if seconds is None:
                continue
            self.timeouts[key] = timeout = Timeout(key, content)
            if isinstance(seconds, str) or seconds == 0:
                at_once.append(key)
            else:
                changes.started.append((timeout, seconds))
        self._due.extend(reversed(at_once))

    def _cancel(self, key: TimeoutKey, changes: Changes) -> None:
        timeout = self.timeouts.pop(key, None)
        if timeout is None:
            return
        if key in self._due:
            self._due.remove(key)
        else:
            changes.cancelled.append(timeout)

    # ------------------------------------------------------------------------------------------- what is next

    @property
    def has_next(self) -> bool:
        """Whether something comes before any message."""
        return bool(self.queue or self._due)

    def next(self) -> E | Timeout | None:
        """Take what comes before any message, if there is anything: queued events, then timeouts without a time."""
        if self.queue:
            return self.queue.popleft()
        if self._due:
            return self.timeouts.pop(self._due.pop(0))
        return None

    def expired(self, timeout: Timeout) -> bool:
        """The time of a timeout is over; whether it still counts, or was cancelled or replaced meanwhile."""
        if self.timeouts.get(timeout.key) is not timeout:
            return False
        del self.timeouts[timeout.key]
        return True

    def interrupt(self) -> Changes:
        """Something other than an event has come, which nevertheless breaks the silence."""
        changes = Changes([], [])
        self._cancel(IDLE, changes)
        return changes

    def give_up(self) -> tuple[list[E], list[Timeout]]:
        """The end: all events that it still has, oldest first, and all timeouts. It has none of them any more."""
        events = [*self.postponed, *self.queue]
        timeouts = list(self.timeouts.values())
        self.postponed = []
        self.queue.clear()
        self.timeouts.clear()
        self._due.clear()
        return events, timeouts
