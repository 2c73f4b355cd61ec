"""mabeam does what Erlang/OTP was recorded doing, in every scenario that was recorded."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.otp.compare import describe, first_difference, normalized
from tests.conformance.otp.normalize import Json, load_jsonl
from tests.conformance.otp.run import quiet, run_scenario

HERE: Final = Path(__file__).parent
#: Each set with the number of its scenarios: a file cut short must not pass for agreement.
RECORDED: Final = {"hand.jsonl": 181, "extra.jsonl": 531, "random_1.jsonl.gz": 2_000}
BATCH: Final = 100


@functools.cache
def _recorded(name: str) -> tuple[list[Json], list[Json]]:
    stem, _, suffixes = name.partition(".")
    return load_jsonl(HERE / "scenarios" / name), load_jsonl(HERE / "traces" / f"{stem}.norm.{suffixes}")


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_scenario_has_its_trace(name: str) -> None:
    scenarios, traces = _recorded(name)
    assert len(scenarios) == RECORDED[name]
    assert [each["name"] for each in scenarios] == [each["name"] for each in traces]


@pytest.mark.parametrize(
    ("name", "first"),
    [(name, first) for name, count in RECORDED.items() for first in range(0, count, BATCH)],
)
def test_mabeam_does_what_otp_did(name: str, first: int) -> None:
    """Nothing is skipped. What the comparison does not see stands in the README, "Not compared"."""
    scenarios, traces = _recorded(name)
    differences = []
    with quiet():
        for scenario, trace in list(zip(scenarios, traces, strict=True))[first : first + BATCH]:
            actual = normalized(scenario, run_scenario(scenario))
            difference = first_difference(scenario, trace, actual)
            if difference is not None:
                differences.append(describe(scenario, difference))
    shown = "\n\n".join(differences[:10])
    assert not differences, f"{len(differences)} scenarios differ from what was recorded:\n\n{shown}"


@pytest.mark.parametrize("act", [["register", ""], ["unregister", 5]])
def test_a_refusal_that_otp_does_not_know_is_a_difference(act: Json) -> None:
    """Only a name that is taken, a second name and a name that nobody has are what OTP calls badarg here."""
    scenario = {"name": "names", "steps": [{"op": "spawn", "id": "a"}, {"op": "do", "who": "a", "act": act}]}
    result = run_scenario(scenario)["steps"][-1]["r"]
    assert "expects a name" in result or "must be a non-empty string" in result
