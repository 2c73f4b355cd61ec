"""The pytest plugin runs marked tests under seeds: each with fixtures of its own, and one report."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUITE = """
import asyncio
import random
from collections import Counter
import pytest
from hypothesis import given, settings, strategies
import mabeam
from mabeam import GenServer, fault_point, handle_call, in_thread, receive, self_pid, send, spawn
from mabeam.testing import Faults, InjectedFault, MutationError

RUNS = Counter()

@pytest.fixture(autouse=True, scope="module")
def module():
    RUNS["module"] += 1
    yield
    RUNS["module ended"] += 1
    print("RUNS", dict(RUNS))

@pytest.fixture
def fresh(request, tmp_path):
    RUNS["set up " + request.node.name] += 1
    made = []
    yield made
    assert made == ["used"]
    RUNS["torn down " + request.node.name] += 1

async def words():
    for word in ("left", "right"):
        spawn(send, self_pid(), word)
    return [await receive(), await receive()]

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=7)
async def test_passes_under_seeds(fresh, runtime, virtual_loop):
    assert fresh == []
    fresh.append("used")
    assert asyncio.get_running_loop() is virtual_loop
    assert runtime.processes() == ()
    assert sorted(await words()) == ["left", "right"]
    RUNS["passes"] += 1

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=[5, 6])
@pytest.mark.parametrize("number", [1, 2])
async def test_passes_with_parameters(number):
    RUNS["parameters"] += number

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=7)
async def test_passes_by_chance(fresh):
    fresh.append("used")
    RUNS["by chance"] += 1
    RUNS[f"drew {random.random()}"] += 1

@pytest.mark.mabeam
@pytest.mark.simulate(False, reason="it is about one order")
async def test_passes_in_one_order(fresh):
    fresh.append("used")
    assert await words() == ["left", "right"]
    RUNS["once"] += 1

class TestClass:
    used = 0

    @pytest.mark.simulate(seeds=3)
    async def test_passes_in_a_class(self):
        self.used += 1
        assert self.used == 1

@pytest.mark.mabeam
@pytest.mark.simulate
async def test_skips():
    RUNS["skips"] += 1
    pytest.skip("inside")

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=5)
@pytest.mark.xfail(reason="known", strict=True)
async def test_is_expected_to_fail():
    RUNS["xfail"] += 1
    assert 1 == 2

@pytest.mark.simulate(seeds=50)
@pytest.mark.parametrize("strict", [
    pytest.param(strict, marks=pytest.mark.xfail(reason="a known race", strict=strict)) for strict in (False, True)
])
async def test_known_race(strict):
    assert await words() == ["left", "right"]

@pytest.mark.simulate(seeds=5)
@pytest.mark.xfail(reason="was a race")
async def test_mended_race():
    RUNS["mended"] += 1
    assert sorted(await words()) == ["left", "right"]

@pytest.mark.simulate(seeds=5)
@pytest.mark.xfail(reason="was a race", strict=True)
async def test_fails_because_it_was_mended():
    RUNS["mended"] += 1
    assert sorted(await words()) == ["left", "right"]

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=50)
async def test_fails_in_another_order(fresh):
    fresh.append("used")
    assert await words() == ["left", "right"]

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=50)
async def test_fails_in_every_order():
    RUNS["fails"] += 1
    assert await words() == []

class Half(GenServer):
    def __init__(self):
        self.lines = []
    @handle_call
    def write(self, line):
        self.lines.append(line)
        fault_point("half")
        return len(self.lines)
    @handle_call
    def take(self, lines):
        lines.clear()

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=50, faults=Faults(points={"half": 0.3}), max_faults=1)
async def test_fails_by_fault():
    half = await Half.child_spec().start()
    try:
        assert await half.call(Half.write, "a") == 1
    except mabeam.ProcessDied as died:
        raise LookupError("not written") from died

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=5, check_mutation=True)
async def test_fails_by_mutation():
    half = await Half.child_spec().start()
    await half.call(Half.take, ["a"])

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=5)
async def test_fails_by_leak():
    if type(asyncio.get_running_loop()).__name__ == "SimulatedLoop":
        test_fails_by_leak.task = asyncio.get_running_loop().create_task(asyncio.sleep(9), name="forgotten")

@pytest.mark.mabeam
@pytest.mark.simulate(False)
async def test_errors_without_a_reason():
    pass

@pytest.mark.mabeam
@pytest.mark.simulate(seed=5)
async def test_errors_for_an_unknown_option():
    pass

WRONG = [
    dict(seeds=2.5), dict(seeds=None), dict(seeds="20"), dict(seeds=["a"]), dict(seeds=0), dict(seeds=-5),
    dict(seeds=[]), dict(seeds=iter([1])), dict(faults=0.1), dict(max_faults="3"), dict(check_mutation="yes"),
]

