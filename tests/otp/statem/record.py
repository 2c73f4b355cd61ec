"""Makes random scenarios, runs them on Erlang's gen_statem, and keeps what happened: ``python -m tests.otp.statem.record``.

Needs ``erl`` and ``erlc`` (made with Erlang/OTP 25). A scenario is run several times with durations that vary; one that
does not come out the same each time depends on the exact time, and is left out. So is one that meets a flaw of OTP 25: a
timeout of 0 that waits for its turn and is started again with a time arrives as a message ``{timeout, Ref, Name}``.

A call is answered with the state in which it is; an answer stands in the trace where it was given: ``reply``, the number of
the call among what was sent, that state. Those of one handler are in the order of these numbers.

    --count N   scenarios to make
    --seed N    seed of the first
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.jsonl.gz"

RUNS = 8
SPREAD = 25  # per cent
STATES = ("a", "b", "c")
EVENTS = tuple(f"e{number}" for number in range(6))
DURATIONS = (31, 53, 71, 113, 127, 173, 197, 229, 263, 311)  # primes, so that few sums of them are the same

Action: TypeAlias = Any
Scenario: TypeAlias = dict[str, Any]


def _duration(chance: random.Random) -> int:
    return 0 if chance.random() < 0.35 else chance.choice(DURATIONS)


def _action(chance: random.Random, *, entering: bool) -> Action:
    kinds = ["state", "state", "idle", "named", "named"]
    kind = chance.choice(kinds if entering else [*kinds, "next", "next"])
    if kind == "next":
        return ["next_event", chance.choice(EVENTS)]
    if kind == "idle":
        return ["idle_timeout", _duration(chance)]
    time = chance.choice([None, "update"]) if chance.random() < 0.25 else _duration(chance)
    event = chance.choice(EVENTS)
    if kind == "state":
        return ["state_timeout", time, event]
    return ["named_timeout", chance.choice(["t1", "t2"]), time, event]


def _rule(chance: random.Random) -> list[Action]:
    rule = _rule_without_answers(chance)
    if "postpone" not in rule and chance.random() < 0.5:
        rule.append("reply")
    if "stop" not in rule and chance.random() < 0.3:
        rule.append("reply_kept")
    return rule


def _rule_without_answers(chance: random.Random) -> list[Action]:
    what = chance.random()
    if what < 0.3:
        return ["postpone"]
    if what > 0.75:
        return ["stop"] if what > 0.985 else []
    rule: list[Action] = []
    if chance.random() < 0.6:
        rule.append(["become", chance.choice(STATES)])
    elif chance.random() < 0.3:
        rule.append("repeat")
    if chance.random() < 0.15:
        rule.append("postpone")
    return rule + [_action(chance, entering=False) for _ in range(chance.choice([0, 0, 1, 1, 2]))]


def scenario(chance: random.Random) -> Scenario:
    """One scenario: see oracle.erl."""
    rules = []
    for state in STATES:
        if chance.random() < 0.5:
            rule = [_action(chance, entering=True) for _ in range(chance.choice([1, 1, 2]))]
            rules.append([state, "enter", [*rule, "reply_kept"] if chance.random() < 0.6 else rule])
        rules += [[state, event, rule] for event in (*EVENTS, "idle") if (rule := _rule(chance))]
    init = [["become", "a"]]
    init += [_action(chance, entering=False) for _ in range(chance.choice([0, 0, 0, 1, 2]))]
    at, sends = 0, []
    for _ in range(chance.randint(2, 8)):
        if chance.random() < 0.4:
            at += chance.choice([43, 67, 97, 149])
        sends.append([at, chance.choice(["call", "call", "cast", "info"]), chance.choice(EVENTS)])
    return {"init": init, "rules": rules, "sends": sends, "fuel": chance.randint(8, 30)}


def _term(value: Any) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, str | int) else f"{{{', '.join(map(_term, value))}}}"


def _terms(number: int, made: Scenario) -> str:
    rules = ", ".join(
        f"{{{state}, {event}}} => [{', '.join(map(_term, rule))}]" for state, event, rule in made["rules"]
    )
    init, sends = (", ".join(map(_term, made[part])) for part in ("init", "sends"))
    return f"{{{number}, [{init}], #{{{rules}}}, [{sends}], {made['fuel']}}}."


def run(scenarios: list[Scenario], *, spread: int = SPREAD) -> dict[int, list[list[str]]]:
    """What Erlang does in each scenario, by its number."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "oracle.erl", folder)
        terms = "\n".join(_terms(number, made) for number, made in enumerate(scenarios))
        Path(folder, "scenarios").write_text(f"{terms}\n", encoding="utf-8")
        subprocess.run(["erlc", "oracle.erl"], cwd=folder, check=True)
        command = ["erl", "-noshell", "-s", "oracle", "main", "-extra", "scenarios", str(spread)]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return {
        number: _in_order(trace) for number, trace in (json.loads(line) for line in done.stdout.splitlines())
    }


def _in_order(trace: list[list[str]]) -> list[list[str]]:
    """Answers that one handler gives are in the order of their calls."""
    groups = itertools.groupby(trace, lambda entry: entry[0] == "reply")
    return [
        entry for is_reply, group in groups for entry in (sorted(group, key=_number) if is_reply else group)
    ]


def _number(entry: list[str]) -> int:
    return int(entry[1])


def recorded() -> list[Scenario]:
    """The scenarios that were recorded, each with its trace."""
    with gzip.open(RECORDED, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main() -> None:
    """Record anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    scenarios = [scenario(chance) for _ in range(asked.count)]
    first, *others = (run(scenarios) for _ in range(RUNS))
    kept = []
    for number, made in enumerate(scenarios):
        trace = first[number]
        if all(other[number] == trace for other in others) and not any(
            "stray_timer" in entry for entry in trace
        ):
            kept.append({**made, "trace": trace})
    text = "".join(f"{json.dumps(each)}\n" for each in kept)
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))  # the same bytes for the same recordings
    events = sum(len(each["trace"]) for each in kept)
    sys.stdout.write(f"{len(kept)} of {len(scenarios)} kept, {events} events\n")


if __name__ == "__main__":
    main()
