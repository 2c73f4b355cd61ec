"""The correspondence table is true: a proof that it names is a test that exists."""

import re
from pathlib import Path

import pytest

from tests.meta import _project

PAGE = _project.ROOT / "docs" / "reference" / "correspondence.md"


def _rows() -> list[tuple[int, list[str]]]:
    rows = []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            rows.append((number, [cell.strip() for cell in line.strip("|").split("|")]))
    return rows


def test_every_row_is_planned_or_proved() -> None:
    wrong: list[str] = []
    for number, cells in _rows():
        proof = cells[-1]
        if proof == "proof" or proof.startswith("planned"):
            continue
        tests = re.findall(r"`(tests/[^`]+)`", proof)
        if not tests:
            wrong.append(f"line {number}: neither 'planned' nor a test in backquotes: {proof!r}")
        for test in tests:
            name, _, function = test.partition("::")
            path = Path(_project.ROOT / name)
            if not path.exists():
                wrong.append(f"line {number}: there is no {name}")
            elif function and f"def {function.rpartition('::')[2]}(" not in path.read_text(encoding="utf-8"):
                wrong.append(f"line {number}: there is no {function} in {name}")
    if wrong:
        pytest.fail("docs/reference/correspondence.md\n" + "\n".join(wrong), pytrace=False)
