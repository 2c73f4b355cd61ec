"""Drop most of the steps of random scenarios that have no effect.

Random scenarios go on acting on things that have already died. This drops most of the steps that had no effect (the raw
traces of a run tell which), and then all but the first 10, so that the scenarios say more in fewer steps. Run the oracle
again on the result.

    python -m tests.conformance.otp.trim SCENARIOS RAW_TRACES > TRIMMED
"""

from __future__ import annotations

import json
import sys

from tests.conformance.otp.normalize import Json, load_jsonl

__all__ = ("trim",)


def _had_no_effect(entry: Json) -> bool:
    result = entry["r"]
    if entry["e"]:
        return False
    return result in ("dead", "unknown") or (
        isinstance(result, list)
        and result[:1] == ["exit"]
        and result[1] in ("noproc", ["call_failed", "noproc"])
    )


def trim(scenario: Json, raw: Json) -> Json:
    """The scenario with fewer steps."""
    steps = scenario["steps"]
    traces = raw["steps"][1 if "root" in scenario else 0 :]
    kept = []
    without_effect = 0
    tail = 3 if "root" in scenario else 5 if "registries" in scenario else 1
    for step, entry in zip(steps[:-tail], traces, strict=False):
        if _had_no_effect(entry):
            without_effect += 1
            if without_effect > 1:
                continue
        kept.append(step)
    if "root" in scenario and raw["steps"][0]["r"][0] != "ok":
        kept = [step for step in kept if step["op"] == "spawn"][:1]
    most = 14 if "registries" in scenario or "task" in scenario["tags"] else 10
    return {**scenario, "steps": kept[:most] + steps[-tail:]}


def main(scenarios: str, raw_traces: str) -> None:
    """Trim a file."""
    for scenario, raw in zip(load_jsonl(scenarios), load_jsonl(raw_traces), strict=True):
        sys.stdout.write(json.dumps(trim(scenario, raw), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
