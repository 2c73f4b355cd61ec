"""What is inside of the things that code waits for: tasks of a gather or a group, jobs of threads; told from what asyncio keeps.

Whoever calls a process looks at what that one waits for. An attribute of a user's object may be code, a property or a
``__getattr__``, and code of one process must not run in the turn of another. So only that is read of which the type, or the
code of the frame, says that it is asyncio's or anyio's; objects are told apart by identity.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType, FunctionType, GetSetDescriptorType
from typing import TYPE_CHECKING, Any, Final

from mabeam.kernel._activation import Activation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from types import FrameType

__all__ = (
    "activation_of",
    "attribute_of_c",
    "is_frame_of",
    "is_of_library",
    "is_shield",
    "kept_in_callbacks",
    "parts",
    "tasks_of_group",
)

_GATHER: Final = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]  # not for others
_GROUPS: Final = (
    ("asyncio/taskgroups.py", "TaskGroup.__aexit__"),
    ("asyncio/taskgroups.py", "TaskGroup._aexit"),
    ("anyio/_backends/_asyncio.py", "TaskGroup.__aexit__"),
)
"""Where a task group waits for its tasks: the end of the file's path, and the function."""
_OF_SHIELD: Final = "shield.<locals>._outer_done_callback"


def is_frame_of(frame: FrameType, places: Iterable[tuple[str, str]]) -> bool:
    """Whether it runs one of the functions at ``places``: the end of a file's path, and a qualified name."""
    file, function = frame.f_code.co_filename, frame.f_code.co_qualname
    return any(function == name and file.endswith(end) for end, name in places)


def is_of_library(frame: FrameType) -> bool:
    """Whether it runs code of mabeam or asyncio."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in {"asyncio", "mabeam"}


def tasks_of_group(frame: FrameType, future: object) -> Collection[Any] | None:
    """The tasks that a task group waits for in ``frame``, by ``future``; ``None`` where none does."""
    if not is_frame_of(frame, _GROUPS):
        return None
    group: Any = frame.f_locals["self"]
    tasks: Collection[Any] | None = group._tasks if group._on_completed_fut is future else None
    return tasks


def parts(futures: Iterable[Any]) -> Collection[Any]:
    """What futures stand for: those inside of a gather and of a shield, however nested."""
    found: list[Any] = []
    pending, seen = list(futures), set[int]()
    while pending:
        future = pending.pop()
        if id(future) in seen:
            continue
        seen.add(id(future))
        if type(future) is _GATHER:
            pending.extend(future._children)
        elif shielded := _shielded(future):
            pending.extend(shielded)
        else:
            found.append(future)
    return found


def is_shield(future: object) -> bool:
    """Whether it stands for another that is shielded from being cancelled with it."""
    return bool(_shielded(future))


def _shielded(future: object) -> list[Any]:
    return [each for each in kept_in_callbacks(future, _OF_SHIELD) if issubclass(type(each), asyncio.Future)]


def kept_in_callbacks(future: Any, function: str | None = None) -> Iterator[object]:
    """What asyncio has given a future for: callbacks keep that in their closures; those of ``function`` alone, or all."""
    if not issubclass(type(future), asyncio.Future):
        return
    for callback, _ in future._callbacks or ():
        if type(callback) is FunctionType and function in {None, callback.__qualname__}:
            yield from (cell.cell_contents for cell in callback.__closure__ or ())


def activation_of(future: object) -> Activation | None:
    """Which code of its process a task steps. Told from the driver that the task has been given, however many tasks there are."""
    driver = attribute_of_c(future, "_coro")
    frame = driver.cr_frame if type(driver) is CoroutineType else None
    stepped = frame.f_locals.get("activation") if frame is not None else None
    return stepped if type(stepped) is Activation and stepped.task is future else None


def attribute_of_c(value: object, name: str) -> object | None:
    """An attribute that the type of an object computes in C; ``None`` for what a class of Python has, its slots included."""
    for each in type(value).__mro__:
        kept = each.__dict__.get(name)
        if isinstance(kept, GetSetDescriptorType):
            return kept.__get__(value)  # type: ignore[no-any-return]  # whatever it is
    return None
