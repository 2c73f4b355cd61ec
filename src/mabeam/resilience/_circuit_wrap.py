"""An async function under a circuit breaker: the body of ``CircuitBreaker.call`` once more, around one function.

It is written twice because a coroutine that awaits the other would cost as much as all the counting.
"""

from __future__ import annotations

import functools
from asyncio import _get_running_loop
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from mabeam.resilience._circuit_state import SUCCEEDED
from mabeam.resilience._policy import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.resilience._circuit_core import CircuitCore

__all__ = ("async_form",)

F = TypeVar("F", bound="Callable[..., Any]")


def async_form(breaker: CircuitCore, function: F) -> F:
    """Put the breaker around an async function; see ``CircuitBreaker.call`` for what happens there."""
    state, lock = breaker._state, breaker._lock

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        permit = state.closed
        if permit < 0:
            return await breaker._call_as_probe(function, args, kwargs)
        clock: Callable[[], float] = breaker._no_clock
        began = 0.0
        if breaker._timed:
            loop, clock = breaker._loop_clock
            if loop is not _get_running_loop():
                clock = breaker._clock_here()
            began = clock()
        try:
            result: Any = function(*args, **kwargs)
            if type(result) is CoroutineType:
                result = await result
            else:
                result = await settle(result)
        except GeneratorExit:
            # The coroutine is closed, perhaps by the garbage collector in the midst of anything: no lock is taken here.
            breaker._dropped.append(permit)
            raise
        except BaseException as error:
            breaker._end(permit, began, breaker._classifier.error(error))
            raise
        if breaker._of_result is not None or breaker._dropped:
            breaker._end(permit, began, breaker._classifier.result(result))
            return result
        now = clock()
        lock.acquire()
        try:
            counted = state.succeed(permit, now - began >= breaker._slow_from, now)
            if state.transitions:
                breaker._put_transitions()
        finally:
            lock.release()
        bus = breaker._bus
        if bus is not None and bus.listening:
            breaker._tell(SUCCEEDED, counted=counted)
        return result

    wrapped: Any = run
    return wrapped  # type: ignore[no-any-return]  # it has the signature of the function that it wraps
