"""Which faults a simulation injects, and whom they may hit."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from mabeam.errors import MabeamError, UsageError
from mabeam.kernel import label_of

if TYPE_CHECKING:
    from mabeam.kernel import Process
    from mabeam.testing._schedule import Fault, FaultKind

__all__ = ("Faults", "InjectedFault", "Victim")

Victim: TypeAlias = type | str | Callable[..., object]
"""Processes: all servers of a class, the one of a name, or all that run a function."""

_RATES: Final = ("crash", "kill", "delay", "late")


@final
class InjectedFault(MabeamError):
    """A simulation made the code fail here; nothing is wrong with it.

    It is what a crash of a server by ``Faults(crash=...)`` crashes with, and what a fault point raises. In a report it tells
    such a crash from the program's own. It is no failure of the simulated program by itself: only what the program makes
    of it can be.

    Attributes:
        fault: which one.
    """

    def __init__(self, fault: Fault) -> None:
        """Keep which one."""
        self.fault = fault
        super().__init__(f"injected by a simulation: {fault}")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which faults a simulation injects, how often, and whom they may hit. All are off unless given.

    Each rate is the probability, from 0 to 1, at each place where such a fault is possible. ``simulate`` limits how many there
    are in one run (``max_faults``).

    The process that runs the simulated program itself is never hit. Neither are supervisors, registries and other
    processes of mabeam's own, unless ``only`` names them.

    Attributes:
        crash: a server that takes a message crashes with ``InjectedFault``, as if its handler had raised it and not
            declared it; a ``receive`` of a plain process that takes a message raises it.
        kill: a server that takes a message, or a plain process that is sent one, is killed before it does anything with it.
        delay: a server is slow: it takes a message (and so all that come after it) up to ``max_delay`` later. So does a plain
            process, whose ``receive`` may meet its timeout before. Signals keep their order.
        late: a timer fires up to ``max_delay`` too late, as on a machine that is busy. It is that of the process that sets it;
            timeouts that a server asks for are its own, whoever called it.
        points: a ``fault_point`` raises ``InjectedFault``: one rate for all of them, or a rate for each name or pattern
            (``"store.*"``). Those that are awaited are also delayed, at the rate ``delay``.
        max_delay: longest delay, in seconds.
        only: whom faults may hit, if not all: server classes, names of processes, functions of plain processes.
        never: whom they must not hit, in the same way.

    Raises:
        UsageError: a rate is none, or a delay is not positive; lists all problems.

    Example:
        faults = Faults(crash=0.01, delay=0.05, points={"ledger.*": 0.2}, never=["clock"])
        assert faults.rate_at("ledger.written") == 0.2
    """

    crash: float = 0.0
    kill: float = 0.0
    delay: float = 0.0
    late: float = 0.0
    points: float | Mapping[str, float] = 0.0
    max_delay: float = 10.0
    only: tuple[Victim, ...] | list[Victim] = ()
    never: tuple[Victim, ...] | list[Victim] = ()

    def __post_init__(self) -> None:
        """Check everything."""
        problems = [_problem_of_rate(name, getattr(self, name)) for name in _RATES]
        if isinstance(self.points, Mapping):
            problems += [_problem_of_rate(_written(name), rate) for name, rate in self.points.items()]
        else:
            problems.append(_problem_of_rate("points", self.points))
        if not (
            isinstance(self.max_delay, int | float)
            and math.isfinite(self.max_delay)
            and self.max_delay >= 0.001
        ):
            problems.append(f"max_delay expects seconds >= 0.001, got {self.max_delay!r}")
        for name in ("only", "never"):
            problems += _problems_of_victims(name, getattr(self, name))
        found = [problem for problem in problems if problem]
        if found:
            raise UsageError("; ".join(found), problems=found)

    def rate_at(self, point: str) -> float:
        """How often a fault point fails.

        Args:
            point: its name.

        Returns:
            The rate of the first pattern that matches; 0 when none does.
        """
        return self.wish_for("point", point)[1]

    def wish_for(self, kind: FaultKind, point: str) -> tuple[str, float]:
        """What was asked for at such a place, as it is written, and its rate."""
        if kind != "point":
            return kind, getattr(self, kind)
        if not isinstance(self.points, Mapping):
            return "points", self.points
        found = ((_written(name), rate) for name, rate in self.points.items() if fnmatchcase(point, name))
        return next(found, ("", 0.0))

    def wishes_but(self, possible: Collection[str] = ()) -> tuple[str, ...]:
        """What was asked for besides, as it is written."""
        wanted = [name for name in _RATES if getattr(self, name) > 0.0]
        if isinstance(self.points, Mapping):
            wanted += [_written(name) for name, rate in self.points.items() if rate > 0.0]
        elif self.points > 0.0:
            wanted.append("points")
        return tuple(wish for wish in wanted if wish not in possible)

    def warning_of(self, impossible: Collection[str]) -> str:
        """What to say when there was no place for any of what was asked for: that tests nothing, and looks like a test."""
        wishes = self.wishes_but()
        if not wishes or len(impossible) < len(wishes):
            return ""
        return (
            f"faults asks for {', '.join(wishes)}, and in no run was there a place for that, so no fault was tested. The program's "
            "own process is never hit, nor are supervisors and what else is mabeam's own, nor what only= and never= leave out; "
            "points= has names or patterns of fault points."
        )

    def may_hit(self, process: Process) -> bool:
        """Whether a process is one that faults may hit."""
        if any(_is_meant(process, victim) for victim in self.never):
            return False
        if self.only:
            return any(_is_meant(process, victim) for victim in self.only)
        return not _is_ours(process)


def _written(pattern: str) -> str:
    return f"points[{pattern!r}]"


def _problem_of_rate(name: str, rate: object) -> str:
    if isinstance(rate, int | float) and not isinstance(rate, bool) and 0.0 <= rate <= 1.0:
        return ""
    return f"{name} expects a probability from 0 to 1, got {rate!r}"


def _problems_of_victims(name: str, victims: Any) -> list[str]:
    if not isinstance(victims, list | tuple):
        return [f"{name} expects a list of classes, names or functions, got {victims!r}; write {name}=[...]"]
    wrong = [victim for victim in victims if not (isinstance(victim, str | type) or callable(victim))]
    return [f"{name} expects classes, names or functions, got {victim!r}" for victim in wrong]


def _is_meant(process: Process, victim: Victim) -> bool:
    if isinstance(victim, str):
        return victim in (process.name, process.label)
    if isinstance(victim, type):
        server = getattr(process.behaviour, "cls", None)
        return isinstance(server, type) and issubclass(server, victim)
    return process.label == label_of(victim)


def _is_ours(process: Process) -> bool:
    """Whether it runs code of mabeam, whose crash would show nothing about the program."""
    if process.behaviour.is_supervisor or process.behaviour.shared:
        return True
    code = getattr(process.behaviour, "cls", None) or getattr(process.body, "function", None)
    return (getattr(code, "__module__", None) or "").partition(".")[0] == "mabeam"
