"""What the model of ``test_registry_state`` does not see of a registry's table: answers as such, and what an entry costs."""

from __future__ import annotations

from mabeam.otp._registry_state import Entry, Table


def test_removing_says_whether_the_entry_was_there() -> None:
    """In so many words: alone under its key, and one of several."""
    table: Table[str] = Table(unique=False)
    table.add("a", "p", 1)
    (alone,) = table.under("a")
    assert table.remove(alone) is True
    assert table.remove(alone) is False
    for value in range(3):
        table.add("a", "p", value)
    one, *_ = table.under("a")
    assert table.remove(one) is True
    assert table.remove(one) is False


def test_an_entry_alone_costs_no_dict() -> None:
    """Nearly every key and every holder has one."""
    table: Table[str] = Table(unique=False)
    table.add("a", "p", 1)
    assert isinstance(table._by_key["a"], Entry)
    assert isinstance(table._by_holder["p"], Entry)
    table.add("a", "p", 2)
    assert isinstance(table._by_key["a"], dict)
