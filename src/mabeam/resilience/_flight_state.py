"""Who loads a key, and who waits for it: one load at a time for each key, and it always has somebody who runs it.

Pure: nothing here waits, loads or wakes. A *flight* is one load; its *leader* is whoever runs it, in his own task or thread.
When he ends without an outcome (he was cancelled), one of those who wait leads from then on and loads anew. So a load is
never run by nobody, and a waiter is never left behind. All methods are called under the lock of the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("Flight", "Flights", "Passenger")

W = TypeVar("W")


@final
class Passenger(Generic[W]):
    """One who leads a flight or waits for it. Compared by identity.

    Attributes:
        who: how to wake him; opaque here.
        task: his task, or ``None`` for synchronous code.
        thread: the thread he is in.
    """

    __slots__ = ("task", "thread", "who")

    def __init__(self, who: W, *, task: object | None, thread: int) -> None:
        """Neither leads nor waits yet."""
        self.who = who
        self.task = task
        self.thread = thread

    @property
    def blocks(self) -> bool:
        """Does his thread stand still while he waits?"""
        return self.task is None


@final
class Flight(Generic[W]):
    """One load of one key.

    Attributes:
        key: what is loaded.
        leader: who runs it; ``None`` when it is over.
        tasks: the tasks that want its outcome, in the order they came.
        threads: the threads that stand still until it is there, likewise.
        is_current: its outcome may be stored. Not any more when the key was put or deleted meanwhile: what is loaded may
            be older than that.
    """

    __slots__ = ("is_current", "key", "leader", "tasks", "threads")

    def __init__(self, key: Hashable, leader: Passenger[W]) -> None:
        """Just begun."""
        self.key = key
        self.leader: Passenger[W] | None = leader
        # Ordered, for a plain dict looks through all that have left from its front.
        self.tasks: OrderedDict[Passenger[W], None] = OrderedDict()
        self.threads: OrderedDict[Passenger[W], None] = OrderedDict()
        self.is_current = True

    def join(self, passenger: Passenger[W]) -> None:
        """Wait for the outcome."""
        (self.threads if passenger.blocks else self.tasks)[passenger] = None

    def is_for_ever(self, passenger: Passenger[W]) -> bool:
        """Would this one wait for himself? The leader's own task or thread would, for he cannot go on while he waits."""
        leader = self.leader
        if leader is None:
            return False
        if passenger.blocks:
            # A thread that stands still runs no task of its own either.
            return leader.thread == passenger.thread
        return leader.task is passenger.task


@final
class Flights(Generic[W]):
    """The loads of one cache.

    Attributes:
        under_way: the current flight of each key.
    """

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        """None."""
        self.under_way: dict[Hashable, Flight[W]] = {}

    def begin(self, key: Hashable, leader: Passenger[W]) -> Flight[W]:
        """Begin a load of a key that nobody loads."""
        flight = self.under_way[key] = Flight(key, leader)
        return flight

    def finish(self, flight: Flight[W]) -> list[Passenger[W]]:
        """End a flight that has an outcome.

        Returns:
            Those who waited for it.
        """
        self._forget(flight)
        flight.leader = None
        waiting = [*flight.threads, *flight.tasks]
        flight.threads.clear()
        flight.tasks.clear()
        return waiting

    def leave(self, flight: Flight[W], passenger: Passenger[W]) -> Passenger[W] | None:
        """One no longer takes part: he was cancelled, or cannot be woken.

        Returns:
            Who leads from now on, if that has changed and somebody waits; he has to be told.
        """
        if flight.leader is not passenger:
            (flight.threads if passenger.blocks else flight.tasks).pop(passenger, None)
            return None
        # Those whose threads stand still go first: another's task may live in such a thread, and could not run.
        line = flight.threads or flight.tasks
        heir = flight.leader = line.popitem(last=False)[0] if line else None
        if heir is None:
            self._forget(flight)
        return heir

    def outdate(self, key: Hashable) -> None:
        """What is being loaded for a key is no longer to be stored; the next to ask begins anew."""
        flight = self.under_way.pop(key, None)
        if flight is not None:
            flight.is_current = False

    def outdate_all(self) -> None:
        """The same for every key."""
        for flight in self.under_way.values():
            flight.is_current = False
        self.under_way.clear()

    def _forget(self, flight: Flight[W]) -> None:
        if flight.is_current:
            del self.under_way[flight.key]
            flight.is_current = False
