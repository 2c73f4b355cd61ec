"""Turn a raw trace (flat, in the order things were observed) into a normalized one.

In a normalized trace only the orders that OTP guarantees are left to compare. The same code is applied to the oracle's
traces and to those of an implementation under test. See README.md, "Normalization".

    python -m tests.conformance.otp.normalize SCENARIOS RAW OUT
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Json", "dump_jsonl", "load_jsonl", "normalize", "steps_of")

Json: TypeAlias = Any

SUP_DYNAMIC: Final = ("simple_one_for_one", "dynamic", "task")
CHAIN: Final = ("init", "up", "terminate", "exit")
UNORDERED_MSGS: Final = ("EXIT", "DOWN")


def key_of(inst: str) -> str:
    """The key of an incarnation."""
    return inst.rsplit("#", 1)[0]


class _State:
    def __init__(self) -> None:
        self.parent: dict[str, str | None] = {}
        """key -> key of its supervisor, or None"""
        self.kind: dict[str, str] = {}
        """supervisor key -> strategy"""
        self.latest: dict[str, str] = {}
        """supervisor key -> latest instance"""
        self.chain_of: dict[str, str | None] = {}
        """instance -> chain (supervisor instance or "-")"""
        self.gone: set[str] = set()
        """supervisor instances that have exited"""

    def learn_spec(self, spec: Json, parent: str | None) -> None:
        key = spec.get("id")
        if key is None:
            return
        self.parent[key] = parent
        if spec.get("type") == "supervisor":
            self.kind[key] = spec.get("strategy", "one_for_one")
            for child in spec.get("children", ()):
                self.learn_spec(child, key)

    def learn_step(self, step: Json) -> None:
        op = step["op"]
        if op == "start_sup":
            self.learn_spec(step["spec"], None)
        elif op == "start_child":
            self.learn_spec(step["child"], step["sup"])
        elif op == "async":
            self.learn_step(step["step"])
        elif op in ("do", "call"):
            self.learn_act(step["act"])

    def learn_act(self, act: Json) -> None:
        if act and act[0] == "task":
            self.parent[act[2]] = act[3]
        elif act and act[0] == "seq":
            for each in act[1]:
                self.learn_act(each)

    def chain_for(self, event: Json) -> str | None:
        """The list that an event of :data:`CHAIN` stands in; None for a process without a supervisor."""
        inst = event[1]
        key = key_of(inst)
        if event[0] == "init":
            parent = self.parent.get(key)
            if key in self.kind:
                self.chain_of[inst] = self.latest.get(parent) if parent else "-"
                self.latest[key] = inst
            else:
                self.chain_of[inst] = self.latest.get(parent) if parent else None
        return self.chain_of.get(inst)


def _sort_key(event: Json) -> tuple[str, int, int, str]:
    """Sort by process, then in the order in which one process's own events happen."""
    rank = {"terminate": 0, "exit": 1}.get(event[0], 2)
    key, _, number = event[1].rpartition("#")
    return (key, int(number or 0), rank, json.dumps(event))


def _sort_runs(events: list[Json]) -> list[Json]:
    """Sort each maximal run of terminate/exit events."""
    out: list[Json] = []
    run: list[Json] = []
    for event in events:
        if event[0] in ("terminate", "exit"):
            run.append(event)
        else:
            out += sorted(run, key=_sort_key)
            run = []
            out.append(event)
    return out + sorted(run, key=_sort_key)


def steps_of(scenario: Json) -> list[Json]:
    """The steps of a scenario, the start of its root included."""
    steps = list(scenario["steps"])
    if "root" in scenario:
        steps.insert(0, {"op": "start_sup", "spec": scenario["root"]})
    return steps


def normalize(scenario: Json, raw: Json) -> Json:
    """The normalized form of a raw trace."""
    state = _State()
    steps = steps_of(scenario)
    if "error" in raw:
        return {"name": scenario["name"], "error": raw["error"]}
    if len(raw["steps"]) != len(steps):
        return {
            "name": scenario["name"],
            "error": f"{len(raw['steps'])} steps reported, {len(steps)} expected",
        }
    out = [_normalize_step(state, step, entry) for step, entry in zip(steps, raw["steps"], strict=True)]
    return {"name": scenario["name"], "norm": 1, "steps": out}


def _normalize_step(state: _State, step: Json, entry: Json) -> Json:
    state.learn_step(step)
    chains: dict[str, list[Json]] = {}
    orphans: dict[str, list[Json]] = {}
    msgs: dict[str, list[Json]] = {}
    infos: dict[str, list[Json]] = {}
    free: list[Json] = []

    def put(chain: str, event: Json) -> None:
        (orphans if chain in state.gone else chains).setdefault(chain, []).append(event)

    for event in entry["e"]:
        kind, inst = event[0], event[1]
        if kind not in CHAIN:
            (msgs if kind in UNORDERED_MSGS else infos).setdefault(inst, []).append([kind, *event[2:]])
            continue
        chain = state.chain_for(event)
        if chain is None:
            free.append(event)
        else:
            put(chain, event)
        if key_of(inst) in state.kind and kind in ("up", "exit"):
            put(inst, event)
            if kind == "exit":
                state.gone.add(inst)
    norm = {"r": entry["r"]}
    if entry.get("timeout"):
        norm["timeout"] = True
    chains = _without_refused(state, entry["e"], chains)
    if chains:
        norm["c"] = {
            chain: _sort_runs(events)
            if chain != "-" and state.kind.get(key_of(chain)) in SUP_DYNAMIC
            else events
            for chain, events in chains.items()
        }
    if orphans:
        norm["o"] = {chain: sorted(events, key=_sort_key) for chain, events in orphans.items()}
    if free:
        norm["f"] = sorted(free, key=_sort_key)
    # a process that ends in this step may or may not have seen its last messages
    dying = {event[1] for event in entry["e"] if event[0] == "exit"}
    msgs = {inst: found for inst, found in msgs.items() if inst not in dying}
    if msgs:
        norm["m"] = {inst: sorted(found, key=json.dumps) for inst, found in msgs.items()}
    if infos:
        norm["i"] = infos
    return norm


def _without_refused(
    state: _State, events: list[Json], chains: dict[str, list[Json]]
) -> dict[str, list[Json]]:
    """Leave out supervisors that neither came up nor tried to start a child.

    Their spec was refused; whether their init ran before the check is not compared.
    """
    up = {event[1] for event in events if event[0] == "up"}
    refused = {
        event[1]
        for event in events
        if event[0] == "init"
        and event[2] == "ok"
        and key_of(event[1]) in state.kind
        and event[1] not in chains
        and event[1] not in up
    }
    if not refused:
        return chains
    kept = {chain: [event for event in found if event[1] not in refused] for chain, found in chains.items()}
    return {chain: found for chain, found in kept.items() if found}


def load_jsonl(path: str | Path) -> list[Json]:
    """The lines of a file, gzipped or not."""
    data = Path(path).read_bytes()
    text = (gzip.decompress(data) if str(path).endswith(".gz") else data).decode()
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def dump_jsonl(path: str | Path, rows: Iterable[Json]) -> None:
    """Write lines to a file, gzipped or not; the same rows give the same bytes."""
    data = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
    Path(path).write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def main(scenarios: str, raw: str, out: str) -> None:
    """Normalize a file."""
    pairs = zip(load_jsonl(scenarios), load_jsonl(raw), strict=True)
    dump_jsonl(out, [normalize(scenario, trace) for scenario, trace in pairs])


if __name__ == "__main__":
    main(*sys.argv[1:4])
