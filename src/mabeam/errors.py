"""The exception tree: one root, then split by who has to act.

* :class:`UsageError`: the program is wrong; change the code.
* :class:`MissingExtra`: a package is not installed; install it.
* :class:`RejectedError` (and its :class:`WrongState`, :class:`CircuitOpen`, :class:`BulkheadFull`, :class:`PoolUnavailable`):
  nothing was run; come back later.
* :class:`NoSuchPool`: no connection pool has this id.
* :class:`ProcessDied` (and its :class:`NoSuchProcess`): the other process ended.
* :class:`HandlerFailed`, :class:`CallTimeout`, :class:`CallCycle`, :class:`DeadlineExceeded`: a call went wrong.
* :class:`TimeLimitExceeded`: something took longer than it may.
* :class:`StartFailed`, :class:`StartIgnored`, :class:`ChildError`: a process did not start, or a supervisor refused.
* :class:`AlreadyRegistered`, :class:`NotRegistered`: a key of a registry is somebody else's, or not the caller's.
* :class:`CircuitNotFound`, :class:`CheckNotFound`: a service has nothing under that id.
* :class:`DurabilityError`: a change could not be made durable; for what is to come.
* :class:`InternalError`: a fault of mabeam itself.

Each error carries its data as attributes and survives ``pickle``.

Long because the tree is to be seen whole; each class is a few lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.kernel import ExitReason, Pid

__all__ = (
    "AlreadyRegistered",
    "BulkheadFull",
    "CallCycle",
    "CallTimeout",
    "CheckNotFound",
    "ChildError",
    "CircuitNotFound",
    "CircuitOpen",
    "DeadlineExceeded",
    "DurabilityError",
    "HandlerFailed",
    "InternalError",
    "MabeamError",
    "MissingExtra",
    "NoSuchPool",
    "NoSuchProcess",
    "NotRegistered",
    "Operation",
    "PoolUnavailable",
    "ProcessDied",
    "RejectedError",
    "StartFailed",
    "StartIgnored",
    "TimeLimitExceeded",
    "UsageError",
    "WrongState",
    "show",
)

Operation = Literal[
    "call", "stop", "await", "link", "send", "stream", "start", "info", "why", "statistics", "main"
]
"""What was being done when a process turned out to be dead."""


def _rebuild(cls: type[MabeamError], args: tuple[object, ...], state: dict[str, Any]) -> MabeamError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def show(value: object, most: int = 1_000) -> str:
    """Show what came from a user, whose ``repr`` may raise: the news must get through all the same.

    At most so many characters: an error that tells of an error that tells of an error would double with each, since quotes are
    escaped each time. What is left out is in the exceptions that are chained.
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  (whatever it is, it must not take the place of the news)
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= most else text[: most - 3] + "..."


