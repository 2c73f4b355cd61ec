"""Links and monitors, and what an exit signal does on arrival: OTP's rules.

The verdict on a signal is a pure function of what the receiver is; carrying it out is the Runtime's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from mabeam.kernel._messages import MonitorRef
from mabeam.kernel._reasons import Normal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.kernel._process import Process
    from mabeam.kernel._reasons import ExitReason

__all__ = ("add_link", "add_monitor", "are_linked", "linked", "remove_link", "remove_monitor", "verdict")

Verdict: TypeAlias = Literal["ignore", "deliver", "end"]

# A process has one link as a rule (to its supervisor), a supervisor many. A tuple of one is a quarter of a dict's size.
_FEW = 4


def verdict(reason: ExitReason, *, traps: bool, from_itself: bool) -> Verdict:
    """What an exit signal does to its receiver, ``kill`` apart.

    Args:
        reason: the reason of the signal.
        traps: the receiver traps exits.
        from_itself: the receiver sent it, by ``send_exit`` to its own pid.
    """
    if traps:
        return "deliver"
    if isinstance(reason, Normal) and not from_itself:
        return "ignore"
    return "end"


def are_linked(one: Process, other: Process) -> bool:
    """Whether the two are linked."""
    return other in one.links


def add_link(one: Process, other: Process) -> None:
    """Link two processes; no matter if they are, or are the same one."""
    if one is not other and other not in one.links:
        _add(one, other)
        _add(other, one)


def remove_link(one: Process, other: Process) -> None:
    """Cut the link between two processes, if there is one."""
    if other in one.links:
        _remove(one, other)
        _remove(other, one)


def linked(process: Process) -> Iterable[Process]:
    """Those linked to ``process``, in the order of linking."""
    return tuple(process.links)


def _add(process: Process, other: Process) -> None:
    links = process.links
    if isinstance(links, dict):
        links[other] = None
    elif not links:
        process.links = process.kernel.only_link(other)
    elif len(links) < _FEW:
        process.links = (*links, other)
    else:
        process.links = {**dict.fromkeys(links), other: None}


def _remove(process: Process, other: Process) -> None:
    links = process.links
    if isinstance(links, dict):
        del links[other]
    else:
        process.links = tuple([each for each in links if each is not other])


def add_monitor(watcher: Process, target: Process, name: str | None = None) -> MonitorRef:
    """Have ``watcher`` told of the end of ``target``, which is alive."""
    ref = MonitorRef(watcher, target, name)
    if watcher.monitors is None:
        watcher.monitors = {}
    watcher.monitors[ref] = None
    if target.watchers is None:
        target.watchers = {}
    target.watchers[ref] = None
    return ref


def remove_monitor(ref: MonitorRef) -> None:
    """End a monitor, if it has not ended. A ``Down`` that is on its way stays there."""
    if ref.watcher.monitors is not None:
        ref.watcher.monitors.pop(ref, None)
    if ref.target is not None and ref.target.watchers is not None:
        ref.target.watchers.pop(ref, None)