@pytest.mark.parametrize("number", [
    pytest.param(number, marks=pytest.mark.simulate(**options)) for number, options in enumerate(WRONG)
])
async def test_errors_for_a_wrong_value(number):
    pass

@pytest.mark.mabeam
@pytest.mark.simulate(seeds=5)
@settings(max_examples=3, database=None)
@given(strategies.integers())
async def test_passes_with_hypothesis(number):
    RUNS["examples"] += 1

@pytest.mark.real_time
@pytest.mark.simulate(seeds=5)
async def test_passes_in_real_time():
    RUNS["real"] += 1

@pytest.mark.simulate(seeds=3, faults=Faults(crash=0.5, only=["nobody"]))
async def test_warned_of_faults():
    await words()

@pytest.mark.filterwarnings("error")
@pytest.mark.simulate(seeds=3, faults=Faults(crash=0.5, only=["nobody"]))
async def test_warned_of_faults_as_an_error():
    await words()

@pytest.mark.simulate(seeds=5)
def test_passes_though_not_async():
    RUNS["plain"] += 1
"""


def _run(directory: Path, *options: str) -> tuple[dict[str, str], str]:
    (directory / "test_suite.py").write_text(SUITE)
    (directory / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-vv", "-rA", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *options],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        input="continue\n" * 9,
    )
    lines = re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (?:\[1\] )?test_suite\.py(?:::|:)(\S+)",
        done.stdout,
        re.MULTILINE,
    )
    return {name: outcome for outcome, name in lines}, done.stdout


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """Outcomes and output of the suite."""
    return _run(tmp_path_factory.mktemp("simulated"))


@pytest.fixture
def section(suite: tuple[dict[str, str], str]) -> Callable[[str], str]:
    """Cut out what pytest said about one failing test."""

    def cut(name: str) -> str:
        _, _, after = suite[1].partition(f" {name} _")
        return after.partition("\n____")[0]

    return cut


def _runs(output: str) -> dict[str, int]:
    found = re.search(r"RUNS (\{.*\})", output)
    assert found is not None, output
    runs: dict[str, int] = eval(found[1])
    return runs


def test_each_test_has_the_outcome_that_its_name_says(suite: tuple[dict[str, str], str]) -> None:
    """Reported once, however often it ran."""
    outcomes, output = suite
    expected = {"passes": "PASSED", "fails": "FAILED", "errors": "ERROR"}
    wrong = {
        name: outcome
        for name, outcome in outcomes.items()
        for word, right in expected.items()
        if f"test_{word}_" in name and outcome != right
    }
    assert not wrong, output
    assert sum("test_passes_" in name for name in outcomes) == 9, output
    assert sum("test_fails_" in name for name in outcomes) == 6, output
    assert sum("test_errors_" in name for name in outcomes) == 2 + 11, output
    assert "1 skipped, 3 xfailed, 1 xpassed" in output


def test_an_expected_failure_may_be_a_race(suite: tuple[dict[str, str], str]) -> None:
    """One seed that fails is what was expected; a test that passes is unexpected only when all seeds have."""
    outcomes, output = suite
    assert outcomes["test_known_race[False]"] == outcomes["test_known_race[True]"] == "XFAIL"
    assert outcomes["test_mended_race"] == "XPASS"
    assert outcomes["test_fails_because_it_was_mended"] == "FAILED"
    assert "[XPASS(strict)] was a race" in output
    assert _runs(output)["mended"] >= 2 * 2  # the ordinary order, and what is free


def test_each_seed_has_fixtures_of_its_own(suite: tuple[dict[str, str], str]) -> None:
    """Those of a test; what is above it is set up once. The ordinary order comes first."""
    runs = _runs(suite[1])
    assert runs["by chance"] == 8
    assert runs["set up test_passes_by_chance"] == runs["torn down test_passes_by_chance"] == 8
    assert runs["set up test_passes_in_one_order"] == 1
    assert runs["module"] == runs["module ended"] == 1


def test_a_seed_that_would_only_repeat_a_run_is_left_out(suite: tuple[dict[str, str], str]) -> None:
    """Where nothing is free, one is enough; where there are two words, some of seven; where something is drawn, each counts."""
    runs = _runs(suite[1])
    assert runs["parameters"] == 2 * (1 + 2)
    assert 3 <= runs["passes"] < 8
    assert runs["set up test_passes_under_seeds"] == runs["passes"]
    assert sum(name.startswith("drew") for name in runs) == 7  # the ordinary one as seed 0


def test_tests_that_cannot_run_under_seeds_run_once(suite: tuple[dict[str, str], str]) -> None:
    """Skipped ones, expected failures, real loops, properties, plain functions."""
    runs = _runs(suite[1])
    assert {
        name: runs[name] for name in ("skips", "xfail", "fails", "once", "examples", "real", "plain")
    } == {
        "skips": 1,
        "xfail": 1,
        "fails": 1,
        "once": 1,
        "examples": 3,
        "real": 1,
        "plain": 1,
    }


def test_a_failure_says_what_it_needs_and_how_to_see_it_again(
    section: Callable[[str], str], tmp_path: Path
) -> None:
    """And the word that it shows leads to the same failure."""
    text = section("test_fails_in_another_order")
    assert "assert ['right', 'left'] == ['left', 'right']" in text
    assert re.search(r"simulation: seed \d+, shrunk in \d+ runs", text)
    assert text.count("  choice  ") == 1
    assert "choice  next_process: send <2> runs, before send <1>" in text
    assert "'right' to root <0> from send <2>" in text
    again = re.search(r"Again: +pytest '(\S+)' (--simulate-token=\S+)", text)
    assert again is not None
    outcomes, output = _run(tmp_path, again[1], again[2])
    assert outcomes == {"test_fails_in_another_order": "FAILED"}
    assert "choice  next_process: send <2> runs, before send <1>" in output
    assert "the run of --simulate-token" in output


def test_a_failure_in_the_ordinary_order_is_shown_as_ever(section: Callable[[str], str]) -> None:
    """Without a word of seeds."""
    text = section("test_fails_in_every_order")
    assert "assert ['left', 'right'] == []" in text
    assert "simulation" not in text


def test_faults_leaks_and_mutations_fail_a_test(section: Callable[[str], str]) -> None:
    """As the marker asks for."""
    assert "fault   point: fault point 'half' in Half (1st time)" in section("test_fails_by_fault")
    assert "LookupError: not written" in section("test_fails_by_fault")
    assert "argument lines has lost [0]" in section("test_fails_by_mutation")
    assert "'forgotten'" in section("test_fails_by_leak")


def test_faults_that_nothing_can_be_hit_by_are_warned_of(suite: tuple[dict[str, str], str]) -> None:
    """In the summary of warnings, or as an error where warnings are errors."""
    outcomes, output = suite
    assert outcomes["test_warned_of_faults"] == "PASSED"
    assert outcomes["test_warned_of_faults_as_an_error"] == "ERROR"
    assert output.count("PytestWarning: faults asks for crash, and in no run was there a place for that") >= 2


def test_a_wrong_marker_is_an_error_of_its_test(section: Callable[[str], str]) -> None:
    """It says what would be right."""
    assert "simulate(False, reason='...')" in section("test_errors_without_a_reason")
    assert "simulate expects seeds=" in section("test_errors_for_an_unknown_option")


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (0, "seeds expects how many seeds, at least 1, or which, such as [17], got 2.5"),
        (2, "at least 1, or which, such as [17], got '20'"),
        (3, "seeds expects integers, got 'a' among them"),
        (4, "at least 1, or which, such as [17], got 0"),
        (6, "seeds was empty, so nothing would be tested"),
        (7, "seeds expects a collection, since tests share their markers"),
        (8, "faults expects a Faults, or None for none, got 0.1: Faults(crash=0.1)"),
        (9, "max_faults expects a number of faults >= 0, got '3'"),
        (10, "check_mutation expects True or False, got 'yes'"),
    ],
)
def test_a_wrong_value_is_told_as_simulate_tells_it(
    section: Callable[[str], str], number: int, problem: str
) -> None:
    """Not by the end of the session, and not by a test that passes without a seed."""
    assert problem in section(f"ERROR at setup of test_errors_for_a_wrong_value[{number}]").replace(
        "\nE     ", ""
    )


def test_a_negative_number_of_seeds_is_refused(tmp_path: Path) -> None:
    """Before anything runs: it is not 0, which asks for none."""
    outcomes, output = _run(tmp_path, "--simulate-seeds=-3")
    assert outcomes == {}
    assert "passed" not in output


def test_a_damaged_token_is_refused(tmp_path: Path) -> None:
    """Before anything runs."""
    outcomes, output = _run(tmp_path, "--simulate-token=mabeam1:nothing")
    assert outcomes == {}
    assert "passed" not in output


def test_the_debugger_opens_once(tmp_path: Path) -> None:
    """At the run that is reported, not at each that was made to find it."""
    _, output = _run(tmp_path, "--pdb", "-k", "another_order or every_order")
    assert "2 failed" in output
    assert output.count("entering PDB") == 2


def test_the_number_of_seeds_can_be_given_for_all(tmp_path: Path) -> None:
    """None at all, or more than the marker says."""
    _, output = _run(tmp_path, "--simulate-seeds=0", "-k", "by_chance or another_order")
    assert "2 passed" in output
    assert _runs(output)["by chance"] == 1
    _, output = _run(tmp_path, "--simulate-seeds=30", "-k", "by_chance or another_order")
    assert "1 failed, 1 passed" in output
    assert _runs(output)["by chance"] == 31
