"""A call whose handler has run in its caller's turn, when there is more to it than a value."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, cast

from mabeam.kernel import Caller, Turn, current_tasks, in_trace, stop_loop, wait_for_reply
from mabeam.otp._asides import take_deferred
from mabeam.otp._requests import Call
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.otp._handlers import Handler
    from mabeam.otp._server import ServerBehaviour

__all__ = ("Nobody", "after_hand_off")


class Nobody:
    """Who calls when no process does: it cannot be ended by what it calls."""

    status: Final = 0


async def after_hand_off(
    process: Process,
    handler: Handler,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    value: Any,
    error: BaseException | None,
    *,
    goes_on: bool,
) -> Any:
    """Do what the mailbox would have done with the outcome of a handler, and wait for what it left open.

    Args:
        process: the server.
        handler: the handler that has run.
        args: its arguments.
        kwargs: those with a keyword.
        timeout: seconds to wait for an answer that is still to come.
        value: what it returned.
        error: what it raised.
        goes_on: false when it ended its own caller.
    """
    task = current_tasks.pop(process.kernel.loop, None)
    try:
        caller = (
            _returned(process, handler, args, kwargs, timeout, value)
            if error is None
            else _raised(process, handler, args, kwargs, error)
        )
    finally:
        if task is not None:
            current_tasks[process.kernel.loop] = task
    if not goes_on:
        await Turn()  # where it is cancelled, or frozen; a task that its process has not come to yet goes on, as after any call
    row_is_over = process.kernel.scheduler.handoffs_left <= 0
    if caller is None:
        if row_is_over:
            await Turn()
        return value
    try:
        return await wait_for_reply(process, caller.future, handler.what, timeout, caller)
    finally:
        del caller, error  # the traceback of an error leads to this frame


def _returned(
    process: Process,
    handler: Handler,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    value: Any,
) -> Caller[Any] | None:
    """Go on after a handler that has returned; who waits for its answer, if any."""
    behaviour, asides = cast("ServerBehaviour", process.behaviour), process.extra
    caller = take_deferred(process)
    done = True
    if caller is not None:
        done = behaviour.answered(process, caller, value)
    elif type(value) is CoroutineType:
        caller = _caller(process, handler)
        if timeout is not None and process.kernel.deadline_stamps and not handler.starts:
            caller.deadline = process.kernel.loop.time() + timeout
        process.message = message = Call(handler, args, kwargs, caller)
        caller.hold()
        trace = current_trace()  # this code is its caller's
        done = in_trace(process, trace, behaviour.go_on, process, value, message, caller)
    elif asides is not None and asides.pending:
        caller = _caller(process, handler)
        caller.hold()
        done = behaviour.answered(process, caller, value)
    if done:
        process.kernel.scheduler.settle(process)
    return caller


def _raised(
    process: Process, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any], error: BaseException
) -> Caller[Any]:
    """Go on after a handler that has raised; who is to be told."""
    # A handler that has taken its caller may have answered it before it raised.
    caller = take_deferred(process) or _caller(process, handler)
    process.message = message = Call(handler, args, kwargs, caller)
    caller.hold()
    done = True
    try:
        done = cast("ServerBehaviour", process.behaviour).failed(process, message, caller, error)
    except (SystemExit, KeyboardInterrupt) as stops_loop:
        stop_loop(process.kernel, stops_loop)
    finally:
        if done:
            process.kernel.scheduler.settle(process)
    return caller


def _caller(process: Process, handler: Handler) -> Caller[Any]:
    return Caller(process, process.kernel.loop.create_future(), handler.what)
