"""Timers against a list of what is due when: set, cancelled and read in any order, with processes and names that go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mabeam.errors import UsageError
from mabeam.kernel import kill, register, send_after, unregister
from tests._live import LiveRuntime
from tests.kernel._scenes import process_of, spawn_idle

if TYPE_CHECKING:
    from mabeam.kernel import Pid, TimerRef

SIZE = 3
NAMES = ("red", "blue")
# Few and round, so that many are due at the same time: those fire in the order in which they were set.
SECONDS = st.sampled_from([0, 0.5, 1, 1.0, 2, 5])


@dataclass
class Due:
    """A timer that has not fired."""

    ref: TimerRef
    at: float
    target: int | str
    number: int


class Timers(RuleBasedStateMachine):
    """The real thing beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveRuntime()
        self.inboxes: list[list[Any]] = [[] for _ in range(SIZE)]
        self.expected: list[list[int]] = [[] for _ in range(SIZE)]
        self.pids: list[Pid] = []
        self.alive = [True] * SIZE
        self.holders: dict[str, int] = {}
        self.due: list[Due] = []
        self.over: list[TimerRef] = []
        self.lost = 0
        self.now = 0.0
        self.number = 0

    @initialize()
    def begin(self) -> None:
        def start() -> list[Pid]:
            return [spawn_idle(take=inbox.append) for inbox in self.inboxes]

        self.pids = self.live.act(start)

    def teardown(self) -> None:
        self.live.close()

    # ---- the steps

    @rule(who=st.integers(0, SIZE - 1), seconds=SECONDS)
    def set_on_process(self, who: int, seconds: float) -> None:
        self._set(who, self.pids[who], seconds)

    @rule(name=st.sampled_from(NAMES), seconds=SECONDS)
    def set_on_name(self, name: str, seconds: float) -> None:
        self._set(name, name, seconds)

    def _set(self, target: int | str, address: Any, seconds: float) -> None:
        self.number += 1
        ref = self.live.act(send_after, seconds, address, self.number)
        due = Due(ref, self.now + seconds, target, self.number)
        if seconds == 0:
            self._fire(due)  # at the next turn of the loop, which it has had by now
        else:
            self.due.append(due)

    @precondition(lambda self: self.due)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        due = data.draw(st.sampled_from(self.due))
        assert self.live.act(due.ref.cancel) == due.at - self.now
        self.due.remove(due)
        self.over.append(due.ref)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def cancel_again(self, data: st.DataObject) -> None:
        assert self.live.act(data.draw(st.sampled_from(self.over)).cancel) is None

    @rule(seconds=st.sampled_from([0, 0.25, 0.5, 1, 3]))
    def advance(self, seconds: float) -> None:
        self.live.advance(seconds)
        self.now += seconds
        ripe = sorted((due for due in self.due if due.at <= self.now), key=lambda due: (due.at, due.number))
        self.due = [due for due in self.due if due.at > self.now]
        for due in ripe:
            self._fire(due)

    def _fire(self, due: Due) -> None:
        self.over.append(due.ref)
        who = self.holders.get(due.target) if isinstance(due.target, str) else due.target
        if who is not None and self.alive[who]:
            self.expected[who].append(due.number)
        else:
            self.lost += 1

    @rule(who=st.integers(0, SIZE - 1))
    def kill(self, who: int) -> None:
        if not self.alive[who]:
            return
        self.live.act(kill, self.pids[who])
        self.alive[who] = False
        self.holders = {name: holder for name, holder in self.holders.items() if holder != who}
        # What was set on the process goes with it; what was set on its name waits for another holder.
        gone = [due for due in self.due if due.target == who]
        self.due = [due for due in self.due if due.target != who]
        self.over += [due.ref for due in gone]

    @rule(who=st.integers(0, SIZE - 1), name=st.sampled_from(NAMES))
    def name(self, who: int, name: str) -> None:
        if self.alive[who] and name not in self.holders and who not in self.holders.values():
            self.live.act(register, name, self.pids[who])
            self.holders[name] = who

    @rule(name=st.sampled_from(NAMES))
    def unname(self, name: str) -> None:
        if name in self.holders:
            self.live.act(unregister, name)
            del self.holders[name]

    @rule(wrong=st.sampled_from([-1, -0.001, "soon", None]))
    def set_wrongly(self, wrong: Any) -> None:
        try:
            self.live.act(send_after, wrong, self.pids[0], "never")
        except UsageError:
            return
        raise AssertionError("expected UsageError")

    # ---- what must hold

    @invariant()
    def they_agree(self) -> None:
        assert self.inboxes == self.expected
        assert self.live.loop.time() == self.now
        for due in self.due:
            assert due.ref.read() == due.at - self.now
        for ref in self.over:
            assert ref.read() is None
        for who, pid in enumerate(self.pids):
            # One that is set on a process that is dead already has nobody to go with; its message is a dead letter.
            mine = [due.ref for due in self.due if due.target == who and self.alive[who]]
            assert list(process_of(pid).timers or ()) == mine
        letters = self.live.runtime.dead_letters.counts
        assert letters.get("dead", 0) + letters.get("no_name", 0) == self.lost


TestTimers = Timers.TestCase
TestTimers.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=30, deadline=None
)
