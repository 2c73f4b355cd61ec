"""What the frames of a thread say about the event loop in it: whose code runs, where, and whether the loop waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mabeam._base import Position
from mabeam.kernel._activation import Activation, here
from mabeam.kernel._info import name_of
from mabeam.kernel._messages import HandlerMessage
from mabeam.kernel._process import Process
from mabeam.kernel._system import SystemRequest

if TYPE_CHECKING:
    from types import CodeType, FrameType

__all__ = ("Entry", "handler_of", "is_dark", "is_waiting", "loop_entry", "owner_of", "stack_of")

_DEEPEST: Final = 32
_TURN: Final = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # which typeshed does not know
_DARK_PLACES: Final = ("asyncio/runners.py", "uvloop/__init__.py", "mabeam/kernel/_run.py")
_RUN_CALLBACK: Final = asyncio.Handle._run.__code__
"""What asyncio runs a callback with; uvloop does it in C, where no context is to be seen."""

Entry: TypeAlias = "tuple[CodeType, int] | None"
"""The code and line from which a loop that leaves no frames of its own was run."""


def loop_entry(frame: FrameType) -> Entry:
    """From where the loop is run that has called ``frame`` as a callback; ``None`` for one that leaves frames."""
    caller = frame.f_back
    return None if caller is None or caller.f_code is _RUN_CALLBACK else (caller.f_code, caller.f_lineno)


def is_waiting(frame: FrameType) -> bool:
    """Whether the standard loop waits for something to do, if this is the innermost frame of its thread."""
    # Others select as well: subprocess does, while it blocks the loop.
    return frame.f_code.co_name == "select" and frame.f_back is not None and frame.f_back.f_code is _TURN


def is_dark(frame: FrameType, entry: Entry) -> bool:
    """Whether uvloop waits, or calls something that has no frame, if this is the innermost one; nobody sees which."""
    return frame.f_code.co_filename.endswith(_DARK_PLACES) or (frame.f_code, frame.f_lineno) == entry


def stack_of(frame: FrameType | None, entry: Entry = None) -> tuple[Position, ...]:
    """The frames of user code around a running frame, innermost last; those of the loop and of mabeam are left out.

    If there is no user code between the frame and the loop, it is code of mabeam that takes so long: then that is shown.
    """
    positions: list[Position] = []
    innermost = _position(frame) if frame is not None else None
    while frame is not None and len(positions) < _DEEPEST and not _is_loop(frame, entry):
        if _is_of_users(frame):
            positions.append(_position(frame))
        elif positions:
            break
        frame = frame.f_back
    return tuple(reversed(positions)) or ((innermost,) if innermost is not None else ())


def _position(frame: FrameType) -> Position:
    code = frame.f_code
    return Position(code.co_filename, frame.f_lineno, code.co_qualname)


def _is_loop(frame: FrameType, entry: Entry) -> bool:
    """Whether what is further out has called the loop, not been called by it."""
    return frame.f_code.co_name == "_run_once" or is_waiting(frame) or is_dark(frame, entry)


def owner_of(frame: FrameType | None, entry: Entry) -> tuple[Process | Activation | None, str, bool]:
    """Whose code runs in ``frame``, which function of theirs it is, and whether the loop has called that back.

    It is what the innermost function of mabeam that runs code for a process was given. What that code has called of mabeam
    has been given a process, too: the one that is sent something, say. In a callback, of a library say, it is the one whose
    context that has.
    """
    innermost = frame
    while frame is not None and not _is_loop(frame, entry) and not _is_of_users(frame):
        frame = frame.f_back
    if frame is None or _is_loop(frame, entry):
        frame = innermost  # it is code of mabeam itself
    function, in_ours = "", False
    while frame is not None:
        if _is_ours(frame):
            in_ours = True
            for name in ("activation", "process"):
                owner = frame.f_locals.get(name)
                if isinstance(owner, Activation | Process) and hasattr(owner.process, "pid"):
                    return (
                        owner,
                        function,
                        False,
                    )  # without a pid it is only being made, and not the one that blocks
        elif frame.f_code is _RUN_CALLBACK and not in_ours:
            owner = frame.f_locals["self"]._context.get(here)
            # The block of a Runtime runs in a task that is not of ours.
            return (owner if owner is not None and owner.process.parent is not None else None), function, True
        else:
            function = frame.f_code.co_qualname
        frame = frame.f_back
    return None, function, False


def _is_ours(frame: FrameType) -> bool:
    package, _, rest = frame.f_globals.get("__name__", "").partition(".")
    return package == "mabeam" and rest.partition(".")[0] in {"_base", "kernel", "otp"}


def _is_of_users(frame: FrameType) -> bool:
    return not _is_ours(frame) and frame.f_globals.get("__name__", "").partition(".")[0] != "asyncio"


def handler_of(owner: Process | Activation, function: str, *, is_callback: bool) -> str:
    """``Class.method`` of a handler, a callback of a server or a plain process; else the name of a task.

    What the loop calls back for a plain handler, which has no activation, is called by its own name: its process may be at
    another message by now.
    """
    process = owner.process
    if isinstance(owner, Activation) and owner in (process.tasks or ()):
        return name_of(owner)
    what = None if is_callback and owner is process else _what_of(process, owner.message)
    if what is None and function:
        return function
    return name_of(owner) if isinstance(owner, Activation) else what or owner.label


def _what_of(process: Process, message: Any) -> str | None:
    """What a message asks for; nothing is asked of one that is a user's."""
    if issubclass(type(message), HandlerMessage):
        return str(message.handler.what)
    if type(message) is SystemRequest:
        return message.what
    # Within the turn of its caller a handler stands for its message.
    handlers = (process.behaviour.handlers or {}).values()
    return next((str(each.what) for each in handlers if each is message), None)
