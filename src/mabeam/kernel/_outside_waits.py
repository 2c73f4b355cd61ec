"""What code waits for that mabeam knows nothing of: sockets, locks, threads of others, told from the frames of libraries."""

from __future__ import annotations

import concurrent.futures
import gc
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from types import FrameType

    from mabeam._base import Position

__all__ = ("WORDS", "OutsideKind", "frame_of", "job_of", "outside_kind")

OutsideKind: TypeAlias = Literal["os_process", "outside_lock", "queue", "socket", "timer", "unknown"]

_PLACES: Final[tuple[tuple[str, OutsideKind], ...]] = (
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
WORDS: Final[dict[OutsideKind, str]] = {
    "outside_lock": "a lock, an event or a semaphore of asyncio, which does not know who holds it",
    "queue": "a queue of asyncio",
    "socket": "a socket",
    "os_process": "an OS process",
    "timer": "time to pass",
    "unknown": "something that mabeam knows nothing of",
}


def outside_kind(stack: tuple[Position, ...], coroutine: object) -> OutsideKind:
    """What kind of thing a coroutine waits for, by the innermost frames of its stack."""
    kind = _kind_of(stack)
    return "socket" if kind == "unknown" and _is_in_socket_call(coroutine) else kind


def _kind_of(stack: tuple[Position, ...]) -> OutsideKind:
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
            return kind
    return "unknown"


def _is_in_socket_call(coroutine: Any) -> bool:
    """Whether the innermost awaited is one of the loop's own ``sock_...``, which uvloop has in C: without a frame."""
    while (inner := getattr(coroutine, "cr_await", None)) is not None:
        coroutine = inner
    parts = (coroutine, *gc.get_referents(coroutine))  # a wrapper, and what it wraps
    return any(str(getattr(each, "__qualname__", "")).startswith("Loop.sock_") for each in parts)


def job_of(future: Any) -> concurrent.futures.Future[Any] | None:
    """The job of an executor (``asyncio.to_thread``, ``run_in_executor``) whose end a future of asyncio stands for."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            if isinstance(cell.cell_contents, concurrent.futures.Future):
                return cell.cell_contents
    return None


def frame_of(job: object, running: dict[int, FrameType]) -> FrameType | None:
    """The innermost frame of the thread that does a job; ``None`` while it waits for one."""
    for innermost in running.values():
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "run" and getattr(frame.f_locals.get("self"), "future", None) is job:
                return innermost
            frame = frame.f_back
    return None
