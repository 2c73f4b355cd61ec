"""Tasks in words, for errors that must say who waits for what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam._base import Position, await_chain
from mabeam.testing._libraries import is_of_mabeam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ("describe_task", "indent", "live_tasks", "only_drives", "said_by")


def live_tasks(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """List the tasks of a loop that have not ended, those with default names in the order of creation."""
    return sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))


def describe_task(task: Any) -> str:
    """Say what a task waits for, where it waits, and, if the loop is in debug mode, where it was created."""
    # Both attributes are private and have been there, in Python and C, since tasks exist; missing ones only shorten the text.
    awaited = getattr(task, "_fut_waiter", None)
    source = getattr(task, "_source_traceback", None) or ()
    lines = [f"task {task.get_name()!r} waits for {_describe_future(awaited)}"]
    lines += indent(await_chain(task.get_coro()))
    created = [Position(frame.filename, frame.lineno or 0, frame.name) for frame in source]
    if created:
        lines.append("  created at")
        lines += indent(_outside_asyncio(created)[-3:])
    return "\n".join(lines)


def only_drives(task: Any) -> bool:
    """Whether all that can be seen of a task is code of mabeam, which tells nothing of why the program waits."""
    chain = await_chain(task.get_coro())
    return bool(chain) and all(is_of_mabeam(position.file) for position in chain)


def indent(positions: Iterable[Position]) -> list[str]:
    """Lay out positions as lines below a heading."""
    return [f"    {position}" for position in positions]


def said_by(show: Callable[[object], str], value: object) -> str:
    """What ``str`` or ``repr`` says of an object that is not ours; if that raises, what Python's tracebacks say then."""
    try:
        return show(value)
    except Exception:  # noqa: BLE001  (whoever reports something is not to fail at its name)
        what = "exception" if isinstance(value, BaseException) else type(value).__name__
        return f"<{what} {show.__name__}() failed>"


def _describe_future(awaited: object) -> str:
    if awaited is None:
        return "its turn"
    if isinstance(awaited, asyncio.Future) and hasattr(
        awaited, "get_name"
    ):  # what tasks have and futures have not
        return f"task {awaited.get_name()!r}"
    return said_by(repr, awaited)


def _outside_asyncio(positions: Sequence[Position]) -> Sequence[Position]:
    """Leave out the event loop's own frames, unless there are no others."""
    library = asyncio.__file__.rpartition("/")[0]
    return [position for position in positions if not position.file.startswith(library)] or positions
