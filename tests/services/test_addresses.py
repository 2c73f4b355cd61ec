"""What is said of an id that is not there: helpful, and no burden to others however many ids there are."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from mabeam import NoSuchPool
from mabeam.services import _addresses
from mabeam.services._addresses import similar_ids


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        ("paymnets", ["orders", "payments", "search"], ["payments"]),
        ("Payments", ["orders", "payments", "search"], ["payments"]),
        ("payment", ["payments", "payments-eu"], ["payments"]),
        ("dbase", ["database"], ["database"]),
        ("abc1", ["abc2", "abc3", "abc4", "abc5"], ["abc5", "abc4", "abc3"]),
        ("x", [], []),
        ("orders", ["search"], []),
        (5, ["search"], []),
        ("x" * 201, ["x" * 201 + "y"], []),
    ],
)
def test_ids_that_may_have_been_meant(wanted: object, known: list[str], expected: list[str]) -> None:
    assert similar_ids(wanted, known) == expected


def test_only_a_few_of_many_ids_are_compared_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing 1,000 addresses closely takes a tenth of a second, on the loop of everybody."""
    compared: list[int] = []

    def count(wanted: str, ids: list[str]) -> Any:
        compared.append(len(ids))
        return difflib.get_close_matches(wanted, ids)

    monkeypatch.setattr(_addresses, "get_close_matches", count)
    ids = [f"https://service-{each}.example/api" for each in range(1_000)]
    assert "https://service-77.example/api" in similar_ids("https://service-77.example/apl", ids)
    assert compared == [20]


def test_a_message_does_not_grow_with_the_number_of_pools() -> None:
    error = NoSuchPool("x", [f"p{each}" for each in range(1_000)])
    assert "there are 'p0', 'p1'," in str(error)
    assert "'p9' and 990 more." in str(error)
    assert "'p10'" not in str(error)
    assert len(error.pools) == 1_000
