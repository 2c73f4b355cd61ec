"""Exit reasons: why a process ended, as values that compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from mabeam.errors import UsageError, show

if TYPE_CHECKING:
    from mabeam.kernel._pid import Pid

__all__ = (
    "AlreadyStarted",
    "Crashed",
    "ExitReason",
    "Exited",
    "Killed",
    "NoProcess",
    "Normal",
    "Shutdown",
    "check_reason",
    "is_abnormal",
)


@dataclass(frozen=True, slots=True)
class Normal:
    """The process had finished."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The process was asked to end, or ended in an orderly way: OTP's ``shutdown`` and ``{shutdown, detail}``."""

    detail: object = None

    def __repr__(self) -> str:
        """Show the detail, also if it cannot be shown."""
        return f"Shutdown(detail={show(self.detail)})"


@dataclass(frozen=True, slots=True)
class Killed:
    """The process was ended by ``kill``, which it cannot trap."""


@dataclass(frozen=True, slots=True)
class NoProcess:
    """There was no such process: the reason in ``Down`` and ``ExitSignal`` about one that was not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Crashed:
    """An exception ended the process.

    Two are equal when their exceptions have the same type and arguments.
    """

    exception: BaseException

    def __post_init__(self) -> None:
        """Refuse what is no exception: it would be found in the middle of a death, where it is chained and compared."""
        if not isinstance(self.exception, BaseException):
            msg = (
                f"Crashed expects the exception that ended a process, got {self.exception!r}. A reason of your own is "
                f"Exited({self.exception!r})"
            )
            raise UsageError(msg)

    def __repr__(self) -> str:
        """Show the exception, also if it cannot be shown."""
        return f"Crashed(exception={show(self.exception)})"

    def __eq__(self, other: object) -> bool:
        """Compare by type and arguments of the exception."""
        if not isinstance(other, Crashed):
            return NotImplemented
        mine, theirs = self.exception, other.exception
        return mine is theirs or (type(mine) is type(theirs) and mine.args == theirs.args)

    def __hash__(self) -> int:
        """Hash by the name of the type, which is the same in every run: arguments need not be hashable, and types hash by address."""
        kind = type(self.exception)
        return crc32(f"{kind.__module__}.{kind.__qualname__}".encode())


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended with a value of its own that no other reason says."""

    value: object

    def __repr__(self) -> str:
        """Show the value, also if it cannot be shown."""
        return f"Exited(value={show(self.value)})"


ExitReason: TypeAlias = Normal | Shutdown | Killed | NoProcess | Crashed | Exited
"""Why a process ended."""

NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
NO_PROCESS = NoProcess()


def check_reason(reason: object) -> None:
    """Refuse what is no exit reason.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(reason, Normal | Shutdown | Killed | NoProcess | Crashed | Exited):
        msg = (
            f"an exit reason is a value such as Normal(), Shutdown() or Shutdown(detail), got {reason!r}; a reason of your "
            "own is Exited(value)"
        )
        raise UsageError(msg)


def is_abnormal(reason: ExitReason) -> bool:
    """Whether a *transient* process with this reason is restarted: neither ``Normal`` nor ``Shutdown``."""
    return not isinstance(reason, Normal | Shutdown)


@dataclass(frozen=True, slots=True)
class AlreadyStarted:
    """Inside ``Exited``: why a start failed whose name was taken.

    Attributes:
        pid: the process that has the name.
    """

    pid: Pid
