"""Why a process does not go on: what it waits for, followed to the root cause."""

from __future__ import annotations

import concurrent.futures
import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from mabeam.kernel._current import current_kernel, find_or_raise
from mabeam.kernel._ending import LIFESPAN, TERMINATE
from mabeam.kernel._frames import stack_of
from mabeam.kernel._info import name_of
from mabeam.kernel._process import DEAD, RECEIVING, SCHEDULED, STARTING, SUSPENDED
from mabeam.kernel._waits import awaits, blockers

if TYPE_CHECKING:
    from types import FrameType

    from mabeam._base import Position
    from mabeam.kernel._activation import Activation
    from mabeam.kernel._current import Target
    from mabeam.kernel._kernel import Kernel
    from mabeam.kernel._pid import Pid
    from mabeam.kernel._process import Process
    from mabeam.kernel._waits import Wait

__all__ = ("Cause", "Why", "explain", "why")

Kind: TypeAlias = Literal[
    "call", "stop", "start", "await", "room", "lock", "task", "stream",
    "blocked_loop", "cycle", "dead", "empty_mailbox", "kept_caller", "outside_lock", "os_process", "queue", "ready",
    "running", "socket", "suspended", "thread", "timer", "unknown",
]  # fmt: skip
"""The first line leads on to another process or activation; the second is where the way ends."""

