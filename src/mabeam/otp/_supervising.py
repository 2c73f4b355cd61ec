"""What all kinds of supervisors share: their options, and starting and stopping a child."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from mabeam._base import Log
from mabeam.errors import UsageError
from mabeam.kernel import (
    Crashed,
    ExitReason,
    NoProcess,
    Pid,
    Shutdown,
    forget_tracebacks,
    is_seconds,
    kill_process,
    short_name,
    waiting_for,
)
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._ref import Ref
from mabeam.otp._restart_state import Backoff

if TYPE_CHECKING:
    from mabeam.kernel import Process, Start

__all__ = (
    "ChildCounts",
    "ChildInfo",
    "FailedToStartChild",
    "begin_stop",
    "check_limits",
    "check_option",
    "child_problems",
    "children_problems",
    "note_exit",
    "note_restart",
    "note_started",
    "raise_problems",
    "report_failed_restart",
    "report_giving_up",
    "start_reason",
    "stop_process",
    "stops_over",
)

logger = Log("mabeam")

ChildState: TypeAlias = Literal["running", "stopped", "restarting"]


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Inside ``Shutdown``: why a supervisor did not start.

    Attributes:
        id: the child that failed.
        reason: why it did.
    """

    id: str
    reason: ExitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """One child, as ``which_children`` shows it.

    Attributes:
        id: the child's id; ``None`` under a DynamicSupervisor, where ids mean nothing.
        state: ``running``, ``stopped`` or ``restarting``.
        pid: its process, while it runs.
        is_supervisor: whether it is a supervisor.
    """

    id: str | None
    state: ChildState
    pid: Pid | None
    is_supervisor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCounts:
    """How many children a supervisor has.

    Attributes:
        specs: children, running or not.
        active: those that run.
        supervisors: children that are supervisors, running or not.
        workers: the others, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


def check_limits(
    max_restarts: object, max_seconds: object, backoff: Backoff | None, max_children: object = None
) -> list[str]:
    """What is wrong with the options that all supervisors have."""
    found: list[str] = []
    if not isinstance(max_restarts, int) or isinstance(max_restarts, bool) or max_restarts < 0:
        found.append(f"max_restarts expects a whole number >= 0, got {max_restarts!r}")
    if not is_seconds(max_seconds) or max_seconds == 0:
        found.append(f"max_seconds expects seconds > 0, got {max_seconds!r}")
    if backoff is not None:
        found.extend(
            backoff.check()
            if isinstance(backoff, Backoff)
            else [f"backoff expects a Backoff, got {backoff!r}"]
        )
    if max_children is not None and (
        not isinstance(max_children, int) or isinstance(max_children, bool) or max_children < 0
    ):
        found.append(f"max_children expects a whole number >= 0, or None for no limit, got {max_children!r}")
    return found


def check_option(name: str, value: object, choices: Any) -> list[str]:
    """What is wrong with an option that is one of a few words."""
    words = get_args(choices)
    return [] if value in words else [f"{name} expects one of {', '.join(words)}, got {value!r}"]


def raise_problems(who: str, problems: list[str]) -> None:
    """Raise one error that lists them all.

    Raises:
        UsageError: there are any.
    """
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise UsageError(f"{who} was not started, nothing has begun:\n{lines}", problems=problems)


def child_problems(spec: object) -> tuple[str, ...]:
    """What is wrong with something given as a child."""
    return spec.check() if isinstance(spec, ChildSpec) else (_no_spec(spec),)


def _no_spec(value: object) -> str:
    """Say what a child is written like, to somebody who has given something else."""
    if inspect.iscoroutine(value):
        server = value.cr_frame.f_locals.get("cls") if value.cr_frame is not None else None
        name = short_name(value)
        value.close()
        if isinstance(server, type) and hasattr(server, "child_spec"):  # a start_link that was called
            return f"a child expects a spec, got the coroutine {name}(...), which starts it here. Write {server.__name__}.child_spec(...)"
        return f"a child expects a spec, got the coroutine {name}(...): the function was called. Write child_spec({name}, ...)"
    owner = getattr(value, "__self__", None)
    if isinstance(owner, type) and hasattr(owner, "child_spec"):  # start_link or child_spec itself
        return f"a child expects a spec, got {short_name(value)} of {owner.__name__}, not called. Write {owner.__name__}.child_spec(...)"
    if isinstance(value, type):
        if hasattr(value, "child_spec"):
            return f"a child expects a spec, got the class {value.__name__}. Write {value.__name__}.child_spec(...)"
        return f"a child expects a spec, got the class {value.__name__}, which is no GenServer"
    if hasattr(value, "__mabeam_behaviour__"):
        name = type(value).__name__
        return f"a child expects a spec, got an object of {name}; a server is made in its own process. Write {name}.child_spec(...)"
    if isinstance(value, Ref):
        return f"a child expects a spec, got {value!r}, which runs already. Give its spec, so that it can be restarted"
    if callable(value):
        return f"a child expects a spec, got the function {short_name(value)}. Write child_spec({short_name(value)}, ...)"
    return f"a child expects a spec such as Counter.child_spec(10), got {value!r}"


def children_problems(children: object) -> list[str]:
    """What is wrong with something given as the children of a supervisor; nothing with a list, whatever is in it."""
    if isinstance(children, list | tuple):
        return []
    hint = ""
    if isinstance(children, ChildSpec):
        hint = ", which is one spec. Write [spec]"
    elif inspect.iscoroutine(children):
        hint = f": the function was called. Give it as it is, {short_name(children)}; it runs once, in the supervisor's process"
        children.close()
    elif isinstance(children, type) and hasattr(children, "child_spec"):
        hint = f". Write [{children.__name__}.child_spec(...)]"
    elif isinstance(children, Mapping):
        hint = ". A list has an order, in which they start; a child's id is given by .named(...) or .options(id=...)"
    elif isinstance(children, Iterable) and not isinstance(children, str):
        hint = ". Write list(...), as it is gone through more than once"
    return [f"children expects a list of specs, or a function that returns one, got {children!r}{hint}"]


def start_reason(start: Start) -> ExitReason:
    """Why a start failed."""
    return start.reason if start.reason is not None else NoProcess()


def note_started(supervisor: Process, spec: ChildSpec[Any]) -> None:
    """Tell those who listen."""
    bus = supervisor.kernel.bus
    if bus.listening:
        bus.emit(
            "supervisor.child_started", {"count": 1}, {"supervisor": supervisor.pid.serial, "child": spec.id}
        )


def note_exit(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason) -> None:
    """Tell those who listen that a child ended by itself."""
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id, "reason": repr(reason)}
        bus.emit("supervisor.child_exited", {"count": 1}, metadata)


def note_restart(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason, attempt: int) -> None:
    """Tell those who listen that a child is to be restarted."""
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id, "reason": repr(reason)}
        bus.emit("supervisor.restarting", {"attempt": attempt}, metadata)


def report_failed_restart(supervisor: Process, spec: ChildSpec[Any], reason: ExitReason) -> None:
    """Log that a restart failed and will be tried again."""
    error = reason.exception if isinstance(reason, Crashed) else None
    logger.error(
        "%s could not restart child %r: %r; it tries again",
        supervisor.describe(),
        spec.id,
        reason,
        exc_info=(type(error), error, error.__traceback__) if error is not None else None,
    )
    if error is not None:
        forget_tracebacks(error)


def report_giving_up(supervisor: Process, spec: ChildSpec[Any], count: int, seconds: float) -> None:
    """Log that a supervisor gives up."""
    logger.error(
        "%s gives up: %d restart(s) within %g s are more than it allows (max_restarts, max_seconds); the last was of child "
        "%r. It stops its other children and ends with Shutdown().",
        supervisor.describe(),
        count,
        seconds,
        spec.id,
    )
    bus = supervisor.kernel.bus
    if bus.listening:
        metadata = {"supervisor": supervisor.pid.serial, "child": spec.id}
        bus.emit("supervisor.gave_up", {"restarts": count}, metadata)


async def stop_process(process: Process, supervisor: Process, seconds: float | None) -> None:
    """Stop a child: ``Shutdown()``, its time, then ``kill``; killed at once when it has no time.

    It stays linked until it is dead, so that it cannot outlive a supervisor that is killed meanwhile.
    """
    ended = begin_stop(process, supervisor, seconds)
    if ended is not None:
        await stops_over({process: ended})


async def stops_over(stops: Mapping[Process, asyncio.Future[None]]) -> None:
    """Wait until all have ended, each with what :func:`begin_stop` gave for it. It is seen whom that waits for."""

    def alive() -> Iterable[Process]:
        return (each for each in stops if each.is_alive)

    process = next(iter(alive()), None)
    if process is None:
        return
    if len(stops) == 1:
        with waiting_for(process, "to end", kind="stop"):
            await stops[process]
        return
    with waiting_for(process, "to end", kind="stop", all_of=alive):
        # One wait for all: between one and the next it would be seen to go on, and a cycle would not be seen.
        await asyncio.wait(stops.values())


def begin_stop(process: Process, supervisor: Process, seconds: float | None) -> asyncio.Future[None] | None:
    """As :func:`stop_process`; returns what to wait for with :func:`stops_over`, if it is not over yet."""
    kernel = supervisor.kernel
    if seconds is None:
        kill_process(process)
    else:
        process.grace_until = math.inf if math.isinf(seconds) else kernel.loop.time() + seconds
        kernel.signal(process, supervisor, Shutdown())
    if not process.is_alive:
        return None
    ended: asyncio.Future[None] = kernel.loop.create_future()
    process.on_death = [*(process.on_death or ()), ended]
    if seconds is not None and not math.isinf(seconds):
        timer = kernel.loop.call_later(seconds, kill_process, process)
        ended.add_done_callback(lambda _ended: timer.cancel())
    return ended
