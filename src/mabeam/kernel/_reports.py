"""Crash reports: one for each crash, to the standard library's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from mabeam._base import Log
    from mabeam.kernel._process import Process

__all__ = ("crash_report", "forget_tracebacks")

_CLIP = 200
_OURS = ("mabeam.kernel.", "mabeam.otp.")


def crash_report(
    logger: Log, process: Process, error: BaseException, where: str, *, survives: bool = False
) -> None:
    """Log who crashed, where, on which message, with the traceback. The place of the record is where it was raised."""
    if not logger.isEnabledFor(logging.ERROR):
        return
    message = f"; message: {_clip(process.message)}" if process.message is not None else ""
    traceback = last = _of_users(error.__traceback__)
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code if last is not None else None
    # Not logger.error(), which takes its time to find out that this line here has called it.
    record = logger.logger.makeRecord(
        logger.logger.name,
        logging.ERROR,
        code.co_filename if code is not None else "(unknown file)",
        last.tb_lineno if last is not None else 0,
        "process %s %s %s: %s%s",
        (
            process.describe(),
            "goes on after a failure in" if survives else "crashed in",
            where,
            _show(error),
            message,
        ),
        (type(error), error, traceback),
        code.co_name if code is not None else None,
        {"mabeam_pid": process.pid.serial, "mabeam_label": process.label},
    )
    logger.handle(record)


def _of_users(traceback: TracebackType | None) -> TracebackType | None:
    """Where the traceback enters code that is not ours; all of it if it never does."""
    each = traceback
    while each is not None and each.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        each = each.tb_next
    return each or traceback


def _show(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  (a user's __repr__ must not spoil the report)
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def _clip(message: object) -> str:
    text = _show(message)
    return text if len(text) <= _CLIP else text[: _CLIP - 3] + "..."


def forget_tracebacks(error: BaseException) -> None:
    """Drop the tracebacks of an exception and of those it came from: they keep whole frames alive."""
    error.__traceback__ = None
    if error.__cause__ is None and error.__context__ is None and not isinstance(error, BaseExceptionGroup):
        return
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        pending.extend(other for other in (each.__cause__, each.__context__) if other is not None)
        if isinstance(each, BaseExceptionGroup):
            pending.extend(each.exceptions)