class MabeamError(Exception):
    """The root of every error that mabeam raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by attributes, so that constructors with keywords need no help of their own."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class UsageError(MabeamError, ValueError, TypeError):
    """The program asked for something that cannot be right; nothing was done.

    Attributes:
        problems: every problem that was found, one sentence each.
    """

    def __init__(self, message: str, *, problems: Iterable[str] = ()) -> None:
        """Keep the message, and the single problems it was made from."""
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems) or (message,)


class RejectedError(MabeamError):
    """The operation was not run at all: a limit was reached.

    Attributes:
        retry_after: seconds after which it may be admitted; ``None`` when that cannot be known.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Keep the message and when to come back."""
        super().__init__(message)
        self.retry_after = retry_after


class WrongState(RejectedError):
    """A state machine does not answer this call in the state that it is in; nothing was done.

    Attributes:
        process: how the machine is called.
        handler: ``Class.method``.
        state: the name of the state.
    """

    def __init__(self, process: str, handler: str, state: str) -> None:
        """Name the machine, the call and the state."""
        super().__init__(
            f"{process} does not answer {handler} in state {state!r}: nothing was done. Ask when it is in another state. To "
            f"have it answered there as well, declare @{state}.on({handler.rpartition('.')[2]}) in the class; @handle_call "
            "declares it for all states, and raise Postpone keeps the call until the state has changed."
        )
        self.process = process
        self.handler = handler
        self.state = state


class CircuitOpen(RejectedError):
    """A circuit breaker refused a call; nothing was run.

    Attributes:
        breaker: the name of the circuit breaker.
        state: ``open``, ``half_open`` (all probes are out) or ``isolated`` (by hand).
    """

    def __init__(self, breaker: str, state: str, *, retry_after: float | None = None) -> None:
        """Name the breaker, its state, and when it admits calls again."""
        why = {
            "open": "the calls before this one failed",
            "half_open": "its probes have not come back yet",
            "isolated": "it was isolated by hand, and stays so until its reset()",
        }.get(state, "it admits nothing now")
        when = "" if retry_after is None else f" It admits a probe in {retry_after:.3g} s (retry_after)."
        super().__init__(
            f"circuit breaker {breaker!r} is {state}: nothing was run, because {why}.{when} Answer without it, for instance "
            "by a Fallback, or come back later.",
            retry_after=retry_after,
        )
        self.breaker = breaker
        self.state = state


_SEND_LESS = "Send less at once, or raise max_concurrent, max_queue or queue_seconds if what it protects can bear that."


class BulkheadFull(RejectedError):
    """A bulkhead had neither a free place nor room to wait for one, or the wait took too long; nothing was run.

    Attributes:
        bulkhead: the name of the bulkhead.
        reason: ``queue_full``, ``queue_timeout``, or ``would_block_loop``: plain code would have had to wait in a thread
            whose event loop runs.
    """

    def __init__(self, bulkhead: str, reason: str) -> None:
        """Name the bulkhead and what was too much."""
        what, fix = {
            "queue_timeout": ("no place came free in time", _SEND_LESS),
            "would_block_loop": (
                "the places are taken, and plain code would stop the event loop of its thread while it waits, perhaps for itself",
                "Make it async (async with, an async function), or run it in a thread.",
            ),
        }.get(reason, ("places and queue are taken", _SEND_LESS))
        super().__init__(f"bulkhead {bulkhead!r}: {what} ({reason}): nothing was run. {fix}")
        self.bulkhead = bulkhead
        self.reason = reason


class PoolUnavailable(RejectedError):
    """A connection pool took no request; nothing was sent.

    Attributes:
        pool: the id of the pool.
        reason: ``queue_full`` (too many wait for a connection) or ``draining`` (its ConnectionManager is being stopped).
    """

    def __init__(self, pool: str, reason: str) -> None:
        """Name the pool and why it refused."""
        what = {
            "queue_full": "all its connections are in use, and as many requests wait as may. Send less at once, or raise "
            "max_connections or max_waiting",
            "draining": "its ConnectionManager is being stopped and takes no new requests. Start those who send after it, so "
            "that they are stopped before it",
        }.get(reason, "it takes no requests now")
        super().__init__(f"connection pool {pool!r} refused a request ({reason}); nothing was sent: {what}.")
        self.pool = pool
        self.reason = reason


class NoSuchPool(MabeamError, LookupError):
    """A ConnectionManager has no pool of this id; nothing was sent.

    Attributes:
        pool: the id that was asked for.
        pools: the ids that there are.
    """

    def __init__(self, pool: str, pools: Iterable[str]) -> None:
        """Name the pool, and those there are."""
        self.pool = pool
        self.pools: tuple[str, ...] = tuple(pools)
        shown, more = ", ".join(map(repr, self.pools[:10])), len(self.pools) - 10
        there = f"there are {shown}{f' and {more} more' if more > 0 else ''}" if shown else "there are none"
        super().__init__(
            f"expected the id of a connection pool, got {pool!r}; {there}. It was not configured yet, was removed, or is called "
            f"otherwise: await connections.configure({pool!r}, PoolOptions(...)), or give it to ConnectionManager.child_spec(pools=...)."
        )


class MissingExtra(MabeamError, ImportError):
    """Something needs a package that is installed with an extra of mabeam only.

    Attributes:
        what: what needs it.
        package: the package that is not there.
        extra: the extra that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        """Name who needs what, and how to get it."""
        super().__init__(
            f"{what} needs the package {package}, which is not installed. Install it with: pip install 'mabeam[{extra}]'"
        )
        self.what = what
        self.package = package
        self.extra = extra


