"""Cycles of waiting: refused by whoever would close one, since nobody in it could ever go on.

Pure: it looks at who waits, and waits for nothing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mabeam.errors import CallCycle
from mabeam.kernel._activation import Activation
from mabeam.kernel._waits import any_of, awaits, blockers, what_keeps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mabeam.kernel._lock import Lock
    from mabeam.kernel._process import Process

__all__ = (
    "check_choice_cycle",
    "check_cycle",
    "check_lock_cycle",
    "check_place_cycle",
    "check_stream_cycle",
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
    _raise_cycle(_find_cycle(owner, process, blockers(process)) if isinstance(owner, Activation) else None)


def check_lock_cycle(owner: Process | Activation, lock: Lock) -> None:
    """Refuse to wait for a lock whose holder waits for the one that is asking.

    Raises:
        CallCycle: it does.
    """
    process, holder = lock.held_by() or (None, None)
    if process is not None and isinstance(owner, Activation) and isinstance(holder, Activation):
        _raise_cycle(_find_cycle(owner, process, (holder,)))


def check_stream_cycle(owner: Process | Activation | None, maker: Activation | None) -> None:
    """Refuse to wait for an item of a stream whose generator waits for the one that is asking.

    Raises:
        CallCycle: it does.
    """
    if isinstance(owner, Activation) and maker is not None:
        _raise_cycle(_find_cycle(owner, maker.process, (maker,)))


def check_place_cycle(
    owner: Process | Activation | None, process: Process, holders: Iterable[Activation]
) -> None:
    """Refuse to wait for a place in a concurrent handler when all that have one wait for the one that is asking.

    Raises:
        CallCycle: they do.
    """
    if isinstance(owner, Activation):
        _raise_cycle(_way_back(owner, process, tuple(holders)))


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
    if first and first[0].started and _way_back(owner, first[0].process, first) is not None:
        everyone = what_keeps(choices())
        _raise_cycle(_way_back(owner, first[0].process, everyone) if everyone else None)


def _raise_cycle(path: tuple[Process, ...] | None) -> None:
    if path is not None:
        closed = path if path[-1] is path[0] else (*path, path[0])
        raise CallCycle(each.describe() for each in closed)


def _find_cycle(
    owner: Activation, callee: Process, keeping: Iterable[Activation]
) -> tuple[Process, ...] | None:
    """The processes in the order of waiting if what keeps ``callee`` can only go on when ``owner`` has, which is to wait for it.

    The last link of a cycle is always a wait that begins, so this finds every cycle that the edges show.
    """
    path: tuple[Process, ...] = (owner.process, callee)
    pending = [(activation, path) for activation in keeping]
    seen: set[Activation] = set()
    is_free_to_choose = False
    while pending:
        activation, path = pending.pop()
        if activation is owner:
            return path
        if activation in seen:
            continue
        seen.add(activation)
        pending.extend((other, _and(path, other.process)) for other in awaits(activation))
        is_free_to_choose = is_free_to_choose or bool(any_of(activation))
    if not is_free_to_choose:
        return None
    return next((found for each in keeping if (found := _way_back(owner, callee, (each,))) is not None), None)


def _way_back(
    owner: Activation, callee: Process, choices: tuple[Activation, ...]
) -> tuple[Process, ...] | None:
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
    ways = [(activation, _and((owner.process, callee), activation.process)) for activation in choices]
    while ways:
        activation, path = ways.pop()
        if activation is owner:
            return path
        if activation in stuck:
            stuck.remove(activation)
            everything, anything = waits[activation]
            ways.extend((other, _and(path, other.process)) for other in (*everything, *anything))
    return None


def _is_stuck(
    everything: tuple[Activation, ...], anything: tuple[Activation, ...], stuck: set[Activation]
) -> bool:
    return not stuck.isdisjoint(everything) or (bool(anything) and stuck.issuperset(anything))


def _and(path: tuple[Process, ...], process: Process) -> tuple[Process, ...]:
    return path if process is path[-1] else (*path, process)
