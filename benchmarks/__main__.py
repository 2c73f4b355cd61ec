"""The command line: ``python -m benchmarks kernel [--quick] [--only NAME] [--json FILE] [--report]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._budget import verdicts
from benchmarks._measure import Plan, run_suite
from benchmarks._report import PAGE, budget_table, measure_table, page
from benchmarks._results import KEPT, Run, dumps, kept, loads
from benchmarks._suite import SUITES, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._suite import Measure, Suite

__all__ = ("main",)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures mabeam beside its peers, in one run on one machine.",
    )
    parser.add_argument("suite", choices=[*SUITES, "all"], help="what to measure")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, one OS process each: to see that it works, not to compare",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this measure only; may be given again"
    )
    parser.add_argument(
        "--subject", action="append", default=[], metavar="NAME", help="this subject only; may be given again"
    )
    parser.add_argument(
        "--repetitions",
        type=int,
        default=3,
        metavar="N",
        help="OS processes for each measure of each subject (3)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="the folder whose disk is described",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run there as JSON")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FILE", help="do not measure; take the run from there"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help=f"keep the run under benchmarks/{KEPT.name}, and make docs/reference/{PAGE.name} from all that is kept",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, and write down; 1 when something failed, a missed budget is no failure."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = list(SUITES) if options.suite == "all" else [options.suite]
    if len(names) > 1 and (options.json or options.source):
        parser.error("--json and --from are about one suite")
    failed = False
    for name in names:
        suite = load(name)
        _check_names(parser, "--only", options.only, [each.name for each in suite.measures])
        _check_names(parser, "--subject", options.subject, [each.name for each in suite.subjects])
        if options.source is not None:
            run = loads(options.source.read_text(encoding="utf-8"))
            run["budgets"] = [each.to_json() for each in verdicts(suite, run)]  # they may have changed since
        else:
            run = run_suite(suite, _plan(options), show=_show, progress=_progress)
        print(f"\n{budget_table(run)}")
        failed |= any("failed" in each for outcomes in run["measures"].values() for each in outcomes.values())
        if options.json is not None:
            options.json.write_text(dumps(run), encoding="utf-8")
        if options.report:
            KEPT.mkdir(exist_ok=True)
            (KEPT / f"{name}.json").write_text(dumps(run), encoding="utf-8")
    if options.report:
        PAGE.write_text(page(kept()), encoding="utf-8")
    return int(failed)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        quick=options.quick,
        repetitions=options.repetitions,
        measures=options.only,
        subjects=options.subject,
        directory=options.directory,
    )


def _check_names(parser: argparse.ArgumentParser, option: str, given: list[str], known: list[str]) -> None:
    unknown = [each for each in given if each not in known]
    if unknown:
        parser.error(f"{option}: there is no {', '.join(unknown)}; there are: {', '.join(known)}")


def _progress(text: str) -> None:
    # Only where somebody looks: in a file each line would stay.
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _show(suite: Suite, run: Run, measure: Measure) -> None:
    _progress("")
    loads_seen = [each["load"] for each in run["measures"][measure.name].values() if "load" in each]
    load_text = f" (load average up to {max(loads_seen):.1f})" if loads_seen else ""
    print(f"\n## {measure.title}{load_text}\n\n{measure_table(suite, run, measure)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
