"""Why a process does not go on: what it waits for, followed to the root cause."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from mabeam.kernel._alarms import next_alarm, wakes_at
from mabeam.kernel._awaited import activation_of, attribute_of_c
from mabeam.kernel._current import current_kernel, find_or_raise
from mabeam.kernel._ending import LIFESPAN, TERMINATE
from mabeam.kernel._frames import stack_of
from mabeam.kernel._info import name_of
from mabeam.kernel._outside_waits import WORDS, frame_of, job_of, outside_kind
from mabeam.kernel._process import BUSY, DEAD, RECEIVING, SCHEDULED, STARTING, SUSPENDED, Process
from mabeam.kernel._waits import any_of, blockers, tasks_awaited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam._base import Position
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._current import Target
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._waits import AnyWait

__all__ = ("Cause", "Why", "explain", "why")

Place = TypeVar("Place", bound="Process | Activation")
"""Where a way leads on."""
# In two groups, which one word a line would not show.
Kind: TypeAlias = Literal[
    "call", "stop", "start", "await", "room", "lock", "task", "stream",
    "blocked_loop", "bulkhead", "cache_load", "connection", "cycle", "dead", "empty_mailbox", "kept_caller", "outside_lock",
    "os_process", "queue", "ready", "running", "socket", "stop_request", "suspended", "thread", "timer", "unknown",
]  # fmt: skip
"""The first line leads on to another process or activation; the second is where the way ends."""
_BY_HOPE: Final[tuple[Kind, ...]] = (
    "ready", "running", "timer", "bulkhead", "cache_load", "connection", "os_process", "socket", "thread", "queue", "unknown",
    "empty_mailbox", "stop_request", "outside_lock", "kept_caller", "dead", "suspended", "blocked_loop", "cycle",
)  # fmt: skip
"""Where a way ends, from what goes on by itself to what never does: of several, the first or the last tells most."""
_MOST_WAYS: Final = 300
"""So many are tried where ways fork: each takes some 30 microseconds, in the turn of whoever asks."""
_SUSPENDED: Final = "is suspended; resume() lets it go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One link of the chain: a process, and what keeps it.

    Attributes:
        pid: the process; ``None`` for code that belongs to none.
        process: how it is called.
        kind: what kind of thing keeps it.
        what: the same in words.
        since: when that began, in loop time, where it is known.
        due: when it goes on by itself at the latest, in loop time; ``None`` where no timer sees to that.
        stack: where its code is, innermost frame last.
    """

    pid: Pid | None
    process: str
    kind: Kind
    what: str
    since: float | None = None
    due: float | None = None
    stack: tuple[Position, ...] = ()

    def __str__(self) -> str:
        """In a line."""
        since = f" since {self.since:.3f}" if self.since is not None else ""
        place = f", at {self.stack[-1]}" if self.stack else ""
        return f"{self.process} {self.what}{since}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a process does not go on, link by link.

    Attributes:
        chain: what keeps the process, what keeps that, and so on to the root cause.
    """

    chain: tuple[Cause, ...]

    @property
    def root(self) -> Cause:
        """Where the chain ends: what would have to change."""
        return self.chain[-1]

    def __str__(self) -> str:
        """A line for each link."""
        return "\n".join(f"{'  ' * depth}{cause}" for depth, cause in enumerate(self.chain))


def why(target: Target, /) -> Why:
    """Tell why a process does not go on: what it waits for, followed through other processes to the root cause.

    Only looks, never waits. ``Runtime.why`` is the same for other threads, from which a blocked loop can be seen too.

    Raises:
        NoSuchProcess: there is no such process.
        UsageError: what is given leads to no process; or this code runs in no Runtime.

    Example:
        from mabeam import receive, spawn, why

        async def main() -> str:
            pid = spawn(receive)
            await mabeam.in_thread(int)  # it has its turn meanwhile
            return why(pid).root.kind

        assert mabeam.run(main) == "empty_mailbox"
    """
    return explain(find_or_raise(current_kernel(), target, "why"))


def explain(process: Process) -> Why:
    """As :func:`why`, for a process that has been found."""
    chain = _Way().followed(process).chain
    _blame_the_loop(process.kernel, chain)
    return Why(chain=tuple(chain))


class _Way:
    """What keeps something, link by link, as far as it has been followed.

    Attributes:
        chain: the links.
        seen: the code on the way; what leads back to it is a cycle.
        left: how many more ways may be tried where one forks, here and on all that fork from it.
    """

    __slots__ = ("chain", "left", "seen")

    def __init__(self) -> None:
        self.chain: list[Cause] = []
        self.seen: set[Activation] = set()
        self.left = [_MOST_WAYS]

    def followed(self, place: Process | Activation | None) -> _Way:
        """Follow it to its end; itself."""
        while place is not None:
            place = _look_at_process(place, self) if isinstance(place, Process) else _look_at(place, self)
        return self

    def fork(self, places: Iterable[Place], *, is_any: bool) -> tuple[Place, list[Cause]]:
        """Which of several places tells most, and what keeps that.

        Whoever needs all of them waits for the one that is stuck worst; who needs any, for the one that goes on first. Where
        there are too many to try, it is one of the first.
        """
        best: tuple[Place, list[Cause]] | None = None
        for place in places:
            if best is not None and self.left[0] <= 0:
                break
            self.left[0] -= 1
            way = _Way()
            way.left, way.seen = self.left, set(self.seen)
            chain = way.followed(place).chain
            if best is None or (_rank(chain) < _rank(best[1]) if is_any else _rank(chain) > _rank(best[1])):
                best = place, chain
        if best is None:
            raise ValueError("there is no place to go to")
        return best


def _rank(chain: list[Cause]) -> tuple[int, int]:
    """How unlikely it is that this goes on by itself; who waits for others is worse off."""
    return _BY_HOPE.index(chain[-1].kind), len(chain)


def _cause(
    process: Process,
    kind: Kind,
    what: str,
    wait: AnyWait | None = None,
    stack: tuple[Position, ...] = (),
    due: float | None = None,
) -> Cause:
    since = wait.since if wait is not None else None
    return Cause(
        pid=process.pid, process=process.describe(), kind=kind, what=what, since=since, due=due, stack=stack
    )


def _in(process: Process, due: float | None) -> str:
    """How long that is from now."""
    return "" if due is None else f"{max(0.0, due - process.kernel.loop.time()):.3g} s"


def _blame_the_loop(kernel: Kernel, chain: list[Cause]) -> None:
    """Whatever else is the matter, nothing goes on while the loop is blocked."""
    blocked = kernel.watchdog.blocked if kernel.watchdog is not None else None
    if blocked is not None and blocked.pid is not None and chain[-1].pid is blocked.pid:
        chain.pop()
    if blocked is not None:
        chain.append(
            Cause(
                pid=blocked.pid,
                process=blocked.process,
                kind="blocked_loop",
                what=f"blocks the event loop in {blocked.handler}",
                stack=blocked.stack,
            )
        )


def _look_at_process(process: Process, way: _Way) -> Process | Activation | None:
    """Add what keeps a process to the chain; where that leads on to."""
    status = process.status
    if status & DEAD:
        way.chain.append(_cause(process, "dead", f"has ended with {process.reason!r}"))
        return None
    if status & SUSPENDED and process.serial is None:  # a plain process goes on until it waits in receive
        way.chain.append(_cause(process, "suspended", _SUSPENDED))
        return None
    activation = next(iter(blockers(process)), None)
    if activation is None and process.ending is not None:
        activation = next(iter(process.running()), None)  # being cancelled: it has a grace
    if activation is not None:
        return _look_at(activation, way)
    if status & SCHEDULED:
        way.chain.append(_cause(process, "ready", "is ready to run and has its turn soon"))
    elif process.parent is None:
        way.chain.append(_cause(process, "running", "is the block of the Runtime, whose task is not of ours"))
    elif status & STARTING:
        way.chain.append(_cause(process, "ready", "is about to start"))
    elif status & BUSY:
        way.chain.append(_cause(process, "running", "runs a handler at this moment"))
    else:
        due, alarm = next_alarm(process) or (None, "")
        then = f"; the next that a timer sends it is {alarm}, in {_in(process, due)}" if alarm else ""
        what = f"waits for a message: its mailbox is empty{then}"
        way.chain.append(_cause(process, "empty_mailbox", what, due=due))
    return None


def _look_at(activation: Activation, way: _Way) -> Process | Activation | None:
    """As above, for some code of a process."""
    process = activation.process
    doing = _doing(activation)
    wait = activation.waits_for
    if activation in way.seen:
        way.chain.append(_cause(process, "cycle", f"{doing}: it is where this began, a cycle"))
        return None
    way.seen.add(activation)
    is_running = bool(attribute_of_c(activation.coroutine, "cr_running"))
    # Without a future it has only given the others a turn: ``sleep(0)``.
    if activation.goes_on or (activation.started and activation.waits_on is None and not is_running):
        way.chain.append(_cause(process, "ready", f"{doing} is ready to go on and has its turn soon"))
        return None
    stack = activation.stack()
    if wait is not None:
        return _look_at_wait(activation, wait, way)
    if is_running:
        way.chain.append(_cause(process, "running", f"{doing} runs at this moment"))
        return None
    if process.status & RECEIVING and activation is process.serial:
        if process.status & SUSPENDED:
            way.chain.append(_cause(process, "suspended", _SUSPENDED, stack=stack))
            return None
        queued = len(process.mailbox or ())
        others = f"none of the {queued} in its mailbox matches" if queued else "its mailbox is empty"
        due = wakes_at(activation)
        most = f", for {_in(process, due)} at most" if due is not None else ""
        way.chain.append(
            _cause(process, "empty_mailbox", f"waits in receive: {others}{most}", stack=stack, due=due)
        )
        return None
    if _look_at_tasks(activation, doing, stack, way):
        return None
    hanging = _hanging(process, activation.waits_on, doing, stack)
    if hanging is not None:
        way.chain.append(hanging)
        return None
    if not stack or not activation.started:
        way.chain.append(_cause(process, "running", f"{doing} runs, or has not begun"))
        return None
    kind = outside_kind(stack, activation.coroutine)
    due = wakes_at(activation) if kind == "timer" else None
    what = f"{doing} waits for {WORDS[kind]}{f', {_in(process, due)} more' if due is not None else ''}"
    way.chain.append(_cause(process, kind, what, stack=stack, due=due))
    return None


def _look_at_tasks(activation: Activation, doing: str, stack: tuple[Position, ...], way: _Way) -> bool:
    """As above, for some code that waits for tasks of its process, and for threads among them; false when it does not."""
    process = activation.process
    awaited = tasks_awaited(activation)
    if awaited is not None and awaited.are_done:
        way.chain.append(_cause(process, "ready", f"{doing} is about to hear that its tasks are done"))
        return True
    is_any = awaited is not None and awaited.is_any
    futures = awaited.futures if awaited is not None else ()
    no_tasks = [each for each in futures if activation_of(each) is None]
    hanging = [cause for each in no_tasks if (cause := _hanging(process, each, doing, stack)) is not None]
    tasks = awaited.owned(activation) if awaited is not None else ()
    if not tasks and hanging:
        way.chain.append(hanging[0])
        return True
    if not (tasks := tasks or _perhaps(activation, stack)):
        return False
    # Where there are too many to try, it is told of those that wait for somebody else.
    in_order = sorted(tasks, key=lambda each: each.waits_for is None)
    task, led_to = way.fork(in_order, is_any=is_any)
    if hanging and (_rank(led_to) > _rank(hanging[:1])) == is_any:
        way.chain.append(hanging[0])
        return True
    more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
    any_of = f"any of {len(tasks)} tasks, {name_of(task)} for one"
    what = f"{doing} waits for {any_of if is_any and more else f'its task {name_of(task)}{more}'}"
    if awaited is not None and awaited.only_looks and led_to[-1].kind == "cycle":
        what += ", which wait for what this process does next; but for a limited time only"
        way.chain.append(_cause(process, "timer", what, stack=stack))
    else:
        way.chain += (_cause(process, "task", what, stack=stack), *led_to)
    return True


def _hanging(process: Process, future: object, doing: str, stack: tuple[Position, ...]) -> Cause | None:
    """What keeps code that waits for a thread by ``future``, if one is behind that."""
    threads = process.kernel.threads
    if threads.is_queued(future):
        what = f"{doing} waits for one of the Runtime's {threads.statistics().limit} threads: all of them are busy"
        busy = stack_of(sys._current_frames().get(threads.oldest() or 0))
        return _cause(process, "thread", what, stack=busy or stack)
    thread = threads.thread_of(future)
    job = job_of(future, stack) if thread is None else None
    if thread is None and job is None:
        return None
    running = sys._current_frames()
    innermost = running.get(thread) if thread is not None else frame_of(job, running)
    words = (
        "an OS thread that has not returned"
        if innermost is not None
        else "an executor: for a free thread of it, or for another OS process"
    )
    return _cause(process, "thread", f"{doing} waits for {words}", stack=stack_of(innermost) or stack)


def _perhaps(activation: Activation, stack: tuple[Position, ...]) -> tuple[Activation, ...]:
    """Tasks of a process that wait for others while it waits for any of its tasks, with ``asyncio.wait`` say."""
    # ``as_completed`` waits in a queue of its own, and who sleeps waits for none. No stack: it runs, seen from another thread.
    if not stack or (stack[-1].file.endswith("asyncio/tasks.py") and stack[-1].function == "sleep"):
        return ()
    if not any(each.file.endswith(("asyncio/tasks.py", "asyncio/timeouts.py")) for each in stack[-2:]):
        return ()
    return tuple(each for each in tuple(activation.process.tasks or ()) if each.waits_for is not None)


def _look_at_wait(activation: Activation, wait: AnyWait, way: _Way) -> Process | Activation | None:
    """As above, for some code that waits for something of another process."""
    process, doing, stack = activation.process, _doing(activation), activation.stack()
    held = wait.lock.held_by() if wait.lock is not None else None
    if wait.lock is not None and wait.lock.is_held_by(activation):
        way.chain.append(_cause(process, "ready", f"{doing} has been given the lock and has its turn soon"))
        return None
    all_of = tuple(wait.all_of()) if wait.all_of is not None else ()
    several: tuple[Process | Activation, ...] = all_of
    if wait.choices is not None and wait.stream is None:
        several = tuple(wait.choices())
    place, led_to = way.fork(several, is_any=not all_of) if several else (wait.process, None)
    other: Process = held[0] if held is not None else place if isinstance(place, Process) else place.process
    name = other.describe()
    if wait.lock is not None:
        way.chain.append(_cause(process, "lock", f"{doing} waits for {name} {wait.what}", wait, stack))
        return held[1] if held is not None else other
    caller = wait.caller
    if caller is not None:
        places = f", of which as many run as may: {len(any_of(activation))}" if caller.needs_place else ""
        what = f"{doing} waits for {name} to answer {wait.what}{places}"
        way.chain.append(_cause(process, "call", what, wait, stack))
        if other.status & DEAD:
            return other
        if caller.detached and not caller.needs_place:
            way.chain.append(_cause(other, "kept_caller", f"has not answered {wait.what}: {caller.detached}"))
        elif caller.answerer is not None:
            return caller.answerer
        elif holders := any_of(activation):
            way.chain += way.fork(holders, is_any=True)[1]
        elif (kept := other.behaviour.why_kept(other, caller)) and not blockers(other):
            way.chain.append(_cause(other, "kept_caller", f"has not answered {wait.what}: {kept}"))
        else:
            return other
        return None
    if wait.stream is not None:
        way.chain.append(_cause(process, "stream", f"{doing} waits for {name} {wait.what}", wait, stack))
        return wait.stream
    words = {
        "room": f"waits for room in the mailbox of {name}, which has {len(other.mailbox or ())} messages",
        "stop": f"waits for {name}{f' and {len(all_of) - 1} more' if len(all_of) > 1 else ''} to end",
        "start": f"waits for {name} to start",
    }
    said = words.get(wait.kind, f"waits for {name}: {wait.what}")
    way.chain.append(_cause(process, wait.kind, f"{doing} {said}", wait, stack))
    if led_to is None:
        return other
    way.chain += led_to
    return None


def _doing(activation: Activation) -> str:
    """What of a process it is that waits."""
    process = activation.process
    ending = process.ending
    if ending is not None and ending.stage == TERMINATE and activation in (process.activations or ()):
        return "(in terminate)"
    if activation is process.hold:
        return (
            "(in the clean-up of lifespan)"
            if ending is not None and ending.stage == LIFESPAN
            else "(in lifespan)"
        )
    if ending is not None:
        return f"(in {name_of(activation)}, which is being cancelled)"
    if process.status & STARTING:
        is_in_lifespan = any(each.function.endswith(".lifespan") for each in activation.stack())
        return "(in lifespan)" if is_in_lifespan else "(in init)"
    return f"(in {name_of(activation)})"
