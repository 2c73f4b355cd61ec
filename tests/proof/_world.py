"""What a storm knows: its chance, who can be reached, and books of what was asked, watched and heard."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from mabeam import CallCycle, Down, MabeamError, MonitorRef, Pid, UsageError, demonitor, monitor, whereis
from mabeam.kernel import current_process

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mabeam.kernel import Process

__all__ = ("Declared", "SeededChooser", "Watch", "World", "pause")


class Declared(Exception):
    """What handlers raise that have declared it."""


@dataclass(slots=True, eq=False)
class Watch:
    """One monitor, and how often its end was told."""

    watcher: Process
    target: Process | None
    downs: int = 0
    removed: bool = False


@dataclass
class World:
    """One storm.

    Attributes:
        random: all its chance.
        threads: threads take part. What they do cannot be repeated exactly.
        calm: the storm is over: nobody begins anything new.
        servers: names of workers.
        supervisors: names of supervisors, dynamic ones apart.
        dynamics: names of dynamic supervisors.
        pools: names of task supervisors.
        registries: names of registries.
        open: what is asked at the moment, by whom, and of whom if there is no limit to the wait; by number.
        outcomes: what came of what was asked.
        watches: all monitors there ever were.
        free: processes that were started outside of every supervisor.
        set_aside: ids of children that somebody has stopped on purpose, and the names of their supervisors.
        problems: what must not happen and did.
    """

    random: Random
    threads: bool = False
    calm: bool = False
    servers: list[str] = field(default_factory=list)
    supervisors: list[str] = field(default_factory=list)
    dynamics: list[str] = field(default_factory=list)
    pools: list[str] = field(default_factory=list)
    registries: list[str] = field(default_factory=list)
    open: dict[int, tuple[str, Process, Process | None]] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    watches: dict[MonitorRef, Watch] = field(default_factory=dict)
    free: set[Pid] = field(default_factory=set)
    set_aside: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    _asked: int = 0
    _names: int = 0

    def name(self, kind: str, among: list[str]) -> str:
        """A new name, kept for those who look for somebody."""
        self._names += 1
        among.append(f"{kind}-{self._names}")
        return among[-1]

    def one_of(self, names: list[str]) -> str | None:
        """Any of them; rather one that is there."""
        there = [name for name in names[-40:] if whereis(name) is not None]
        some = there if there and self.happens(0.9) else names[-5:]
        return self.random.choice(some) if some else None

    def somebody(self, process: Process | None = None) -> Pid | None:
        """Any process but the root."""
        kernel = (process or current_process()).kernel
        alive = [each for each in kernel.table.values() if each.parent is not None]
        return self.random.choice(alive).pid if alive else None

    def happens(self, chance: float) -> bool:
        """Draw."""
        return self.random.random() < chance

    async def ask(self, what: str, answer: Awaitable[Any], *, of: Process | None = None) -> Any:
        """Wait for an answer and write down what came of it. Typed errors are outcomes; anything else is a problem.

        Args:
            what: what is asked.
            answer: to be awaited.
            of: who is asked, when the wait has no limit: it may last as long as that process does.
        """
        self._asked += 1
        number = self._asked
        self.open[number] = (what, current_process(), of)
        outcome = "never told"
        try:
            value = await answer
        except asyncio.CancelledError:
            outcome = "CancelledError"
            raise
        except (MabeamError, Declared) as error:
            outcome = type(error).__name__
            self._judge(what, error)
        except BaseException as error:
            outcome = repr(error)
            self.problems.append(f"{what} raised {error!r}")
            raise
        else:
            outcome = "answer"
            return value
        finally:
            self.outcomes[what, outcome] += 1
            del self.open[number]

    def _judge(self, what: str, error: Exception) -> None:
        # Nothing in a storm is a mistake of its user, but that A waits for B and B for A.
        if isinstance(error, UsageError) and not isinstance(error, CallCycle):
            self.problems.append(f"{what} raised {error!r}")

    def watch(self, target: Any) -> None:
        """Monitor a process for the calling one."""
        ref = monitor(target)
        self.watches[ref] = Watch(current_process(), ref.target)

    def unwatch(self) -> None:
        """End one of the caller's own monitors."""
        mine = [ref for ref, watch in self.watches.items() if watch.watcher is current_process()]
        if mine:
            ref = self.random.choice(mine)
            demonitor(ref, flush=True)
            self.watches[ref].removed = True

    def heard(self, message: object) -> None:
        """The caller has taken a message."""
        if isinstance(message, Down) and message.ref in self.watches:
            watch = self.watches[message.ref]
            watch.downs += 1
            if watch.watcher is not current_process():
                self.problems.append(f"{message} was told to {current_process().describe()}")
            if watch.downs > 1 or watch.removed:
                self.problems.append(f"{message} came after it was told, or not wanted any more")


class SeededChooser:
    """Makes the free choices of the kernel, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def choose(self, kind: str, count: int) -> int:
        """Any."""
        return self._random.randrange(count)


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)  # noqa: TID251  (a storm is about what happens meanwhile)
