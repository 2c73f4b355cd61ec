"""Coroutines that are left behind for good: never stepped again, by anybody, and with as little as can be kept."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import types
from typing import Any, Final

from mabeam._base import suspended_frames

__all__ = ("keep_for_ever",)


def keep_for_ever(coroutine: object, *, with_open_generators: bool = False) -> None:
    """Take a reference that is never given back: collecting it would throw GeneratorExit in, which is a step.

    The asynchronous generators that it is in, or has open, are a part of it: the loop must not close them when it ends.

    Guarantees:
        What its variables refer to is let go of, in all frames that wait for each other: some KiB stay, not what it worked on.
        Variables that inner functions use as well stay, and so do generators and coroutines, which would be closed.

    Args:
        coroutine: what has waited again after its cancellation.
        with_open_generators: nobody else has the generators that it holds open, so what they refer to goes as well.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
    pending, seen = [coroutine], {id(coroutine)}
    parts = (*_STEPPED, types.CellType) if with_open_generators else _STEPPED
    while pending:
        each = pending.pop()
        if isinstance(each, types.AsyncGeneratorType):
            asyncgens: Any = getattr(asyncio.get_running_loop(), "_asyncgens", None)
            if asyncgens is not None:
                asyncgens.discard(each)
        for part in gc.get_referents(each):
            if id(part) not in seen and (isinstance(part, parts) or type(part).__name__ in _AWAITABLE_PARTS):
                seen.add(id(part))
                pending.append(part)
        if each is coroutine or with_open_generators:
            for frame in tuple(suspended_frames(each)):
                _forget_variables(frame)


_STEPPED: Final = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
_AWAITABLE_PARTS: Final = ("async_generator_asend", "async_generator_athrow", "coroutine_wrapper")


def _forget_variables(frame: types.FrameType) -> None:
    code, values = frame.f_code, frame.f_locals
    own = set(code.co_varnames).difference(code.co_cellvars)  # a cell may be in use elsewhere
    for name in own.intersection(values):
        if not isinstance(values[name], _STEPPED):
            values[name] = None
    if sys.version_info < (3, 13):  # these are a copy that has to be written back (PEP 667)
        for name in set(values).difference(own):
            del values[name]
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
        values.clear()
