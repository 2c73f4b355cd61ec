"""Loading what a cache does not hold: runs the flights that ``_flight_state`` decides about, in tasks and in threads.

There is no task here that nobody owns. A load runs in the task or thread of the caller who leads it; a stale value is
loaded anew by its caller too, or in a task that the user's ``run_refresh`` starts.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from mabeam._base import Log
from mabeam.errors import UsageError
from mabeam.resilience._flight_state import Flight, Passenger
from mabeam.resilience._waking import TaskWaker, ThreadWaker, Waker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.resilience._cache import Cache
    from mabeam.resilience._cache_state import Gone, Miss
    from mabeam.resilience._eviction_state import Entry

__all__ = ("load", "load_sync")

_logger = Log("mabeam.resilience")


class _Outcome:
    """What a load came to: a value, or the error that the loader raised."""

    __slots__ = ("error", "traceback", "value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error
        self.traceback = None if error is None else error.__traceback__

    def get(self) -> Any:
        if self.error is not None:
            # From where the loader raised it: else it would collect the frames of all who wait for the same error.
            raise self.error.with_traceback(self.traceback)
        return self.value


_Flight: TypeAlias = Flight[Waker]
_Passenger: TypeAlias = Passenger[Waker]


class _Plan:
    """What a caller who wants a key has to do.

    ``outcome`` is there already, or there is a flight to lead or to wait for. ``stale`` may be used meanwhile.
    """

    __slots__ = ("flight", "leads", "outcome", "stale", "why")

    def __init__(self) -> None:
        self.why: Miss | None = None
        self.outcome: _Outcome | None = None
        self.stale: Entry | None = None
        self.flight: _Flight | None = None
        self.leads = False


async def load(
    cache: Cache[Any, Any],
    key: Any,
    loader: Callable[[Any], Awaitable[Any]] | Callable[[Any], Any],
    seconds: float,
) -> Any:
    """The slow part of ``get_or_load``."""
    me = _this_task()
    plan = _plan(cache, key, me, in_background=cache._run_refresh is not None)
    _tell_read(cache, plan)
    if plan.stale is not None and plan.flight is None and plan.outcome is None:
        if _start_refresh(cache, key, loader, seconds, plan.stale):
            return plan.stale.value
        plan = _plan(cache, key, me, in_background=False)
    if plan.outcome is not None:
        return plan.outcome.get()
    assert plan.flight is not None
    if not plan.leads:
        waker = cast("TaskWaker", me.who)
        try:
            await waker.future
        except BaseException:
            # Cancelled, and perhaps in the very moment in which the lead was handed over: then it goes on to the next.
            _leave(cache, plan.flight, me)
            raise
        if waker.outcome is not None:
            return waker.outcome.get()
    return await _lead(cache, plan.flight, me, loader, seconds, plan.stale)


def load_sync(cache: Cache[Any, Any], key: Any, loader: Callable[[Any], Any], seconds: float) -> Any:
    """The slow part of ``get_or_load_sync``."""
    me: _Passenger = Passenger(ThreadWaker(), task=None, thread=threading.get_ident())
    plan = _plan(cache, key, me, in_background=False)
    _tell_read(cache, plan)
    if plan.outcome is not None:
        return plan.outcome.get()
    assert plan.flight is not None
    if not plan.leads:
        waker = cast("ThreadWaker", me.who)
        try:
            waker.event.wait()
        except BaseException:
            _leave(cache, plan.flight, me)
            raise
        if waker.outcome is not None:
            return waker.outcome.get()
    began = cache._clock()
    try:
        value = loader(key)
        if inspect.iscoroutine(value):
            value.close()
            raise UsageError(
                f"get_or_load_sync expects a plain function, got {loader!r}, which is async. Await get_or_load instead."
            )
        weight = cache._weight(key, value)
    except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must hear of it)
        return _failed(cache, plan.flight, error, began, plan.stale).get()
    except BaseException:
        _leave(cache, plan.flight, me)
        raise
    return _loaded(cache, plan.flight, value, weight, seconds, began)


def _this_task() -> _Passenger:
    return Passenger(TaskWaker(), task=asyncio.current_task(), thread=threading.get_ident())


def _plan(cache: Cache[Any, Any], key: Any, me: _Passenger, *, in_background: bool) -> _Plan:
    """Look once, and take a place: whoever finds nothing leads a load or waits for one from the same moment on."""
    plan = _Plan()
    _pass_over(cache, key)
    with cache._lock:
        now = cache._clock()
        entry = cache._find(key, now)
        if entry is not None:
            plan.outcome = _Outcome(entry.value)
            return plan
        plan.why, entry = cache._state.missed(key, now)
        flight = cache._flights.under_way.get(key)
        if plan.why == "stale" and entry is not None:
            if flight is not None or (in_background and entry.refreshing):
                plan.outcome = _Outcome(entry.value)
                return plan
            plan.stale = entry
            if in_background:
                entry.refreshing = True
                return plan
        elif (failure := cache._failures.find(key, now)) is not None:
            plan.outcome = _Outcome(error=_without_traceback(failure.value))
            return plan
        if flight is None:
            plan.flight, plan.leads = cache._flights.begin(key, me), True
            cache._loads += 1
            return plan
        if flight.is_for_ever(me):
            raise UsageError(
                f"the loader of {key!r} in cache {cache.name!r} asks for {key!r} again and would wait for itself; or synchronous "
                "code asks for what a task of its own thread is loading. Let the loader work out the value without the cache, "
                "and await get_or_load where a loop runs."
            )
        flight.join(me)
        plan.flight = flight
        return plan


async def _lead(
    cache: Cache[Any, Any],
    flight: _Flight,
    me: _Passenger,
    loader: Callable[[Any], Any],
    seconds: float,
    stale: Entry | None,
) -> Any:
    began = cache._clock()
    try:
        value = loader(flight.key)
        if inspect.isawaitable(value):
            value = await value
        weight = cache._weight(flight.key, value)
    except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must hear of it)
        return _failed(cache, flight, error, began, stale).get()
    except BaseException:
        # Cancelled, or the whole coroutine is being closed: nothing may be awaited here.
        _leave(cache, flight, me)
        raise
    return _loaded(cache, flight, value, weight, seconds, began)


def _loaded(
    cache: Cache[Any, Any], flight: _Flight, value: Any, weight: float, seconds: float, began: float
) -> Any:
    if value is None and cache._negative_ttl is not None:
        seconds = cache._negative_ttl
    gone: Gone | None = None
    with cache._lock:
        if flight.is_current:
            cache._failures.delete(flight.key)
            gone = cache._store(flight.key, value, seconds, weight)
        waiting = cache._flights.finish(flight)
        took = cache._clock() - began
    _tell_outcome(waiting, _Outcome(value))
    if gone is not None:
        cache._tell_stored(gone)
    cache._emit("cache.loaded", {"duration": took})
    return value


def _failed(
    cache: Cache[Any, Any], flight: _Flight, error: Exception, began: float, stale: Entry | None
) -> _Outcome:
    """End a flight with an error; what its leader comes to."""
    remember = isinstance(error, cache._negative_errors)
    kept = _without_traceback(error) if remember else None
    with cache._lock:
        now = cache._clock()
        cache._load_failures += 1
        if flight.is_current and remember and cache._negative_ttl is not None:
            dies = now + cache._negative_ttl
            cache._failures.put(flight.key, kept, weight=1.0, expires=dies, dies=dies, now=now)
        waiting = cache._flights.finish(flight)
    _tell_outcome(waiting, _Outcome(error=error))
    if cache._bus is not None and cache._bus.listening:
        metadata = {"cache": cache.name, "error": type(error).__name__}
        cache._bus.emit("cache.load_failed", {"duration": now - began}, metadata)
    return _Outcome(error=error) if stale is None else _Outcome(stale.value)


def _leave(cache: Cache[Any, Any], flight: _Flight, passenger: _Passenger) -> None:
    """Take one out of a flight who cannot go on, and tell the one who leads it now, if it was his."""
    leaver: _Passenger | None = passenger
    while leaver is not None:
        with cache._lock:
            heir = cache._flights.leave(flight, leaver)
            if heir is not None:
                cache._taken_over += 1
        if heir is not None:
            cache._emit("cache.load_taken_over", {"count": 1})
        # A waiter whose loop was closed under him cannot lead.
        leaver = heir if heir is not None and not heir.who.wake() else None


def _pass_over(cache: Cache[Any, Any], key: Any) -> None:
    """Take the lead from one whose loop was closed under him: his load will never end."""
    flight = cache._flights.under_way.get(key)
    leader = None if flight is None else flight.leader
    if flight is not None and leader is not None and leader.who.is_gone():
        _leave(cache, flight, leader)


def _tell_outcome(waiting: list[_Passenger], outcome: _Outcome) -> None:
    for passenger in waiting:
        passenger.who.outcome = outcome
        passenger.who.wake()


def _tell_read(cache: Cache[Any, Any], plan: _Plan) -> None:
    if cache._bus is not None and cache._bus.listening:
        cache._tell_read(plan.why)


def _start_refresh(
    cache: Cache[Any, Any], key: Any, loader: Callable[[Any], Any], seconds: float, stale: Entry
) -> bool:
    """Have a stale value loaded anew in a task of the user's; false when that was refused."""

    async def refresh() -> None:
        me = _this_task()
        with cache._lock:
            if key in cache._flights.under_way or cache._state.entries.get(key) is not stale:
                return  # Somebody was quicker: there is a newer value, or there will be.
            flight = cache._flights.begin(key, me)
            cache._loads += 1
        try:
            await _lead(cache, flight, me, loader, seconds, stale)
        finally:
            stale.refreshing = False

    assert cache._run_refresh is not None
    try:
        cache._run_refresh(refresh)
    except Exception:
        stale.refreshing = False
        _logger.exception(
            "run_refresh of %r raised; the caller who met the stale value loads it himself", cache.name
        )
        return False
    return True


def _without_traceback(error: Exception) -> Exception:
    """Its like, to be raised later and again: it must not hold the frames of the load, nor collect those of its readers."""
    try:
        again = copy.copy(error)
    except Exception:  # noqa: BLE001  (a constructor that takes something else; then it is raised as it is)
        again = error
    if type(again) is not type(error):
        again = error
    return again.with_traceback(None)
