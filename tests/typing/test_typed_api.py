"""The signatures of the public API: what type checkers see, what they refuse, and that it runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mabeam
from tests.typing import services_sample, typed_sample

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

SERVERS = [
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

SERVICES = [
    "tests.typing.revealed.Shop",
    "str",
    "float",
    "str",
    "bytes",
    "int",
    "bytes",
    "bytes",
    "bytes",
    "bytes",
    "bytes",
    "int",
    "int",
    "bytes",
    "bytes",
    "int",
    "Literal['closed'] | Literal['open'] | Literal['half_open'] | Literal['isolated']",
    "Literal['created'] | Literal['replaced'] | Literal['unchanged']",
    "tuple[str, ...]",
    "int",
    "mabeam.services._health_values.CheckReport",
    "Literal['unhealthy'] | Literal['unknown'] | Literal['degraded'] | Literal['healthy']",
    "Literal['unhealthy'] | Literal['unknown'] | Literal['degraded'] | Literal['healthy']",
    "int",
    "int",
    "httpx._client.AsyncClient",
    "str",
    "int",
    "httpx._models.Response",
]


class Report:
    """What mypy says of two variants of a sample: all types revealed, and no ignores."""

    def __init__(self, sample: ModuleType, revealed: list[str], least: int, output: list[str]) -> None:
        self.source = Path(sample.__file__ or "")
        self.name = sample.__name__.rpartition(".")[2]
        self.expected = revealed
        self.least = least
        self.revealed, self.bare = output


@pytest.fixture(
    scope="module",
    params=[(typed_sample, SERVERS, 15), (services_sample, SERVICES, 12)],
    ids=["servers", "services"],
)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    sample, expected, least = request.param
    folder = tmp_path_factory.mktemp("typing")
    source = Path(sample.__file__ or "")
    text = source.read_text(encoding="utf-8")
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
    command += ["--shadow-file", str(source), str(revealed), str(source)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    command[command.index(str(revealed))] = str(bare)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not first.stderr + second.stderr
    return Report(sample, expected, least, [first.stdout, second.stdout])


def test_it_type_checks_under_strict_and_each_ignore_is_needed(report: Report) -> None:
    """An ignore on a line that mypy accepts would be an error itself."""
    assert not [line for line in report.revealed.splitlines() if ": error:" in line]


def test_types_are_those_of_the_functions(report: Report) -> None:
    """ParamSpec in, return type out."""
    found = re.findall(r'Revealed type is "(.*)"', report.revealed)
    plain = [each.replace("builtins.", "").replace(report.name, "revealed") for each in found]
    assert plain == report.expected


def test_what_must_be_refused_is_refused_where_it_stands(report: Report) -> None:
    """Without the ignores there is an error on each of their lines, and on no other."""
    marked = {
        number
        for number, line in enumerate(report.source.read_text(encoding="utf-8").splitlines(), start=1)
        if "# type: ignore[" in line
    }
    refused = {int(number) for number in re.findall(r"^[^:]+:(\d+): error:", report.bare, flags=re.MULTILINE)}
    assert refused == marked
    assert len(marked) >= report.least


def test_the_sample_runs() -> None:
    """What the types say is what happens."""
    expected = [15, 25, b"u", 1, 1, "1.0", "x", 0, 1, 2, 8, "thing", None, "c"]
    assert mabeam.run(typed_sample.main) == expected


def test_the_sample_of_policies_and_services_runs() -> None:
    words = ["paid 5", 6.0, "hello ann", b"uu", 7, b"u", b"h", b"r", b"c", b"l", 0, 9]
    states = [b"uuu", b"s", 8, "closed", "replaced", ("search",), 4, "healthy", "healthy", 0, 20, "127.0.0.1"]

    async def everything() -> list[object]:
        found = await services_sample.main()
        await services_sample.refused()
        return found

    assert mabeam.run(everything) == [*words, *states]


@pytest.mark.real_time
async def test_the_sample_runs_inside_a_runtime_block() -> None:
    """And what types refuse is refused at run time, where that can be."""
    assert (await typed_sample.inside())[0] == 15
    await typed_sample.refused()
