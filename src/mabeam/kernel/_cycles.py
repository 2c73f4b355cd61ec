"""Cycles of waiting: refused by whoever would close one, since nobody in it could ever go on.

Pure: it looks at who waits, and waits for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from mabeam.errors import CallCycle
from mabeam.kernel._activation import Activation
from mabeam.kernel._waits import any_of, awaits, blockers, may_lead_to, what_keeps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mabeam.kernel._lock import Lock
    from mabeam.kernel._process import Process
    from mabeam.kernel._waits import AnyWait

    _Way = tuple[Activation, tuple[Activation, ...]]

__all__ = (
    "check_choice_cycle",
    "check_cycle",
    "check_lock_cycle",
    "check_place_cycle",
    "check_stream_cycle",
    "refuse_closed_cycle",
)


def check_cycle(owner: Process | Activation | None, process: Process) -> None:
    """Refuse to wait for a process that waits for the one that is asking.

    Raises:
        CallCycle: it does; it carries the whole path.
    """
    if owner is None:
        return
    asking = owner.process
    is_serial = owner is process or owner is process.serial
    if asking is process and (is_serial or process.ending is not None):
        raise CallCycle((process.describe(), process.describe()))
    if isinstance(owner, Activation):
        _raise_cycle(_find_cycle(owner, blockers(process)))


def check_lock_cycle(owner: Process | Activation, lock: Lock) -> None:
    """Refuse to wait for a lock whose holder waits for the one that is asking.

    Raises:
        CallCycle: it does.
    """
    _, holder = lock.held_by() or (None, None)
    if isinstance(owner, Activation) and isinstance(holder, Activation):
        _raise_cycle(_find_cycle(owner, (holder,)))


def check_stream_cycle(owner: Process | Activation | None, maker: Activation | None) -> None:
    """Refuse to wait for an item of a stream whose generator waits for the one that is asking.

    Raises:
        CallCycle: it does.
    """
    if isinstance(owner, Activation) and maker is not None:
        _raise_cycle(_find_cycle(owner, (maker,)))


def check_place_cycle(owner: Process | Activation | None, holders: Iterable[Activation]) -> None:
    """Refuse to wait for a place in a concurrent handler when all that have one wait for the one that is asking.

    Raises:
        CallCycle: they do.
    """
    if isinstance(owner, Activation):
        _raise_cycle(_way_back(owner, tuple(holders)))


def check_choice_cycle(
    owner: Process | Activation | None, choices: Callable[[], Iterable[Process | Activation]]
) -> None:
    """Refuse to wait for any of several to end when all of them wait for the one that is asking.

    Raises:
        CallCycle: they do.
    """
    if not isinstance(owner, Activation):
        return
    # The first one alone says nearly always that there is no cycle, and there may be very many.
    first = what_keeps(itertools.islice(choices(), 1))
    # What has not begun waits for nobody.
    if first and first[0].started and _way_back(owner, first) is not None:
        _raise_cycle(_way_back(owner, what_keeps(choices())))


def refuse_closed_cycle(owner: Activation) -> None:
    """Code of a process has begun to wait for tasks of its own: they must not wait for it in turn.

    It made them before, so what leads back from them was begun in good faith. The last of that is refused now, as it would have
    been if the waits had begun in the usual order; to raise here, out of a task group say, would leave the others unowned.
    """
    everything = tuple(awaits(owner))
    ring = _find_cycle(owner, everything) if everything else _way_back(owner, any_of(owner))
    if ring is None:
        return
    refusable = [(each, wait) for each in ring if (wait := each.waits_for) is not None and wait.is_refusable]
    if not refusable:
        return
    # Of those that began in one turn of the loop the last of the chain, which is made link by link.
    last, wait = max(reversed(refusable), key=lambda found: found[1].since)
    begins = ring.index(last)
    _refuse(wait, last.waits_on, _error((*ring[begins:], *ring[:begins], last)))


def _refuse(wait: AnyWait, future: object, error: CallCycle) -> None:
    if wait.caller is not None:
        wait.caller.refuse(error)
    elif isinstance(future, asyncio.Future) and not future.done():
        future.set_exception(error)


def _raise_cycle(ring: tuple[Activation, ...] | None) -> None:
    if ring is not None:
        raise _error(ring)


def _error(ring: tuple[Activation, ...]) -> CallCycle:
    first, *others = (process for process, _ in itertools.groupby(each.process for each in ring))
    return CallCycle(each.describe() for each in (first, *(others or (first,))))


def _find_cycle(owner: Activation, keeping: Iterable[Activation]) -> tuple[Activation, ...] | None:
    """Those who wait, in order, from ``owner`` to itself, if ``keeping`` can only go on when ``owner`` has, which is to wait for them."""
    pending: list[_Way] = [(activation, (owner, activation)) for activation in keeping]
    seen: set[Activation] = set()
    is_free_to_choose = False
    while pending:
        activation, path = pending.pop()
        if activation is owner:
            return path
        if activation in seen:
            continue
        seen.add(activation)
        if not may_lead_to(owner, activation):
            continue
        pending.extend((other, (*path, other)) for other in awaits(activation))
        is_free_to_choose = is_free_to_choose or bool(any_of(activation))
    if not is_free_to_choose:
        return None
    return next((found for each in keeping if (found := _way_back(owner, (each,))) is not None), None)


def _way_back(owner: Activation, choices: tuple[Activation, ...]) -> tuple[Activation, ...] | None:
    """As above where some wait for any of several: none of ``choices`` can go on, and one of them because of ``owner``.

    Whoever waits for one of several goes on when one can; who waits for all of several, when all can. What is left over when
    all have been crossed out that can go on is stuck.
    """
    waits: dict[Activation, tuple[tuple[Activation, ...], tuple[Activation, ...]]] = {owner: ((), ())}
    pending = list(choices)
    while pending:
        activation = pending.pop()
        if activation not in waits:
            waits[activation] = everything, anything = tuple(awaits(activation)), any_of(activation)
            pending.extend((*everything, *anything))
    stuck = set(waits)
    is_smaller = True
    while is_smaller:
        free = {each for each in stuck if each is not owner and not _is_stuck(*waits[each], stuck)}
        stuck -= free
        is_smaller = bool(free)
    if not stuck.issuperset(choices):
        return None
    ways: list[_Way] = [(activation, (owner, activation)) for activation in choices]
    while ways:
        activation, path = ways.pop()
        if activation is owner:
            return path
        if activation in stuck:
            stuck.remove(activation)
            everything, anything = waits[activation]
            ways.extend((other, (*path, other)) for other in (*everything, *anything))
    return None


def _is_stuck(
    everything: tuple[Activation, ...], anything: tuple[Activation, ...], stuck: set[Activation]
) -> bool:
    return not stuck.isdisjoint(everything) or (bool(anything) and stuck.issuperset(anything))
