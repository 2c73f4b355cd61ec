"""What the kernel refuses before it begins: functions that cannot be run, durations that are none, what leads to no process."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import types
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import UsageError
from mabeam.kernel._messages import MonitorRef
from mabeam.kernel._pid import Pid

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "check_function",
    "check_seconds",
    "check_target",
    "is_seconds",
    "misfit",
    "no_target",
    "short_name",
)

_GENERATOR: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


# ------------------------------------------------------------------------------------------------- functions


def short_name(function: object) -> str:
    """How a function is called in code that can be pasted."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or "function"
    name = name.rpartition("<locals>.")[2]
    return "function" if name == "<lambda>" else name


def check_function(
    function: object, how: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> None:
    """Refuse what cannot be run as a process, and say what to write instead.

    Args:
        function: what is to be run.
        how: how the call is written.
        args: its arguments, which are looked at when ``kwargs`` is given.
        kwargs: its keyword arguments.

    Raises:
        UsageError: it is no function, or the arguments do not fit it.
    """
    if inspect.iscoroutine(function):
        name = short_name(function)
        function.close()
        msg = (
            f"{how} expects a function and its arguments, got a coroutine: the function was called.\n"
            f"    wrong:  {how}({name}(...))\n    right:  {how}({name}, ...)"
        )
        raise UsageError(msg)
    if not callable(function):
        msg = f"{how} expects a function and its arguments, got {function!r}{_hint_for(function)}"
        raise UsageError(msg)
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    if isinstance(plain, type) and hasattr(plain, "start_link"):
        name = plain.__name__
        msg = (
            f"{how} expects a function, got the server class {name}: it would be made, and end at once.\n"
            f"    right:  await {name}.start_link(...)    or, under a supervisor, {name}.child_spec(...)"
        )
        raise UsageError(msg)
    if getattr(getattr(plain, "__code__", None), "co_flags", 0) & _GENERATOR:
        msg = (
            f"{how} expects a function that runs to its end, got {short_name(plain)}, which has 'yield' in it: calling it "
            "runs nothing. What others are to read item by item is a method with @handle_stream of a GenServer."
        )
        raise UsageError(msg)
    if kwargs is not None:
        wrong = misfit(function, args, kwargs)
        if wrong:
            msg = f"{how} was given arguments that do not fit {short_name(function)}: {wrong}. Nothing was started."
            raise UsageError(msg)


def _hint_for(value: object) -> str:
    if hasattr(value, "__mabeam_behaviour__"):
        return f", an object of a server class. Write await {type(value).__name__}.start_link(...)"
    if hasattr(value, "start_link"):
        return ". A spec is started with: await spec.start_link()"
    if hasattr(value, "address"):
        return ", which leads to a process that was started already"
    return ""


def misfit(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why arguments do not fit; nothing if they do, or if that cannot be known before the call (code written in C)."""
    plain: Any = function
    given = len(args)
    if type(plain) is types.MethodType:
        plain, given = plain.__func__, given + 1
    if type(plain) is types.FunctionType and not kwargs:
        code = plain.__code__
        needed = code.co_argcount - len(plain.__defaults__ or ())
        has_room = given <= code.co_argcount or code.co_flags & inspect.CO_VARARGS
        if needed <= given and has_room and code.co_kwonlyargcount == len(plain.__kwdefaults__ or ()):
            return ""  # nearly all calls; making a signature would take longer than starting a process
    try:
        # Not the signature of what a decorator has wrapped: it may pass on more, or less, than it is given.
        inspect.signature(function, follow_wrapped=False).bind(*args, **kwargs)
    except TypeError as error:
        return f"{error}"
    except ValueError:
        return ""
    return ""


# ------------------------------------------------------------------------------------------------- durations


def is_seconds(value: object) -> bool:
    """Whether it is a duration: a number of seconds, from 0 to infinity. No clock takes an integer that no float holds."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (0 <= value <= sys.float_info.max or value == math.inf)
    )


def check_seconds(what: str, value: object, *, none: str = "") -> None:
    """Refuse what is no duration.

    Args:
        what: who expects it, with the verb: ``send_after expects seconds``.
        value: what came.
        none: what ``None`` stands for, where it is allowed.

    Raises:
        UsageError: it is no number, below 0, larger than any float, or not a number at all (NaN), which no clock ever reaches.
    """
    if is_seconds(value) or (none and value is None):
        return
    hint = ""
    if isinstance(value, timedelta):
        hint = f": write {value.total_seconds():g}, or .total_seconds()"
    elif isinstance(value, str):
        hint = ": a string; write float(...)"
    elif isinstance(value, float) and math.isnan(value):
        hint = ", which no clock ever reaches"
    elif isinstance(value, bool):
        hint = ", which is no number of seconds"
    elif isinstance(value, int) and value > 0:
        hint = ", more than any clock can count; without limit it is math.inf"
    msg = f"{what} >= 0{f', or None {none}' if none else ''}, got {value!r}{hint}"
    raise UsageError(msg)


# ------------------------------------------------------------------------------------------------- targets


def check_target(target: object) -> None:
    """Refuse what cannot lead to a process, whichever processes there are.

    Raises:
        UsageError: it is neither a pid, nor a name, nor a handle.
    """
    if not isinstance(target, str | Pid) and not (
        not isinstance(target, type)
        and (callable(getattr(target, "address", None)) or hasattr(target, "whereis_name"))
    ):
        raise no_target(target)


def no_target(target: object) -> UsageError:
    """The error for something that is given for a process and leads to none."""
    hint = ""
    if target is None:
        hint = ". Did whereis() find nobody?"
    elif inspect.iscoroutine(target):
        hint = f": 'await' is missing before {short_name(target)}(...)"
        target.close()
    elif isinstance(target, type):
        name = target.__name__
        hint = f", which is a class and no process. Its processes are found by what {name}.start_link(...) returned, or by name"
    elif isinstance(target, MonitorRef):
        hint = ". A monitor is for demonitor; the process is what it was made for"
    elif isinstance(target, tuple) and any(isinstance(each, MonitorRef) for each in target):
        hint = ". spawn_monitor answers two things: pid, monitor = spawn_monitor(...)"
    elif hasattr(target, "__mabeam_behaviour__"):
        hint = (
            ", which is the inside of a server: its own code says self_pid(), others have a handle or a name"
        )
    elif hasattr(target, "start_link"):
        hint = ". A spec is no process yet: handle = await spec.start_link()"
    return UsageError(f"expected a pid, a name, a via name or a handle such as a Ref, got {target!r}{hint}")
