"""`--select` and `--ignore`."""

from __future__ import annotations

import pytest

from mabeam.errors import UsageError
from mabeam.review import known_codes, select_codes

ALL = frozenset(known_codes())


@pytest.mark.parametrize(
    ("select", "ignore", "expected"),
    [
        ([], [], ALL),
        (["MB101"], [], {"MB101"}),
        (["MB101,MB102", "MB103"], [], {"MB101", "MB102", "MB103"}),
        (["MB00"], [], {"MB001", "MB002", "MB003"}),
        (["mb10"], ["MB102"], {"MB101", "MB103", "MB104", "MB105"}),
        ([], ["MB"], set()),
        ([" , "], [], ALL),
        ([], [" , "], ALL),
    ],
)
def test_codes_and_their_beginnings_select_rules(
    select: list[str], ignore: list[str], expected: set[str]
) -> None:
    """What is ignored is taken away from what is selected; nothing selected means all."""
    assert select_codes(select, ignore) == expected


def test_everything_unknown_is_named_at_once_with_what_there_is() -> None:
    """One error is enough to get it right."""
    with pytest.raises(UsageError) as caught:
        select_codes(["MB101", "E501"], ["X", "MB9"])
    assert caught.value.problems == (
        "--select: 'E501' is no rule",
        "--ignore: 'X' is no rule",
        "--ignore: 'MB9' is no rule",
    )
    assert all(code in str(caught.value) for code in known_codes())
