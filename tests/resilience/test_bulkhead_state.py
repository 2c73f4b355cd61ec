"""The places of a bulkhead and their queue, against two lists."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.resilience._bulkhead_state import BulkheadState


class Machine(RuleBasedStateMachine):
    """Against two lists: who is inside, and who waits."""

    @initialize(places=st.integers(1, 3), max_queue=st.integers(0, 3))
    def make(self, places: int, max_queue: int) -> None:
        self.state: BulkheadState[int] = BulkheadState(places, max_queue)
        self.inside: list[int] = []
        self.waiting: list[int] = []
        self.given = self.rejected = self.number = 0

    @rule()
    def come(self) -> None:
        self.number += 1
        entered = self.state.enter()
        assert entered == (len(self.inside) < self.state.places)
        if entered:
            self.inside.append(self.number)
            self.given += 1
            return
        queued = self.state.queue(self.number)
        assert queued == (len(self.waiting) < self.state.max_queue)
        if queued:
            self.waiting.append(self.number)
        else:
            self.rejected += 1

    @rule(which=st.integers(0, 5))
    def go(self, which: int) -> None:
        if not self.inside:
            return
        self.inside.pop(which % len(self.inside))
        following = self.state.leave()
        assert following == (self.waiting[0] if self.waiting else None)
        if following is not None:
            self.inside.append(self.waiting.pop(0))
            self.given += 1

    @rule(number=st.integers(1, 20))
    def withdraw(self, number: int) -> None:
        assert self.state.withdraw(number) == (number in self.waiting)
        if number in self.waiting:
            self.waiting.remove(number)

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "state"):
            state = self.state
            assert (state.inside, state.waiting) == (len(self.inside), len(self.waiting))
            assert (state.entered, state.rejected) == (self.given, self.rejected)
            assert state.inside <= state.places
            assert not self.waiting or state.inside == state.places


TestMachine = Machine.TestCase


TestMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
