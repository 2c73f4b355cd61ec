"""O4: what a user can meet has its place in the documentation."""

import re
from pathlib import Path

import pytest
import typer

from mabeam import errors, kernel
from mabeam.cli._main import app
from mabeam.review import known_codes
from tests.meta import _project

DOCS = _project.ROOT / "docs"


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_error_has_a_row() -> None:
    page = _text("reference/errors.md")
    names = [
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), BaseException)
    ]
    missing = [name for name in names if f"`{name}`" not in page]
    assert not missing, f"errors without a row in docs/reference/errors.md: {missing}"


@pytest.mark.parametrize("reason", ["Normal", "Shutdown", "Killed", "Crashed", "NoProcess", "Exited"])
def test_every_exit_reason_has_a_row(reason: str) -> None:
    assert hasattr(kernel, reason)
    assert re.search(rf"^\| `{reason}\(", _text("reference/processes.md"), flags=re.MULTILINE)


def test_every_option_of_the_command_line_is_described() -> None:
    group = typer.main.get_command(app)
    commands = vars(group)["commands"]
    assert sorted(commands) == ["review"]
    page = _text("how-to/review-asyncio-code.md")
    options = [
        name
        for parameter in commands["review"].params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    ]
    assert "--chaos" in options
    missing = [name for name in options if not re.search(rf"`{name}[` ]", page)]
    assert not missing, f"options that docs/how-to/review-asyncio-code.md does not name: {missing}"


@pytest.mark.parametrize("code", known_codes())
def test_every_rule_has_a_page(code: str) -> None:
    assert Path(DOCS / "reference" / "rules" / f"{code}.md").is_file()


@pytest.mark.parametrize("package", ["kernel", "otp"])
def test_each_file_of_the_large_packages_has_its_place_in_the_layout(package: str) -> None:
    """Under what it is about; and nothing is listed that is not there."""
    table = _text("explanation/layout.md").split(f"\n`{package}`, ", 1)[1].split("\n\n", 2)[1]
    listed = set(re.findall(r"`(_\w+)`", table))
    files = {path.stem for path in (_project.ROOT / "src/mabeam" / package).glob("_*.py")}
    assert listed == files - {"__init__"}


def test_the_glossary_gives_each_word_one_place() -> None:
    """A second sense says in parentheses what it is a sense of."""
    page = _text("reference/glossary.md")
    headings = re.findall(r"^## .*", page, flags=re.MULTILINE)
    first_cells = re.findall(r"^\| (.*?) \|", page, flags=re.MULTILINE)
    words = [word for cell in first_cells for word in cell.split(", ") if word not in {"word", "---"}]
    assert len(words) > 100
    assert sorted(headings) == sorted(set(headings))
    assert [word for word in words if words.count(word) > 1] == []