class ProcessDied(MabeamError):
    """The process that an operation needed ended before the operation was done.

    Attributes:
        pid: the process, or ``None`` when a name led to no process.
        reason: its exit reason.
        operation: what was tried: call, stop, await, link, ...
        process: how the process is called, for messages.
    """

    def __init__(
        self,
        process: str,
        reason: ExitReason,
        *,
        operation: Operation,
        pid: Pid | None = None,
        hint: str = "",
    ) -> None:
        """Describe the end of ``process`` during ``operation``."""
        super().__init__(
            f"{operation}: process {process} ended with {reason!r} before it was done{': ' if hint else '.'}{hint}"
        )
        self.process = process
        self.pid = pid
        self.reason = reason
        self.operation: Operation = operation


class NoSuchProcess(ProcessDied):
    """The process was not there when the operation began: nothing was done."""

    def __init__(
        self,
        process: str,
        reason: ExitReason,
        *,
        operation: Operation,
        pid: Pid | None = None,
        hint: str = "",
        instead: str = "",
    ) -> None:
        """Describe a process that is not there; ``instead`` says so in other words."""
        super().__init__(process, reason, operation=operation, pid=pid)
        what = instead or f"expected a living process, but {process} is not one."
        fix = hint or ("" if instead else _NO_SUCH_NAME if pid is None else _NO_SUCH_PID)
        self.args = (f"{operation}: {what} {fix}".rstrip(),)


_NO_SUCH_PID = (
    "It has ended; a process that is restarted is another one. Address it by a name, which survives restarts: "
    "Server.child_spec(...).named('name') and mabeam.ref('name', Server)."
)
_NO_SUCH_NAME = (
    "Nobody has this name: it was not started, has ended, or is called otherwise. Start it first, with "
    "Server.child_spec(...).named('name'), before those who need it."
)


class HandlerFailed(MabeamError):
    """A concurrent handler or a stream raised; its server lives on. The cause is chained.

    Attributes:
        handler: ``Class.method``.
    """

    def __init__(self, handler: str, error: BaseException) -> None:
        """Name the handler and what it raised."""
        super().__init__(
            f"{handler} raised {show(error)}; its server goes on. Declare it with raises=(...) if it is an answer."
        )
        self.handler = handler


class CallTimeout(MabeamError, TimeoutError):
    """No reply came in time. The handler may still run; its late reply is dropped.

    Attributes:
        process: how the callee is called.
        handler: ``Class.method``; ``stop`` or ``await``, if that was waited for.
        timeout: seconds that were waited.
        operation: what was tried: call, stop or await.
    """

    def __init__(self, process: str, handler: str, timeout: float) -> None:
        """Name the callee, the handler and the seconds waited."""
        longer = "ref.options(timeout=...)" if "." in handler else "timeout=..."
        super().__init__(
            f"{process} did not answer {handler} within {timeout:g} s. It may be busy, waiting for somebody else, or "
            f"its handler takes longer: pass {longer} if that is expected."
        )
        self.process = process
        self.handler = handler
        self.timeout = timeout
        self.operation: Operation = "stop" if handler == "stop" else "await" if handler == "await" else "call"


class TimeLimitExceeded(MabeamError, TimeoutError):
    """A function took longer than its :class:`TimeLimit` allows, and was cancelled. What it did until then is done.

    Attributes:
        limit: the name of the time limit.
        timeout: seconds that it allows.
    """

    def __init__(self, limit: str, timeout: float) -> None:
        """Name the limit and its seconds."""
        super().__init__(
            f"time limit {limit!r}: the function did not end within {timeout:g} s and was cancelled. Give it more seconds if "
            "that is expected, or find out what it waits for."
        )
        self.limit = limit
        self.timeout = timeout


class CallCycle(MabeamError):
    """A wait that could never end: each waits for the next, and the last for the first.

    Attributes:
        path: the processes in the order of waiting, the first one repeated at the end.
    """

    def __init__(self, path: Iterable[str]) -> None:
        """Keep the whole path."""
        self.path: tuple[str, ...] = tuple(path)
        super().__init__(
            f"this would wait for itself, since each waits for the next: {' -> '.join(self.path)}. "
            "A server calls its own methods directly. Else cast, take the caller with reply_later, or have a task of its own "
            "wait; locks are taken in the same order everywhere."
        )


class DeadlineExceeded(MabeamError, TimeoutError):
    """The deadline that came with the message being handled has passed, so nothing new is begun for it."""


class StartFailed(MabeamError):
    """A process ended before it was up. The exception that was at the bottom of it is chained, if there is one.

    Attributes:
        reason: the exit reason of the failed start.
        process: how the process was to be called.
    """

    def __init__(self, process: str, reason: ExitReason, *, hint: str = "") -> None:
        """Name the process and why it did not start."""
        super().__init__(f"{process} did not start: {reason!r}.{hint}")
        self.process = process
        self.reason = reason


