"""MB001, MB002, MB003 and the comments they are about."""

from __future__ import annotations

import pytest

from mabeam.review import analyse_source, select_codes
from tests.review._snippets import codes, findings

BLOCKING = "import time\nasync def f():\n    time.sleep(1)  {comment}\n"


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("# mabeam: ignore[MB102] start-up only", []),
        ("# mabeam: ignore[MB101,MB102] start-up only", ["MB003"]),
        ("# mabeam:ignore[ MB102 ] - start-up only", []),
        ("# noqa: S1  # mabeam: ignore[MB102] start-up only  # and more", []),
        ("# mabeam: ignore[MB102] see #12", []),
        ("# mabeam: ignore[MB102]", ["MB001"]),
        ("# mabeam: ignore[MB102]  # noqa: S1", ["MB001"]),
        ("# mabeam: ignore[MB102] --", ["MB001"]),
        ("# mabeam: ignore[MB101] start-up only", ["MB003", "MB102"]),
        ("# mabeam: ignore[MB999] start-up only", ["MB002", "MB102"]),
        ("# mabeam: ignore[MB1] start-up only", ["MB002", "MB102"]),
        ("# mabeam: ignore[MB001] start-up only", ["MB002", "MB102"]),
        ("# mabeam: ignore start-up only", ["MB002", "MB102"]),
        ("# mabeam: ignored", ["MB102"]),
        ("# ignore[MB102] start-up only", ["MB102"]),
    ],
)
def test_a_comment_silences_the_codes_it_names_and_is_judged_itself(
    comment: str, expected: list[str]
) -> None:
    """What the comment lacks is reported in place of, or next to, what it silences."""
    assert sorted(codes(BLOCKING.format(comment=comment))) == expected


def test_a_comment_works_on_the_first_line_of_the_finding() -> None:
    """That is the line that the report shows."""
    code = """
        import time
        async def f():
            time.sleep(  # mabeam: ignore[MB102] start-up only
                1
            )
    """
    assert codes(code) == []


def test_a_comment_works_on_the_last_line_of_the_statement() -> None:
    """That is where a formatter puts it."""
    code = """
        import time
        async def f():
            x = [
                time.sleep(1),
            ]  # mabeam: ignore[MB102] start-up only
    """
    assert codes(code) == []


def test_a_comment_on_another_line_silences_nothing() -> None:
    """One line means one line: not the one below, not a line in the middle."""
    code = """
        import time
        async def f():
            # mabeam: ignore[MB102] start-up only
            time.sleep(1)
    """
    assert codes(code) == ["MB003", "MB102"]


def test_a_comment_behind_a_block_silences_its_header_only() -> None:
    """The body of a handler is other statements."""
    header = "def f():\n  try: g()\n  except:  # mabeam: ignore[MB103] a plug-in may do anything\n    pass\n"
    body = "def f():\n  try: g()\n  except:\n    pass  # mabeam: ignore[MB103] a plug-in may do anything\n"
    assert (codes(header), codes(body)) == ([], ["MB103", "MB003"])


def test_words_in_a_string_are_no_comment() -> None:
    """Only the tokenizer knows the difference."""
    code = 'import time\nasync def f():\n  time.sleep(1); x = "# mabeam: ignore[MB102] no"\n'
    assert codes(code) == ["MB102"]


def test_a_rule_that_was_not_run_is_not_held_against_the_comment() -> None:
    """`--select` must not turn good comments into findings."""
    assert codes(BLOCKING.format(comment="# mabeam: ignore[MB102] start-up only"), "MB00", "MB101") == []


def test_the_rules_about_comments_can_be_left_out() -> None:
    """They are codes like the others."""
    result = analyse_source(
        BLOCKING.format(comment="# mabeam: ignore[MB102]"), shown_as="x.py", codes=select_codes((), ("MB00",))
    )
    assert result == ()


def test_a_finding_about_a_comment_stands_at_the_comment() -> None:
    """Line and column are those of its sign."""
    (finding,) = findings(BLOCKING.format(comment="# mabeam: ignore[MB102]"))
    assert (finding.line, finding.column, finding.code) == (3, 20, "MB001")


def test_what_somebody_typed_cannot_break_the_report() -> None:
    """Backticks and long words are tamed in the observation."""
    observation = findings(BLOCKING.format(comment=f"# mabeam: ignore[`{'x' * 500}] y"), "MB002")[
        0
    ].observation
    assert observation.count("`") == 2
    assert len(observation) < 150
