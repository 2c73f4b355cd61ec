"""What a supervisor knows of its children and what follows from an end: pure decisions, OTP's rules.

Nothing here starts, stops or waits; ``_supervisor.py`` carries the decisions out. The rules are those of Erlang/OTP's
``supervisor`` (restart/2, restart_multiple_children/3, do_auto_shutdown/2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mabeam.kernel import is_abnormal
from mabeam.otp._restart_state import NO_RESTARTS

if TYPE_CHECKING:
    from mabeam.kernel import ExitReason, Process
    from mabeam.otp._child_spec import ChildSpec

__all__ = ("AutoShutdown", "Child", "Children", "Strategy", "restarts_after")

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
"""Who is restarted with a child that ended: nobody else, everybody, or those started after it."""
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
"""When the ends of significant children end the supervisor."""


class Child:
    """A child: its spec, and the process if it runs.

    Attributes:
        process: the running process; ``None`` when it is stopped, was ignored, or is being restarted.
        restarting: its restart has failed and will be tried again.
        row: its restarts that followed each other, for the backoff.
        retry: the message that the supervisor has sent itself to try again; older ones mean nothing any more.
    """

    __slots__ = ("process", "restarting", "retry", "row", "spec")

    def __init__(self, spec: ChildSpec[Any], process: Process | None = None) -> None:
        """A child that does not run yet, unless a process is given."""
        self.spec = spec
        self.process = process
        self.restarting = False
        self.row = NO_RESTARTS
        self.retry: object = None

    @property
    def is_there(self) -> bool:
        """Whether it runs or is about to run again."""
        return self.process is not None or self.restarting


def restarts_after(spec: ChildSpec[Any], reason: ExitReason) -> bool:
    """Whether a child that ended with ``reason`` is to be restarted."""
    restart = spec.restart
    return restart == "permanent" or (restart == "transient" and is_abnormal(reason))


class Children:
    """The children of a supervisor in the order of their start."""

    __slots__ = ("auto_shutdown", "by_id", "by_process", "strategy")

    def __init__(self, strategy: Strategy, auto_shutdown: AutoShutdown) -> None:
        """No children yet."""
        self.strategy: Strategy = strategy
        self.auto_shutdown: AutoShutdown = auto_shutdown
        self.by_id: dict[str, Child] = {}
        self.by_process: dict[Process, Child] = {}

    def add(self, child: Child) -> None:
        """Put a child last."""
        self.by_id[child.spec.id] = child
        if child.process is not None:
            self.by_process[child.process] = child

    def runs(self, child: Child, process: Process) -> None:
        """The child runs."""
        child.process, child.restarting, child.retry = process, False, None
        self.by_process[process] = child

    def stopped(self, child: Child) -> None:
        """The child does not run any more: a temporary one is forgotten, others keep their spec."""
        self.halted(child)
        if child.spec.restart == "temporary":
            self.by_id.pop(child.spec.id, None)

    def halted(self, child: Child) -> None:
        """The child has no process now."""
        if child.process is not None:
            self.by_process.pop(child.process, None)
        child.process, child.restarting, child.retry = None, False, None

    def group_of(self, child: Child) -> list[Child]:
        """Who is stopped, last first, and then started, first first, when ``child`` is restarted."""
        if self.strategy == "one_for_one":
            return [child]
        everyone = list(self.by_id.values())
        return everyone if self.strategy == "one_for_all" else everyone[everyone.index(child) :]

    def ends_supervisor(self, child: Child) -> bool:
        """Whether the end of ``child``, which is not restarted, ends the supervisor."""
        if not child.spec.significant or self.auto_shutdown == "never":
            return False
        if self.auto_shutdown == "any_significant":
            return True
        return not any(
            other.is_there for other in self.by_id.values() if other.spec.significant and other is not child
        )

    def __len__(self) -> int:
        """How many there are, stopped ones included."""
        return len(self.by_id)
