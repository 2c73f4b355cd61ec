"""What code waits for that leads on to no process: sockets, locks, threads of others, places in a bulkhead, told from frames."""

from __future__ import annotations

import concurrent.futures
import gc
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from mabeam.kernel._awaited import attribute_of_c, is_frame_of, kept_in_callbacks

if TYPE_CHECKING:
    from types import FrameType

    from mabeam._base import Position

__all__ = ("WORDS", "OutsideKind", "frame_of", "job_of", "outside_kind")

# Words that are read at a glance: one a line would take a page.
OutsideKind: TypeAlias = Literal[
    "bulkhead", "cache_load", "connection", "os_process", "outside_lock", "queue", "socket", "stop_request", "timer", "unknown"
]  # fmt: skip

_PLACES: Final[tuple[tuple[str, str, OutsideKind], ...]] = (
    ("asyncio/locks.py", "", "outside_lock"),
    ("asyncio/queues.py", "", "queue"),
    ("asyncio/streams.py", "", "socket"),
    ("asyncio/selector_events.py", "", "socket"),
    ("asyncio/base_events.py", "", "socket"),
    ("asyncio/sslproto.py", "", "socket"),
    ("asyncio/subprocess.py", "", "os_process"),
    ("asyncio/base_subprocess.py", "", "os_process"),
    ("asyncio/tasks.py", "sleep", "timer"),
    ("mabeam/_base/_streams.py", "", "socket"),
    ("mabeam/kernel/_kernel.py", "Kernel.wait_stopped", "stop_request"),
    ("mabeam/resilience/_bulkhead.py", "", "bulkhead"),
    ("mabeam/resilience/_cache_loading.py", "", "cache_load"),
    ("mabeam/resilience/_rate_limiter.py", "", "timer"),
    ("mabeam/resilience/_waiting.py", "", "timer"),
    ("mabeam/services/_pool.py", "", "connection"),
)
"""The end of a file's path, the function in it unless it is any, and what is waited for there."""
_RUN_OF_EXECUTOR: Final = (("concurrent/futures/thread.py", "_WorkItem.run"),)
_RUN_OF_ANYIO: Final = (("anyio/_backends/_asyncio.py", "WorkerThread.run"),)
_ANYIO_SOCKETS: Final = ("receive", "send", "accept", "receive_fds", "send_fds")
WORDS: Final[dict[OutsideKind, str]] = {
    "bulkhead": "a place in a bulkhead",
    "cache_load": "a value that another caller of the cache is loading",
    "connection": "a connection of a pool to come free",
    "stop_request": "the program to be asked to stop",
    "outside_lock": "a lock, an event or a semaphore of asyncio, which does not know who holds it",
    "queue": "a queue of asyncio",
    "socket": "a socket or a pipe",
    "os_process": "an OS process",
    "timer": "time to pass",
    "unknown": "something that mabeam knows nothing of",
}


def outside_kind(stack: tuple[Position, ...], coroutine: object) -> OutsideKind:
    """What kind of thing a coroutine waits for, by the innermost frames of its stack."""
    kind = _kind_of(stack)
    return "socket" if kind == "unknown" and _is_in_socket_call(coroutine) else kind


def _kind_of(stack: tuple[Position, ...]) -> OutsideKind:
    file, function = stack[-1].file, stack[-1].function
    if file.endswith("asyncio/locks.py") and any(
        each.file.endswith("anyio/_backends/_asyncio.py")
        and each.function.rpartition(".")[2] in _ANYIO_SOCKETS
        for each in stack[-3:]
    ):
        return "socket"  # anyio, and so httpx, waits for its socket by an event
    if any(each.file.endswith("asyncio/subprocess.py") for each in stack):
        return "os_process"  # ``communicate`` reads pipes, which are streams to asyncio
    for end, only, kind in _PLACES:
        if file.endswith(end) and only in {"", function}:
            return kind
    return "unknown"


def _is_in_socket_call(coroutine: object) -> bool:
    """Whether the innermost awaited is one of the loop's own ``sock_...``, which uvloop has in C: without a frame."""
    while (inner := attribute_of_c(coroutine, "cr_await")) is not None:
        coroutine = inner
    wrapped = (coroutine, *gc.get_referents(coroutine))  # a wrapper, and what it wraps
    return any(str(attribute_of_c(each, "__qualname__")).startswith("Loop.sock_") for each in wrapped)


def job_of(future: object, stack: tuple[Position, ...]) -> object | None:
    """The job of a thread that a future of asyncio stands for: an executor's (``asyncio.to_thread``), or one of anyio's."""
    for job in kept_in_callbacks(future):
        if issubclass(type(job), concurrent.futures.Future):
            return job
    # anyio has the thread tell the future itself. Its file alone would say little: sockets, locks and streams are in it, too.
    return future if stack and stack[-1].function.endswith(".run_sync_in_worker_thread") else None


def frame_of(job: object, running: dict[int, FrameType]) -> FrameType | None:
    """The innermost frame of the thread that does a job; ``None`` while it waits for one."""
    for innermost in running.values():
        frame: FrameType | None = innermost
        while frame is not None:
            if _job_in(frame) is job:
                return innermost
            frame = frame.f_back
    return None


def _job_in(frame: FrameType) -> object | None:
    """What the ``run`` of a thread's work works at: that of an executor has its job in ``self``, that of anyio beside it."""
    if is_frame_of(frame, _RUN_OF_EXECUTOR):
        return frame.f_locals["self"].future  # type: ignore[no-any-return]  # a future
    return frame.f_locals.get("future") if is_frame_of(frame, _RUN_OF_ANYIO) else None
