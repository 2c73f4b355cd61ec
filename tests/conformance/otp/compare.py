"""Say where two trace files part.

    python -m tests.conformance.otp.compare SCENARIOS EXPECTED ACTUAL [options]

EXPECTED and ACTUAL are trace files (JSONL, .gz allowed), raw or normalized. Prints how many scenarios agree, and the first
differences.

  --diffs N        how many differing scenarios to show     (default 5)
  --tags a,b       only scenarios with one of these tags
  --skip-tags a,b  leave out scenarios with one of these tags
  --ignore a,b     event types to leave out of the comparison (e.g. terminate,up)
  --by-tag         agreement per tag
  --names          print only the names of the scenarios that differ
  --quiet          print only the count line
  --strict         compare the details of errors also in scenarios tagged "validation"

Exit status 0 when all compared scenarios agree, else 1.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.otp.normalize import Json, load_jsonl, normalize, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Difference", "describe", "first_difference", "normalized")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two traces of a scenario part.

    Attributes:
        index: number of the step; -1 when there is no trace to speak of.
        step: the step.
        part: which part of its trace, as ``PARTS`` has them; after a colon, whose.
        expected: that part of the one trace.
        actual: that part of the other.
    """

    index: int
    step: Json
    part: str
    expected: Json
    actual: Json


PARTS: Final = {
    "r": "result",
    "c": "ordered events of supervisor",
    "o": "events after the supervisor's own exit",
    "f": "events of unsupervised processes",
    "m": "EXIT/DOWN received by",
    "i": "messages received by",
}


def _strip(step: Json, ignore: set[str]) -> Json:
    if not ignore:
        return step
    out = {}
    for part, given in step.items():
        value = given
        if part in ("c", "o", "m", "i"):
            value = {whose: [e for e in events if e[0] not in ignore] for whose, events in value.items()}
            value = {whose: events for whose, events in value.items() if events}
        elif part == "f":
            value = [event for event in value if event[0] not in ignore]
        if value or part == "r":
            out[part] = value
    return out


def normalized(scenario: Json, trace: Json) -> Json:
    """The trace, normalized unless it is."""
    return trace if trace.get("norm") or "error" in trace else normalize(scenario, trace)


def _loosen(result: Json) -> Json:
    """``["error", whatever]`` becomes ``["error"]``: how a refusal is worded is not compared."""
    return result[:1] if isinstance(result, list) and result[:1] == ["error"] else result


def first_difference(
    scenario: Json, expected: Json, actual: Json, ignore: set[str] | None = None, *, strict: bool = False
) -> Difference | None:
    """Where two normalized traces of a scenario part, if they do."""
    loose = not strict and "validation" in scenario.get("tags", ())
    if "error" in expected or "error" in actual:
        if expected == actual:
            return None
        return Difference(-1, None, "error", expected.get("error"), actual.get("error"))
    entries = zip(steps_of(scenario), expected["steps"], actual["steps"], strict=False)
    for index, (step, left, right) in enumerate(entries):
        x, y = _strip(left, ignore or set()), _strip(right, ignore or set())
        if loose:
            x, y = dict(x, r=_loosen(x["r"])), dict(y, r=_loosen(y["r"]))
        if x == y:
            continue
        for part in ("r", "c", "o", "f", "m", "i", "timeout"):
            if x.get(part) == y.get(part):
                continue
            if isinstance(x.get(part), dict) and isinstance(y.get(part), dict):
                for whose in [*x[part], *(each for each in y[part] if each not in x[part])]:
                    if x[part].get(whose) != y[part].get(whose):
                        name = f"{part}:{whose}"
                        return Difference(index, step, name, x[part].get(whose), y[part].get(whose))
            return Difference(index, step, part, x.get(part), y.get(part))
    return None


def describe(scenario: Json, difference: Difference | None) -> str:
    """A difference, to be read; no difference stands for no trace."""
    if difference is None:
        return f"{scenario['name']}: no trace"
    part, _, whose = difference.part.partition(":")
    lines = [f"{scenario['name']}, step {difference.index}: {json.dumps(difference.step)[:300]}"]
    if scenario.get("doc"):
        lines.append(f"  about:    {scenario['doc']}")
    lines.append(f"  differs:  {PARTS.get(part, part)} {whose}")
    lines.append(f"  expected: {json.dumps(difference.expected)}")
    lines.append(f"  actual:   {json.dumps(difference.actual)}")
    return "\n".join(lines)


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")


def _options() -> Any:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("scenarios")
    parser.add_argument("expected")
    parser.add_argument("actual")
    parser.add_argument("--diffs", type=int, default=5)
    parser.add_argument("--tags", default="")
    parser.add_argument("--skip-tags", default="")
    parser.add_argument("--ignore", default="")
    parser.add_argument("--by-tag", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_args()


def _chosen(options: Any) -> Iterator[Json]:
    want = set(filter(None, options.tags.split(",")))
    skip = set(filter(None, options.skip_tags.split(",")))
    for scenario in load_jsonl(options.scenarios):
        tags = set(scenario.get("tags", ()))
        if not ((want and not tags & want) or tags & skip):
            yield scenario


def main() -> int:
    """Compare two files."""
    options = _options()
    ignore = set(filter(None, options.ignore.split(",")))
    expected = {trace["name"]: trace for trace in load_jsonl(options.expected)}
    actual = {trace["name"]: trace for trace in load_jsonl(options.actual) if "name" in trace}
    agree = total = missing = 0
    tags_ok: collections.Counter[str] = collections.Counter()
    tags_all: collections.Counter[str] = collections.Counter()
    bad: list[tuple[Json, Difference | None]] = []
    for scenario in _chosen(options):
        total += 1
        tags = set(scenario.get("tags", ()))
        tags_all.update(tags)
        name = scenario["name"]
        if name not in actual or name not in expected:
            missing += 1
            bad.append((scenario, None))
            continue
        pair = normalized(scenario, expected[name]), normalized(scenario, actual[name])
        difference = first_difference(scenario, *pair, ignore, strict=options.strict)
        if difference is None:
            agree += 1
            tags_ok.update(tags)
        else:
            bad.append((scenario, difference))
    percent = 100.0 * agree / total if total else 0.0
    count = f"agree: {agree} of {total} scenarios ({percent:.2f}%)"
    say(count + (f", {missing} missing" if missing else ""))
    if options.by_tag:
        for tag in sorted(tags_all):
            say(f"  {tag:<14} {tags_ok[tag]} of {tags_all[tag]}")
    if options.names:
        for scenario, _ in bad:
            say(scenario["name"])
    elif not options.quiet:
        for scenario, difference in bad[: options.diffs]:
            say("\n" + describe(scenario, difference))
    return 0 if agree == total else 1


if __name__ == "__main__":
    sys.exit(main())
