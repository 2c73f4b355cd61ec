"""The table of circuits against a model: a dict and a limit."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.services._circuit_table_state import CircuitTable

IDS = st.sampled_from("abcd")


class TableMachine(RuleBasedStateMachine):
    """Configure and remove, in any order."""

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.limit = limit
        self.table: CircuitTable[int, object] = CircuitTable(limit)
        self.model: dict[str, tuple[int, object]] = {}

    @rule(circuit=IDS, settings=st.integers(0, 2))
    def configure(self, circuit: str, settings: int) -> None:
        made: list[object] = []

        def make() -> object:
            made.append(object())
            return made[0]

        change = self.table.configure(circuit, settings, make)
        if circuit not in self.model:
            expected = "created" if len(self.model) < self.limit else None
        else:
            expected = "unchanged" if self.model[circuit][0] == settings else "replaced"
        assert change == expected
        assert len(made) == (expected in {"created", "replaced"})
        if made:
            self.model[circuit] = (settings, made[0])

    @rule(circuit=IDS)
    def remove(self, circuit: str) -> None:
        there = self.model.pop(circuit, (0, None))[1]
        assert self.table.remove(circuit) is there

    @invariant()
    def agrees(self) -> None:
        assert self.table.limit == self.limit
        assert self.table.ids() == tuple(self.model)
        assert len(self.table) == len(self.model) <= self.limit
        assert list(self.table) == [(each, breaker) for each, (_, breaker) in self.model.items()]
        for each in "abcd":
            assert self.table.get(each) is self.model.get(each, (0, None))[1]


TestTable = TableMachine.TestCase
