"""The table of a registry against a model that is a plain list."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mabeam.otp._registry_state import Entry, Table

ALL_KEYS: list[Hashable] = ["a", "b", "c", ("d", 1), None]
KEYS = st.sampled_from(ALL_KEYS)
HOLDERS = st.integers(min_value=0, max_value=3)
VALUES = st.integers(min_value=0, max_value=5)


@dataclass
class Row:
    """What the model knows of an entry."""

    key: Hashable
    holder: int
    value: int
    entry: Entry[int] | None = field(default=None, compare=False)


class TableMachine(RuleBasedStateMachine):
    """Every operation, with unique keys or duplicate ones; after each the table says what the list says."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[int] = Table(unique=True)
        self.rows: list[Row] = []
        self.keys: list[Hashable] = []
        self.gone: list[Entry[int]] = []

    @initialize(unique=st.booleans())
    def begin(self, *, unique: bool) -> None:
        self.table = Table(unique=unique)

    def _keep(self, rows: list[Row]) -> None:
        self.rows = rows
        self.keys = [key for key in self.keys if any(row.key == key for row in rows)]

    def _find(self, row: Row) -> Entry[int]:
        assert row.entry is not None
        return row.entry

    @rule(key=KEYS, holder=HOLDERS, value=VALUES)
    def add(self, key: Hashable, holder: int, value: int) -> None:
        in_the_way = self.table.add(key, holder, value)
        taken = [row for row in self.rows if row.key == key] if self.table.unique else []
        if taken:
            assert in_the_way is taken[0].entry
            return
        assert in_the_way is None
        self.rows.append(Row(key, holder, value, self.table.under(key)[-1]))
        if key not in self.keys:
            self.keys.append(key)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.rows))
        assert self.table.remove(self._find(row))
        self._keep([each for each in self.rows if each is not row])
        self.gone.append(self._find(row))

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def removing_what_is_gone_changes_nothing(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.gone))
        assert entry not in self.table
        assert not self.table.remove(entry)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), value=VALUES)
    def change_value(self, data: st.DataObject, value: int) -> None:
        row = data.draw(st.sampled_from(self.rows))
        self._find(row).value = row.value = value

    @rule(holder=HOLDERS)
    def remove_holder(self, holder: int) -> None:
        gone = self.table.remove_holder(holder)
        expected = [row for row in self.rows if row.holder == holder]
        assert gone == tuple(row.entry for row in expected)
        self._keep([row for row in self.rows if row.holder != holder])
        self.gone.extend(gone)

    @rule()
    def clear(self) -> None:
        everything = self.table.clear()
        assert sorted(map(id, everything)) == sorted(id(row.entry) for row in self.rows)
        self.gone.extend(everything)
        self._keep([])

    @invariant()
    def the_table_says_what_the_list_says(self) -> None:
        table, rows, keys = self.table, self.rows, self.keys
        holders = {row.holder for row in rows}
        assert (len(table), table.keys, table.holders) == (len(rows), len(keys), len(holders))
        for key in ALL_KEYS:
            assert table.under(key) == tuple(row.entry for row in rows if row.key == key)
        for holder in range(4):
            assert table.of(holder) == tuple(row.entry for row in rows if row.holder == holder)
            assert table.has_holder(holder) == (holder in holders)
            for key in keys:
                expected = tuple(row.entry for row in rows if row.key == key and row.holder == holder)
                assert table.both(key, holder) == expected
        assert [(entry.key, entry.holder, entry.value) for entry in table] == [
            (row.key, row.holder, row.value) for key in keys for row in rows if row.key == key
        ]
        assert all(row.entry in table for row in rows)


TestTable = TableMachine.TestCase


def test_an_entry_is_found_under_equal_keys_and_keeps_its_own() -> None:
    table: Table[str] = Table(unique=False)
    table.add(1, "p", None)
    table.add(True, "p", None)
    assert [entry.key for entry in table.under(1.0)] == [1, True]
    assert [entry.key for entry in table.both(1.0, "p")] == [1, True]


def test_keys_stand_in_the_order_in_which_they_were_first_taken() -> None:
    """A key that was given up and taken again stands last."""
    table: Table[str] = Table(unique=False)
    for key in ("a", "b", "a"):
        table.add(key, "p", None)
    assert [entry.key for entry in table] == ["a", "a", "b"]
    for entry in table.under("a"):
        table.remove(entry)
    table.add("a", "q", None)
    assert [entry.key for entry in table] == ["b", "a"]


def test_a_lookup_is_not_changed_by_what_comes_later() -> None:
    table: Table[str] = Table(unique=False)
    table.add("a", "p", 1)
    found = table.under("a")
    table.add("a", "q", 2)
    table.remove_holder("p")
    assert [entry.value for entry in found] == [1]


def test_an_entry_shows_what_it_is() -> None:
    table: Table[str] = Table(unique=True)
    table.add("a", "p", 1)
    assert repr(table.under("a")) == "(<entry 'a': 'p', 1>,)"
    assert "a" not in table
