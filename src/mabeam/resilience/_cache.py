"""The cache: the lock, the clock and the telemetry around :class:`CacheState`."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final, overload

from mabeam._base import clock_here
from mabeam.resilience._cache_loading import load, load_sync
from mabeam.resilience._cache_options import (
    CacheLookup,
    CacheStatistics,
    Default,
    check_options,
    seconds_until_expiry,
    weight_of,
)
from mabeam.resilience._cache_state import CacheState
from mabeam.resilience._flight_state import Flights
from mabeam.telemetry import current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.resilience._cache_options import RunRefresh
    from mabeam.resilience._cache_state import Gone, Miss
    from mabeam.resilience._waking import Waker
    from mabeam.telemetry import Bus

__all__ = ("Cache",)

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


@final
class Cache(Generic[K, V]):
    """Values by key that are kept for a time and within limits, for any number of tasks, event loops and threads.

    Guarantees:
        A read is one step: what it returns and why are of the same moment. A value is never returned after its time. What
        is removed is what was looked at, never what has taken its place. When the cache is full, expired entries go
        first, then the entry that S3-FIFO values least; only a new key, or a heavier value, makes another one go. A stored
        ``None`` is a value. No method but the loading ones waits; all may be called from any thread. Keys must be hashable;
        their ``__hash__`` and ``__eq__`` run under the lock and must not use the cache.

    Args:
        max_entries: most entries; there is no default, ``None`` has to be written for no limit.
        max_weight: most weight of all entries together; ``None`` for no limit.
        weigh: the weight of a value, from key and value; 1 unless given. Runs in the caller, outside of the lock.
        ttl: seconds for which a value is fresh, unless ``put`` says otherwise; ``None`` for no end.
        stale_for: seconds after that in which ``get_or_load`` may still hand it out while it is loaded anew.
        run_refresh: starts such a load in a task that somebody owns, so that nobody waits for it. Unless given, the first
            caller who meets a stale value loads it himself, and only the others are given the stale one.
        negative_ttl: seconds for which a load that found nothing is remembered: that returned ``None``, or raised one of
            ``negative_errors``.
        negative_errors: the errors that are remembered, a tuple of classes. None unless given: no error is.
        name: what the cache is called in telemetry.
        clock: seconds that never go back; unless given the monotonic clock, or the virtual loop's time when made in one.
        bus: where its events go; unless given the bus of the Runtime in which it is made, if any.

    Raises:
        UsageError: an option is wrong; all that are wrong are named.

    Example:
        >>> prices: Cache[str, int] = Cache(max_entries=10_000, ttl=60.0)
        >>> prices.put("tea", 3)
        True
        >>> prices.get("tea"), prices.get("salt"), prices.lookup("salt").outcome
        (3, None, 'not_found')
    """

    __slots__ = (
        "_bus",
        "_clock",
        "_failures",
        "_find",
        "_flights",
        "_load_failures",
        "_loads",
        "_lock",
        "_negative_errors",
        "_negative_ttl",
        "_run_refresh",
        "_stale_for",
        "_state",
        "_taken_over",
        "_ttl",
        "_weigh",
        "name",
    )

    def __init__(
        self,
        *,
        max_entries: int | None,
        max_weight: float | None = None,
        weigh: Callable[[K, V], float] | None = None,
        ttl: float | None = None,
        stale_for: float = 0.0,
        run_refresh: RunRefresh | None = None,
        negative_ttl: float | None = None,
        negative_errors: tuple[type[Exception], ...] = (),
        name: str = "cache",
        clock: Callable[[], float] | None = None,
        bus: Bus | None = None,
    ) -> None:
        check_options(
            max_entries=max_entries,
            max_weight=max_weight,
            ttl=ttl,
            stale_for=stale_for,
            negative_ttl=negative_ttl,
            negative_errors=negative_errors,
            functions={"weigh": weigh, "run_refresh": run_refresh},
            name=name,
            clock=clock,
            bus=bus,
        )
        self.name = name
        self._clock = clock_here() if clock is None else clock
        self._bus = current_bus.get() if bus is None else bus
        # Reentrant, because a signal handler or a finalizer that uses the cache may run in a thread that is in it.
        self._lock = threading.RLock()
        self._state = CacheState(max_entries, max_weight)
        self._find = self._state.find
        # Errors that are remembered: apart, so that no read of values ever meets one.
        self._failures = CacheState(max_entries, None)
        self._flights: Flights[Waker] = Flights()
        self._ttl = seconds_until_expiry(ttl)
        self._stale_for = float(stale_for)
        self._run_refresh = run_refresh
        self._negative_ttl = None if negative_ttl is None else float(negative_ttl)
        self._negative_errors = negative_errors
        self._weigh = weigh
        self._loads = self._load_failures = self._taken_over = 0

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return the fresh value of a key.

        Args:
            key: what to look for.
            default: what to return when there is no fresh value. Where ``None`` is a value, take :meth:`lookup`.

        Returns:
            The value, or ``default``.
        """
        with self._lock:
            now = self._clock()
            entry = self._find(key, now)
            why = None if entry is not None else self._state.missed(key, now)
        if self._bus is not None and self._bus.listening:
            self._tell_read(None if why is None else why[0])
        return default if entry is None else entry.value

    def lookup(self, key: K) -> CacheLookup[V]:
        """Read a key, and why there is nothing if so, in one step.

        Args:
            key: what to look for.

        Returns:
            The outcome and the value. A key whose time is over is ``expired`` once; it is removed by that read (or before
            it, by a ``put`` that finds it), and ``not_found`` from then on.
        """
        with self._lock:
            now = self._clock()
            entry = self._find(key, now)
            why, stale = (None, None) if entry is not None else self._state.missed(key, now)
        if self._bus is not None and self._bus.listening:
            self._tell_read(why)
        if entry is not None:
            return CacheLookup("hit", entry.value, entry.expires - now)
        if why == "stale" and stale is not None:
            return CacheLookup("stale", stale.value)
        return CacheLookup("expired" if why == "expired" else "not_found")

    def put(
        self, key: K, value: V, *, ttl: float | Default | None = Default.TTL, weight: float | None = None
    ) -> bool:
        """Store a value, in the place of an earlier one.

        Guarantees:
            A load of this key that is under way is not stored when it ends: it may have begun before this value was.

        Args:
            key: where.
            value: what, ``None`` included.
            ttl: seconds for which it is fresh, 0 for a value that has expired at once, ``None`` for no end; the ttl of the
                cache unless given. ``stale_for`` comes on top.
            weight: what it counts for; what ``weigh`` says unless given.

        Returns:
            Whether it is held. Not, when it is heavier than the cache may hold, or has expired and there is no room for it;
            an earlier value of the key is gone all the same.

        Raises:
            UsageError: ``ttl`` is negative or no number of seconds, or the weight is no weight. Nothing has changed.
        """
        seconds = self._ttl if ttl is Default.TTL else seconds_until_expiry(ttl)
        heavy = self._weight(key, value) if weight is None else weight_of(weight)
        with self._lock:
            if self._flights.under_way:
                self._flights.outdate(key)
            if self._failures.entries:
                self._failures.delete(key)
            gone = self._store(key, value, seconds, heavy)
        if self._bus is not None:
            self._tell_stored(gone)
        return not gone.refused

    def delete(self, key: K) -> bool:
        """Remove what is under a key, and forget an error remembered for it.

        Guarantees:
            A load of this key that is under way is not stored when it ends.

        Args:
            key: which.

        Returns:
            Whether there was something, expired or not.
        """
        with self._lock:
            self._flights.outdate(key)
            self._failures.delete(key)
            entry = self._state.delete(key)
        if entry is None:
            return False
        self._emit("cache.deleted", {"count": 1})
        return True

    def compare_and_delete(self, key: K, expected: V) -> bool:
        """Remove the value of a key if it is the expected one.

        For a value that has turned out to be wrong: a better one that somebody else has put meanwhile stays.

        Guarantees:
            What is removed is what was compared. The comparison (identity, else ``==``) runs outside of the lock.

        Args:
            key: which.
            expected: the value to remove.

        Returns:
            Whether it was there, expired or not, and has been removed.
        """
        while True:
            with self._lock:
                entry = self._state.entries.get(key)
            if entry is None or not (entry.value is expected or entry.value == expected):
                return False
            with self._lock:
                deleted = self._state.delete_entry(entry)
                if deleted:
                    self._flights.outdate(key)
            if deleted:
                self._emit("cache.deleted", {"count": 1})
                return True
            # Another value has come while these two were compared: that is the one to compare now.

    def clear(self) -> int:
        """Remove everything, and forget what errors and which popular keys were remembered.

        Guarantees:
            No load that is under way is stored when it ends. Counts go on.

        Returns:
            How many entries there were.
        """
        with self._lock:
            self._flights.outdate_all()
            failures = self._failures.clear()
            entries = self._state.clear()
        for entry in (*failures.values(), *entries.values()):
            entry.unlink()
        self._emit("cache.cleared", {"entries": len(entries)})
        return len(entries)

    def expire(self) -> int:
        """Remove everything whose time is over, at once.

        Nobody has to call this: reads do not see what has expired, and each ``put`` removes some. It gives memory back early
        in a cache that has fallen silent. Takes time for what is removed, not for what stays.

        Returns:
            How many entries went.
        """
        with self._lock:
            now = self._clock()
            gone = self._state.expire(now)
            self._failures.expire(now)
        if gone:
            self._emit("cache.expired", {"count": len(gone)})
        return len(gone)

    async def get_or_load(
        self,
        key: K,
        loader: Callable[[K], Awaitable[V]] | Callable[[K], V],
        *,
        ttl: float | Default | None = Default.TTL,
    ) -> V:
        """Return the fresh value of a key, and load it if there is none.

        Guarantees:
            However many ask for a key at once, in whatever loops and threads, one loads and the others wait for it. The
            load runs in the task of the first; when that is cancelled, one of those who wait runs *its* loader instead,
            and when one who waits is cancelled, nobody else notices. An error of the loader reaches all who wait and is not
            stored, except ``negative_errors``. If the key is put or deleted meanwhile, the outcome still goes to those who
            asked before, and is not stored. A hit does not wait and is no point of cancellation. A load has no time limit of
            its own.

        Args:
            key: what to look for.
            loader: called with the key; a plain function, or an async one that is awaited.
            ttl: seconds for which a loaded value is fresh, as for :meth:`put`.

        Returns:
            The value: fresh, or stale (see ``stale_for``). A stale one also when loading it anew raises; then the event
            ``cache.load_failed`` tells.

        Raises:
            UsageError: ``ttl`` is wrong, or the loader asks for the very key that it loads and would wait for itself.
            Exception: whatever the loader raises.

        Example:
            async def fetch(name: str) -> int:
                return len(name)

            async def main() -> int:
                cache: Cache[str, int] = Cache(max_entries=100, ttl=60.0)
                return await cache.get_or_load("tea", fetch)

            import asyncio
            assert asyncio.run(main()) == 3
        """
        with self._lock:
            now = self._clock()
            entry = self._find(key, now)
        if entry is not None:
            if self._bus is not None and self._bus.listening:
                self._tell_read(None)
            value: V = entry.value
            return value
        seconds = self._ttl if ttl is Default.TTL else seconds_until_expiry(ttl)
        loaded: V = await load(self, key, loader, seconds)
        return loaded

    def get_or_load_sync(
        self, key: K, loader: Callable[[K], V], *, ttl: float | Default | None = Default.TTL
    ) -> V:
        """Do the same in synchronous code; whoever waits blocks his thread.

        Guarantees:
            As :meth:`get_or_load`, with which it shares its loads. A stale value is loaded anew by the first caller who
            meets it, whatever ``run_refresh`` is.

        Args:
            key: what to look for.
            loader: called with the key; a plain function.
            ttl: seconds for which a loaded value is fresh, as for :meth:`put`.

        Returns:
            The value.

        Raises:
            UsageError: ``ttl`` is wrong; or it would wait for a load of this very thread, for ever.
            Exception: whatever the loader raises.
        """
        with self._lock:
            now = self._clock()
            entry = self._find(key, now)
        if entry is not None:
            if self._bus is not None and self._bus.listening:
                self._tell_read(None)
            value: V = entry.value
            return value
        seconds = self._ttl if ttl is Default.TTL else seconds_until_expiry(ttl)
        loaded: V = load_sync(self, key, loader, seconds)
        return loaded

    def statistics(self) -> CacheStatistics:
        """Return counts, as of now."""
        with self._lock:
            state = self._state
            return CacheStatistics(
                entries=len(state.entries),
                weight=state.policy.weight,
                hits=state.hits,
                stale=state.stale,
                expired=state.expired,
                not_found=state.not_found,
                puts=state.puts,
                refused=state.refused,
                evicted=state.evicted,
                removed_expired=state.removed_expired,
                deleted=state.deleted,
                loads=self._loads,
                load_failures=self._load_failures,
                taken_over=self._taken_over,
                loading=len(self._flights.under_way),
            )

    def __repr__(self) -> str:
        got = self.statistics()
        limit = self._state.policy.max_entries
        most = "" if limit == math.inf else f" of {limit}"
        return f"<Cache {self.name!r} {got.entries}{most} entries, {got.hit_ratio:.0%} hits, {got.loading} loading>"

    def _weight(self, key: K, value: V) -> float:
        return 1.0 if self._weigh is None else weight_of(self._weigh(key, value))

    def _store(self, key: K, value: object, seconds: float, weight: float) -> Gone:
        """Under the lock."""
        now = self._clock()
        return self._state.put(
            key,
            value,
            weight=weight,
            expires=now + seconds,
            dies=now + seconds + self._stale_for,
            now=now,
        )

    def _emit(self, event: str, measurements: dict[str, float]) -> None:
        if self._bus is not None and self._bus.listening:
            self._bus.emit(event, measurements, {"cache": self.name})

    def _tell_read(self, why: Miss | None) -> None:
        if self._bus is not None:
            if why is None:
                self._bus.emit("cache.hit", {"count": 1}, {"cache": self.name})
            else:
                self._bus.emit("cache.missed", {"count": 1}, {"cache": self.name, "why": why})

    def _tell_stored(self, gone: Gone) -> None:
        if self._bus is not None and self._bus.listening:
            self._emit("cache.refused" if gone.refused else "cache.stored", {"count": 1})
            if gone.expired:
                self._emit("cache.expired", {"count": len(gone.expired)})
            if gone.evicted:
                self._emit("cache.evicted", {"count": len(gone.evicted)})
