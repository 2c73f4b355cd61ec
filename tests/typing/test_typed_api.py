"""The signatures of the public API: what type checkers see, what they refuse, and that it runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mabeam
from tests.typing import typed_sample

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(typed_sample.__file__ or "")

REVEALED = [
    "int",
    "int",
    "bytes",
    "int",
    "int",
    "str",
    "str",
    "int",
    "int",
    "mabeam.otp._ref.Ref[tests.typing.revealed.Box[str]]",
    "str",
    "mabeam.otp._ref.Ref[tests.typing.revealed.Counter]",
    "mabeam.otp._child_spec.ChildSpec[tests.typing.revealed.Counter]",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of two variants of the sample: all types revealed, and no ignores."""
    folder = tmp_path_factory.mktemp("typing")
    text = SAMPLE.read_text(encoding="utf-8")
    revealed, bare = folder / "revealed.py", folder / "bare.py"
    revealed.write_text(re.sub(r"(?<!def )\bexpect\(", "reveal_type(", text), encoding="utf-8")
    bare.write_text(re.sub(r"  # type: ignore\[.*", "  # here", text), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--no-pretty",
        "--config-file",
        str(ROOT / "pyproject.toml"),
    ]
    command += ["--shadow-file", str(SAMPLE), str(revealed), str(SAMPLE)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    command[command.index(str(revealed))] = str(bare)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not first.stderr + second.stderr
    return [first.stdout, second.stdout]


def test_it_type_checks_under_strict_and_each_ignore_is_needed(report: list[str]) -> None:
    """An ignore on a line that mypy accepts would be an error itself."""
    assert not [line for line in report[0].splitlines() if ": error:" in line]


def test_types_are_those_of_the_handlers(report: list[str]) -> None:
    """ParamSpec in, return type out."""
    found = re.findall(r'Revealed type is "(.*)"', report[0])
    plain = [each.replace("builtins.", "").replace("typed_sample", "revealed") for each in found]
    assert plain == REVEALED


def test_what_must_be_refused_is_refused_where_it_stands(report: list[str]) -> None:
    """Without the ignores there is an error on each of their lines, and on no other."""
    marked = {
        number
        for number, line in enumerate(SAMPLE.read_text(encoding="utf-8").splitlines(), start=1)
        if "# type: ignore[" in line
    }
    refused = {int(number) for number in re.findall(r"^[^:]+:(\d+): error:", report[1], flags=re.MULTILINE)}
    assert refused == marked
    assert len(marked) >= 15


def test_the_sample_runs() -> None:
    """What the types say is what happens."""
    expected = [15, 25, b"u", 1, 1, "1.0", "x", 0, 1, 2, 8, "thing", None, "c"]
    assert mabeam.run(typed_sample.main) == expected


@pytest.mark.real_time
async def test_the_sample_runs_inside_a_runtime_block() -> None:
    """And what types refuse is refused at run time, where that can be."""
    assert (await typed_sample.inside())[0] == 15
    await typed_sample.refused()