_PLACES: Final = (
    ("asyncio/locks.py", "outside_lock"),
    ("asyncio/queues.py", "queue"),
    ("asyncio/streams.py", "socket"),
    ("asyncio/selector_events.py", "socket"),
    ("asyncio/base_events.py", "socket"),
    ("asyncio/sslproto.py", "socket"),
    ("asyncio/subprocess.py", "os_process"),
    ("asyncio/base_subprocess.py", "os_process"),
    ("asyncio/tasks.py", "timer"),
)
_ANYIO_SOCKETS: Final = ("receive", "send", "accept", "receive_fds", "send_fds")
_WORDS: Final = {
    "outside_lock": "a lock, an event or a semaphore of asyncio, which does not know who holds it",
    "queue": "a queue of asyncio",
    "socket": "a socket",
    "os_process": "an OS process",
    "timer": "time to pass",
    "unknown": "something that mabeam knows nothing of",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One link of the chain: a process, and what keeps it.

    Attributes:
        pid: the process; ``None`` for code that belongs to none.
        process: how it is called.
        kind: what kind of thing keeps it.
        what: the same in words.
        since: when that began, in loop time, where it is known.
        stack: where its code is, innermost frame last.
    """

    pid: Pid | None
    process: str
    kind: Kind
    what: str
    since: float | None = None
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

    Example:
        from mabeam import receive, spawn, why

        async def main() -> str:
            pid = spawn(receive)
            await mabeam.in_thread(int)  # it has its turn meanwhile
            return why(pid).root.kind

        assert mabeam.run(main) == "empty_mailbox"
    """
    return explain(find_or_raise(current_kernel(), target, "info"))


def explain(process: Process) -> Why:
    """As :func:`why`, for a process that has been found."""
    chain: list[Cause] = []
    _follow_process(process, chain, set())
    _blame_the_loop(process.kernel, chain)
    return Why(chain=tuple(chain))


def _cause(
    process: Process, kind: Kind, what: str, wait: Wait | None = None, stack: tuple[Position, ...] = ()
) -> Cause:
    since = wait.since if wait is not None else None
    return Cause(pid=process.pid, process=process.describe(), kind=kind, what=what, since=since, stack=stack)


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


def _follow_process(process: Process, chain: list[Cause], seen: set[object]) -> None:
    status = process.status
    if status & DEAD:
        chain.append(_cause(process, "dead", f"has ended with {process.reason!r}"))
        return
    if status & SUSPENDED:
        chain.append(_cause(process, "suspended", "is suspended; resume() lets it go on"))
        return
    activation = next(iter(blockers(process)), None)
    if activation is None and process.ending is not None:
        activation = next(iter(process.running()), None)  # being cancelled: it has a grace
    if activation is not None:
        _follow(activation, chain, seen)
    elif status & SCHEDULED:
        chain.append(_cause(process, "ready", "is ready to run and has its turn soon"))
    elif process.parent is None:
        chain.append(_cause(process, "running", "is the block of the Runtime, whose task is not of ours"))
    elif status & STARTING:
        chain.append(_cause(process, "ready", "is about to start"))
    else:
        chain.append(_cause(process, "empty_mailbox", "waits for a message: its mailbox is empty"))


def _follow(activation: Activation, chain: list[Cause], seen: set[object]) -> None:
    process = activation.process
    doing = _doing(activation)
    wait = activation.waits_for
    if activation in seen:
        chain.append(_cause(process, "cycle", f"{doing}: it is where this began, a cycle"))
        return
    seen.add(activation)
    stack = activation.stack()
    if wait is not None:
        _follow_wait(activation, wait, chain, seen)
        return
    if process.status & RECEIVING and activation is process.serial:
        queued = len(process.mailbox or ())
        others = f"none of the {queued} in its mailbox matches" if queued else "its mailbox is empty"
        chain.append(_cause(process, "empty_mailbox", f"waits in receive: {others}", stack=stack))
        return
    task = next(iter(awaits(activation) or _perhaps(activation, stack)), None)
    if task is not None:
        chain.append(_cause(process, "task", f"{doing} waits for its task {name_of(task)}", stack=stack))
        _follow(task, chain, seen)
        return
    thread = process.kernel.threads.thread_of(activation.waits_on)
    job = _job_of(activation.waits_on) if thread is None else None
    if thread is not None or job is not None:
        running = sys._current_frames()
        innermost = running.get(thread) if thread is not None else _frame_of(job, running)
        words = (
            "an OS thread that has not returned" if innermost is not None else "a free thread of an executor"
        )
        chain.append(
            _cause(process, "thread", f"{doing} waits for {words}", stack=stack_of(innermost) or stack)
        )
        return
    if not stack or not activation.started:
        chain.append(_cause(process, "running", f"{doing} runs, or has not begun"))
        return
    kind = _kind_of(stack)
    if kind == "unknown" and _is_in_socket_call(activation.coroutine):
        kind = "socket"
    chain.append(_cause(process, kind, f"{doing} waits for {_WORDS[kind]}", stack=stack))


def _perhaps(activation: Activation, stack: tuple[Position, ...]) -> tuple[Activation, ...]:
    """Tasks of a process that wait for others while it waits for any of its tasks, with ``asyncio.wait`` say."""
    # ``as_completed`` waits in a queue of its own.
    if not any(each.file.endswith(("asyncio/tasks.py", "asyncio/timeouts.py")) for each in stack[-2:]):
        return ()
    return tuple(each for each in activation.process.tasks or () if each.waits_for is not None)


def _follow_wait(activation: Activation, wait: Wait, chain: list[Cause], seen: set[object]) -> None:
    process, doing, stack = activation.process, _doing(activation), activation.stack()
    held = wait.lock.held_by() if wait.lock is not None else None
    other = held[0] if held is not None else wait.process
    name = other.describe()
    if wait.lock is not None:
        chain.append(_cause(process, "lock", f"{doing} waits for {name} {wait.what}", wait, stack))
        holder = held[1] if held is not None else None
        if holder is not None and holder is not other:
            _follow(holder, chain, seen)  # type: ignore[arg-type]  # a process or one of its activations; not the first
        else:
            _follow_process(other, chain, seen)
        return
    caller = wait.caller
    if caller is not None:
        chain.append(_cause(process, "call", f"{doing} waits for {name} to answer {wait.what}", wait, stack))
        if caller.detached:
            chain.append(_cause(other, "kept_caller", f"has not answered {wait.what}: {caller.detached}"))
        elif caller.answerer is not None:
            _follow(caller.answerer, chain, seen)
        elif (kept := other.behaviour.why_kept(other, caller)) and not blockers(other):
            chain.append(_cause(other, "kept_caller", f"has not answered {wait.what}: {kept}"))
        else:
            _follow_process(other, chain, seen)
        return
    if wait.stream is not None:
        chain.append(_cause(process, "stream", f"{doing} waits for {name} {wait.what}", wait, stack))
        _follow(wait.stream, chain, seen)
        return
    kind: Kind = "room" if wait.what.startswith("room") else "await"
    if wait.what in {"stop", "start"}:
        kind = "stop" if wait.what == "stop" else "start"
    words = {
        "room": f"waits for room in the mailbox of {name}, which has {len(other.mailbox or ())} messages",
        "stop": f"waits for {name} to end",
        "start": f"waits for {name} to start",
        "await": f"waits for {name}: {wait.what}",
    }
    chain.append(_cause(process, kind, f"{doing} {words[kind]}", wait, stack))
    _follow_process(other, chain, seen)


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
        return "(in init)"
    return f"(in {name_of(activation)})"


def _kind_of(stack: tuple[Position, ...]) -> Kind:
    """What kind of thing the innermost frames wait for."""
    file = stack[-1].file
    if file.endswith("asyncio/locks.py") and any(
        each.file.endswith("anyio/_backends/_asyncio.py")
        and each.function.rpartition(".")[2] in _ANYIO_SOCKETS
        for each in stack[-3:]
    ):
        return "socket"  # anyio, and so httpx, waits for its socket by an event
    if any(each.file.endswith("asyncio/subprocess.py") for each in stack):
        return "os_process"  # ``communicate`` reads pipes, which are streams to asyncio
    for end, kind in _PLACES:
        if file.endswith(end) and (kind != "timer" or stack[-1].function == "sleep"):
            return kind  # type: ignore[return-value]  # the table above has kinds only
    return "unknown"


def _is_in_socket_call(coroutine: Any) -> bool:
    """Whether the innermost awaited is one of the loop's own ``sock_...``, which uvloop has in C: without a frame."""
    while (inner := getattr(coroutine, "cr_await", None)) is not None:
        coroutine = inner
    parts = (coroutine, *gc.get_referents(coroutine))  # a wrapper, and what it wraps
    return any(str(getattr(each, "__qualname__", "")).startswith("Loop.sock_") for each in parts)


def _job_of(future: Any) -> concurrent.futures.Future[Any] | None:
    """The job of an executor (``asyncio.to_thread``, ``run_in_executor``) whose end a future of asyncio stands for."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            if isinstance(cell.cell_contents, concurrent.futures.Future):
                return cell.cell_contents
    return None


def _frame_of(job: object, running: dict[int, FrameType]) -> FrameType | None:
    """The innermost frame of the thread that does a job; ``None`` while it waits for one."""
    for innermost in running.values():
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "run" and getattr(frame.f_locals.get("self"), "future", None) is job:
                return innermost
            frame = frame.f_back
    return None
