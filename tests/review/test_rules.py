"""The table of rules, and the page of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mabeam.review import analyse_source, known_codes, list_files, select_codes
from mabeam.review._rules import RULES
from tests.review._snippets import codes

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference" / "rules"


def example(code: str, heading: str) -> str:
    """Return the only block of code below a heading of a rule's page."""
    section = (
        (PAGES / f"{code}.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    )
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    assert isinstance(block, str)
    return block


@pytest.mark.parametrize("code", known_codes())
def test_a_rule_fires_on_the_bad_example_of_its_page_and_nothing_else_does(code: str) -> None:
    """The page shows one flaw, and it is the one it is about."""
    assert codes(example(code, "Bad example")) == [code]


@pytest.mark.parametrize("code", known_codes())
def test_no_rule_fires_on_the_good_example_of_a_page(code: str) -> None:
    """What is recommended is free of all the flaws."""
    assert codes(example(code, "Good example")) == []


@pytest.mark.parametrize("code", known_codes())
def test_the_page_of_a_rule_bears_its_title_and_severity(code: str) -> None:
    """Page and report say the same."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {code}: {RULES[code].title}\n\nSeverity: {RULES[code].severity}")


def test_every_page_belongs_to_a_rule() -> None:
    """A rule that goes takes its page along."""
    assert {path.stem for path in PAGES.glob("MB*.md")} == set(known_codes())


def test_codes_are_in_order_and_texts_are_sentences() -> None:
    """Reports show these texts as they are."""
    assert list(known_codes()) == sorted(known_codes())
    for rule in RULES.values():
        assert re.fullmatch(r"MB\d{3}", rule.code)
        assert not rule.title.endswith(".")
        assert rule.impact.endswith(".")
        assert rule.recommendation.endswith(".")


def test_a_rule_that_is_not_selected_does_not_run() -> None:
    """Selection is by code, whatever else there is in the file."""
    bad = "\n".join(example(code, "Bad example") for code in known_codes() if code > "MB1")
    for code in (code for code in known_codes() if code > "MB1"):
        assert set(codes(bad, code)) == {code}


def test_the_hints_of_a_rule_never_hide_a_finding() -> None:
    """A module without the words is skipped: so the words must be in every bad example."""
    for code in (code for code in known_codes() if code > "MB1"):
        assert any(hint in example(code, "Bad example") for hint in RULES[code].hints)


def test_this_project_passes_its_own_review() -> None:
    """Findings in our own code are flaws, or carry a reason."""
    listing = list_files([ROOT / "src" / "mabeam" / "review"])
    assert listing.files
    for file in listing.files:
        data = Path(file.path).read_bytes()
        assert analyse_source(data, shown_as=file.shown_as, codes=select_codes()) == ()