class StartIgnored(MabeamError):
    """The process chose not to run: its ``init`` raised ``Ignore``. There is no process, and that is no failure.

    Attributes:
        process: how the process was to be called.
    """

    def __init__(self, process: str) -> None:
        """Name the process."""
        super().__init__(f"{process} is not running: its init raised Ignore.")
        self.process = process


class ChildError(MabeamError):
    """A supervisor refused an operation on a child because of the child's state.

    Attributes:
        code: ``not_found``, ``running``, ``restarting``, ``already_present`` or ``already_started``.
        child: the id of the child.
        pid: the running child, for ``already_started``.
    """

    Code = Literal["not_found", "running", "restarting", "already_present", "already_started"]

    _MEANING: dict[str, str] = {  # noqa: RUF012  (read only)
        "not_found": "there is no child with this id; which_children lists those there are",
        "running": "it runs; terminate_child it first",
        "restarting": "it is being restarted; terminate_child ends that",
        "already_present": "its spec is there, and it is stopped or being restarted; use restart_child, or terminate_child and delete_child",
        "already_started": "it is there and runs",
    }

    def __init__(self, code: Code, child: str, *, pid: Pid | None = None) -> None:
        """Name the child and what is the matter with it."""
        super().__init__(f"child {child!r}: {code}: {self._MEANING[code]}.")
        self.code = code
        self.child = child
        self.pid = pid


class AlreadyRegistered(MabeamError):
    """A key of a registry with unique keys is taken; nothing was changed.

    Attributes:
        registry: the registry.
        key: the key.
        pid: the process that has it; the caller itself when that has registered it before.
    """

    def __init__(self, registry: str, key: object, pid: Pid) -> None:
        """Name the registry, the key and who has it."""
        super().__init__(
            f"the key {key!r} of registry {registry} is taken by {pid!r}. A unique key has one process: use the one that "
            "has it, or another key; keys='duplicate' allows several."
        )
        self.registry = registry
        self.key = key
        self.pid = pid


class NotRegistered(MabeamError):
    """The calling process does not have a key of a registry; nothing was changed.

    Attributes:
        registry: the registry.
        key: the key.
    """

    def __init__(self, registry: str, key: object) -> None:
        """Name the registry and the key."""
        super().__init__(
            f"the calling process does not have the key {key!r} of registry {registry}. Only the process that registered a "
            "key can change what is registered under it; cast to that process instead."
        )
        self.registry = registry
        self.key = key


class CircuitNotFound(MabeamError):
    """There is no circuit with that id; nothing was done.

    Attributes:
        service: the ``CircuitBreakers`` service that was asked.
        circuit: the id.
        similar: ids that are there and look like it.
    """

    def __init__(self, service: str, circuit: object, similar: Iterable[str] = ()) -> None:
        """Name the service and the id, and those that may have been meant."""
        self.similar = tuple(similar)
        super().__init__(
            f"there is no circuit {show(circuit)} in {service}.{_meant(self.similar)} It was not configured yet, was "
            "removed, or was configured at run time and the service was restarted since. Configure it first, which is "
            "harmless to repeat: circuits.configure(id, ...)"
        )
        self.service = service
        self.circuit = circuit


class CheckNotFound(MabeamError):
    """There is no health check with that id; nothing was done.

    Attributes:
        service: the ``HealthChecker`` that was asked.
        check: the id.
        similar: ids that are there and look like it.
    """

    def __init__(self, service: str, check: object, similar: Iterable[str] = ()) -> None:
        """Name the service and the id, and those that may have been meant."""
        self.similar = tuple(similar)
        super().__init__(
            f"there is no health check {show(check)} in {service}.{_meant(self.similar)} It was not added yet, was removed, "
            "or was added at run time and the service was restarted since. Add it first: health.add(id, function, ...)"
        )
        self.service = service
        self.check = check


def _meant(similar: tuple[str, ...]) -> str:
    return f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""


class DurabilityError(MabeamError):
    """A change could not be made durable; it did not happen. Nothing raises it yet: it is for the durable servers to come."""


class InternalError(MabeamError):
    """A fault of mabeam itself. Please report it with the traceback."""
