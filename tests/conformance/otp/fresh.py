"""Compare mabeam with Erlang/OTP on scenarios that nobody has seen: what ``make conformance`` does.

    python -m tests.conformance.otp.fresh [--seed S] [--count N]

Random scenarios are made from the seed, which is printed, and run on the installed Erlang/OTP; steps without effect are
dropped, and the rest is run on both. Where there is no Erlang they run on mabeam only, and nothing is compared.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.conformance.otp.compare import describe, first_difference, normalized, say
from tests.conformance.otp.generate import make
from tests.conformance.otp.normalize import Json, dump_jsonl, load_jsonl
from tests.conformance.otp.run import quiet, run_scenario
from tests.conformance.otp.trim import trim

HERE: Final = Path(__file__).parent
SHOWN: Final = 10


def on_erlang(scenarios: list[Json], directory: Path) -> list[Json]:
    """The raw traces of the real thing."""
    given, out = directory / "scenarios.jsonl", directory / "traces.jsonl"
    dump_jsonl(given, scenarios)
    build = {"ORACLE_BUILD": str(directory / "build")}
    subprocess.run([HERE / "run_oracle.sh", given, out, "1"], check=True, env={**os.environ, **build})
    return load_jsonl(out)


def on_mabeam(scenarios: list[Json]) -> list[Json]:
    """The raw traces of mabeam."""
    with quiet():
        return [run_scenario(scenario) for scenario in scenarios]


def differences(scenarios: list[Json], expected: list[Json], actual: list[Json]) -> list[str]:
    """Where they part."""
    found = []
    for scenario, theirs, ours in zip(scenarios, expected, actual, strict=True):
        difference = first_difference(scenario, normalized(scenario, theirs), normalized(scenario, ours))
        if difference is not None:
            found.append(describe(scenario, difference))
    return found


def failures(traces: list[Json]) -> list[str]:
    """The runs that did not come to an end."""
    return [
        f"{trace['name']}: {trace.get('error', 'never came to rest')}"
        for trace in traces
        if "error" in trace or any(entry.get("timeout") for entry in trace["steps"])
    ]


def main() -> int:
    """Make scenarios, run them, compare; 0 when all agree."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument(
        "--seed", default=str(random.Random().getrandbits(32)), help="printed, to be given again"
    )
    parser.add_argument("--count", type=int, default=2_000)
    options = parser.parse_args()
    say(f"seed {options.seed}: {options.count} scenarios; again: make conformance SEED={options.seed}")
    scenarios = [make(options.seed, number) for number in range(options.count)]
    if shutil.which("erl") is None:
        bad = failures(on_mabeam(scenarios))
        say("not compared: there is no Erlang here (tests/conformance/otp/install.sh installs it on Debian)")
    else:
        with tempfile.TemporaryDirectory() as directory:
            theirs = on_erlang(scenarios, Path(directory))
            scenarios = [trim(scenario, raw) for scenario, raw in zip(scenarios, theirs, strict=True)]
            theirs = on_erlang(scenarios, Path(directory))
        bad = differences(scenarios, theirs, on_mabeam(scenarios))
        say(f"agree: {len(scenarios) - len(bad)} of {len(scenarios)} scenarios")
    for each in bad[:SHOWN]:
        say("\n" + each)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
