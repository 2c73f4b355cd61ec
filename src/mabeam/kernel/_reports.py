"""Crash reports: one for each crash, to the standard library's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mabeam.errors import show

if TYPE_CHECKING:
    from types import TracebackType

    from mabeam._base import Log
    from mabeam.kernel._process import Process

__all__ = ("crash_report", "forget_tracebacks", "leave_out_frame", "take_traceback")

_CLIP = 200
_OURS = ("mabeam.kernel.", "mabeam.otp.")

# An exception may refuse to be changed, as a frozen dataclass does, or hide these behind properties of its own.
_fields: Any = BaseException
"""Asked of the class, each of these is a descriptor; type checkers take it for its value."""
_traceback_of, _set_traceback = _fields.__traceback__.__get__, _fields.__traceback__.__set__
_cause_of, _context_of = _fields.__cause__.__get__, _fields.__context__.__get__
_members_of: Any = BaseExceptionGroup.exceptions.__get__


def crash_report(
    logger: Log, process: Process, error: BaseException, where: str, *, survives: bool = False
) -> None:
    """Log who crashed, where, on which message, with the traceback. The place of the record is where it was raised."""
    if not logger.isEnabledFor(logging.ERROR):
        return
    message = f"; message: {show(process.message, _CLIP)}" if process.message is not None else ""
    traceback = last = _of_users(_traceback_of(error))
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code if last is not None else None
    logger.log_from(
        (
            code.co_filename if code is not None else "(unknown file)",
            last.tb_lineno if last is not None else 0,
            code.co_name if code is not None else None,
        ),
        logging.ERROR,
        "process %s %s %s: %s%s",
        (
            process.describe(),
            "goes on after a failure in" if survives else "crashed in",
            where,
            show(error),
            message,
        ),
        error=(type(error), error, traceback),
        extra={"mabeam_pid": process.pid.serial, "mabeam_label": process.label},
    )


def _of_users(traceback: TracebackType | None) -> TracebackType | None:
    """Where the traceback enters code that is not ours; all of it if it never does."""
    each = traceback
    while each is not None and each.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        each = each.tb_next
    return each or traceback


def forget_tracebacks(error: BaseException) -> None:
    """Drop the tracebacks of an exception and of those it came from: they keep whole frames alive."""
    _set_traceback(error, None)
    if _cause_of(error) is None and _context_of(error) is None and not isinstance(error, BaseExceptionGroup):
        return
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        _set_traceback(each, None)
        pending.extend(other for other in (_cause_of(each), _context_of(each)) if other is not None)
        if isinstance(each, BaseExceptionGroup):
            pending.extend(_members_of(each))


def leave_out_frame(error: BaseException) -> None:
    """Have the traceback of an exception begin one frame deeper than where it was caught."""
    traceback: TracebackType | None = _traceback_of(error)
    if traceback is not None:
        _set_traceback(error, traceback.tb_next)


def take_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of an exception, which forgets it, as those that it came from forget theirs."""
    traceback: TracebackType | None = _traceback_of(error)
    forget_tracebacks(error)
    return traceback
