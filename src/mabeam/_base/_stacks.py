"""Where a suspended coroutine waits, and where something was created: positions without holding frames alive."""

from __future__ import annotations

import gc
import sys
import types
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Position", "await_chain", "creation_stack", "innermost_frame", "suspended_frames")


class Position(NamedTuple):
    """A place in the code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def await_chain(awaitable: object) -> tuple[Position, ...]:
    """Follow what a suspended coroutine waits for, from its outermost frame inwards.

    ``asyncio.Task.get_stack`` gives the outermost frame only, and that is rarely the one that explains the wait.

    Guarantees:
        Only looks: nothing is stepped. Ends where Python offers no way on: at a future, or another object written in C.
        Empty when the coroutine has not started, runs, or has ended.

    Args:
        awaitable: a coroutine, a generator, or anything else (which has no positions).

    Returns:
        The positions, outermost first, innermost last.
    """
    return tuple(
        Position(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)
        for frame in suspended_frames(awaitable)
    )


_GENERATOR: Final = types.AsyncGeneratorType
_STEPS_OF_GENERATORS: Final = ("async_generator_asend", "async_generator_athrow")


def innermost_frame(awaitable: object) -> types.FrameType | None:
    """The frame in which a suspended coroutine waits; ``None`` where there is none to be seen."""
    innermost: types.FrameType | None = None
    # Nearly always these are coroutines alone, and it is asked often.
    while type(awaitable) is types.CoroutineType and (frame := awaitable.cr_frame) is not None:
        innermost, awaitable = frame, awaitable.cr_await
    for frame in suspended_frames(awaitable):
        innermost = frame
    return innermost


def suspended_frames(awaitable: object) -> Iterator[types.FrameType]:
    """The frames behind :func:`await_chain`."""
    current: object = awaitable
    while current is not None:
        frame: types.FrameType | None
        following: object
        if isinstance(current, types.CoroutineType):
            frame, following = current.cr_frame, current.cr_await
        elif isinstance(current, types.GeneratorType):
            frame, following = current.gi_frame, current.gi_yieldfrom
        elif isinstance(current, types.AsyncGeneratorType):
            frame, following = current.ag_frame, current.ag_await
        elif type(current).__name__ in _STEPS_OF_GENERATORS:
            # It does not say of which generator, but the garbage collector has to know.
            current = next((each for each in gc.get_referents(current) if isinstance(each, _GENERATOR)), None)
            continue
        else:
            return
        if frame is None:
            return
        yield frame
        current = following


def creation_stack(*, skip: int = 0, limit: int = 8) -> tuple[Position, ...]:
    """Note where the caller stands, so that what it creates can later be traced to it.

    Args:
        skip: callers to leave out, counted from the one who asks.
        limit: most positions to keep.

    Returns:
        The positions, innermost first. No frame is kept alive.
    """
    frame: types.FrameType | None = sys._getframe(1)
    positions: list[Position] = []
    while frame is not None and len(positions) < limit:
        if skip > 0:
            skip -= 1
        else:
            positions.append(Position(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        frame = frame.f_back
    return tuple(positions)
