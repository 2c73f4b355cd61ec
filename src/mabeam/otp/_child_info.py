"""What a supervisor says of its children: which there are, how many, and why one did not start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from mabeam.kernel import ExitReason, NoProcess, Pid

if TYPE_CHECKING:
    from mabeam.kernel import Start

__all__ = ("ChildCounts", "ChildInfo", "FailedToStartChild", "start_reason")

ChildState: TypeAlias = Literal["running", "stopped", "restarting"]


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Inside ``Shutdown``: why a supervisor did not start.

    Attributes:
        id: the child that failed.
        reason: why it did.
    """

    id: str
    reason: ExitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """One child, as ``which_children`` shows it.

    Attributes:
        id: the child's id; ``None`` under a DynamicSupervisor, where ids mean nothing.
        state: ``running``, ``stopped`` or ``restarting``.
        pid: its process, while it runs.
        is_supervisor: whether it is a supervisor.
    """

    id: str | None
    state: ChildState
    pid: Pid | None
    is_supervisor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCounts:
    """How many children a supervisor has.

    Attributes:
        specs: children, running or not.
        active: those that run.
        supervisors: children that are supervisors, running or not.
        workers: the others, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


def start_reason(start: Start) -> ExitReason:
    """Why a start failed."""
    return start.reason if start.reason is not None else NoProcess()
