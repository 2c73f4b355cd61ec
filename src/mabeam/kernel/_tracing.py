"""How traces follow messages: what is noted when one is sent, and what is done with it when it is taken.

The trace context rides on the message, and is set in the fresh context of the activation that takes it: never is it the
sender's context. While nobody traces (``scheduler.traced``) none of this is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mabeam.kernel._messages import Carried
from mabeam.telemetry import TraceContext, current_trace, enter_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from mabeam.kernel._process import Process

__all__ = ("carry", "context_of_sender", "in_trace", "take_in_trace", "trace_of")

T = TypeVar("T")


def carry(process: Process, message: Any) -> Any:
    """Pack a message with the trace of its sender; a plain process has a trace of its own and gets it bare."""
    trace = current_trace() if process.behaviour.handlers is not None else None
    return message if trace is None else Carried(message, trace)


def trace_of(message: Any) -> TraceContext | None:
    """The trace that a call, a cast, a request of ours or the body of a task came with."""
    trace = getattr(message, "trace", None)  # of what users send it may be anything
    return trace if type(trace) is TraceContext else None


def context_of_sender(context: Context) -> Context:
    """The context of a process for a call that is handed off: with the trace of the code that runs, which is the caller."""
    trace = current_trace()
    return context if trace is None else _with_trace(context, trace)


def _with_trace(context: Context, trace: TraceContext) -> Context:
    context = context.copy()
    context.run(enter_trace, trace)
    return context


def in_trace(process: Process, trace: TraceContext | None, function: Callable[..., T], /, *args: Any) -> T:
    """Call a function of the kernel's own that begins activations of a process; these belong to ``trace``."""
    if trace is None:
        return function(*args)
    own = process.own_context()
    process.context = context = _with_trace(own, trace)
    try:
        return function(*args)
    finally:
        if process.context is context:  # it may have died
            process.context = own


def take_in_trace(process: Process, message: Any) -> bool:
    """Have a process take a message in the trace that it came with, if it came with one."""
    if type(message) is Carried:
        trace: TraceContext | None = message.trace
        message = message.message
    else:
        trace = trace_of(message)
    return in_trace(process, trace, process.behaviour.take, process, message)
