"""Mutation tests: change one thing in a module, and see that a test notices. A part of ``make proof``.

    python -m tests.proof.mutants [--jobs N] [MODULE ...]

For each module of ``_table.py`` and each of its mutants the tests of that module are run. A mutant that they do not notice
has survived: either a test is missing, or the change makes no difference. Which of the two it is has to be said, in
``excuses.toml``; a survivor without an excuse is a failure, and so is an excuse without a survivor. A mutant that hangs is
dead.

Own code, and not one of the two libraries that there are for it: mutmut changes nothing outside of functions (defaults of
options, frozen values, decorators), numbers its mutants, so that no excuse survives an edit, and works in a folder inside
the checkout; cosmic-ray edits the modules where they are, starts an interpreter for each mutant, and spends half of them on
annotations, which are not evaluated here. Each brings more than twenty packages. The operators here are nearly the union
of theirs, and a mutant takes about a second.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.proof._excuses import FILE, Excuse, as_toml, load, match
from tests.proof._operators import Mutant, mutants_of
from tests.proof._table import TABLE
from tests.proof._trial import Trial, run_all, warm_up

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("src", "tests", "docs", "pyproject.toml", "README.md")
clock = time.monotonic  # noqa: TID251  (a program that has to give up on what hangs, not a test)


def say(line: str) -> None:
    """Tell whoever runs this."""
    print(line, flush=True)  # noqa: T201  (a program that talks to its user)


def copy_checkout(target: Path) -> None:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("*.pyc", ".hypothesis", ".*_cache")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)


def baseline(module: str, source: str, copy: Path) -> float:
    """Seconds that the tests take on the module as it is.

    Raises:
        SystemExit: they do not pass, so they say nothing about mutants.
    """
    trial = Trial(module, source, TABLE[module], copy=copy, limit=600.0)
    list(run_all([trial], jobs=1, clock=clock))
    if not trial.passed:
        log = max(copy.glob("trial-*.log"), key=lambda path: path.stat().st_mtime)
        sys.exit(f"{module}: its tests do not pass as it is:\n{log.read_text(encoding='utf-8')}")
    return trial.seconds


def survivors_of(module: str, source: str, copy: Path, jobs: int) -> tuple[list[Mutant], str]:
    """Run all mutants of a module; those that survive, and the line that says how it went."""
    seconds = baseline(module, source, copy)
    limit = 5.0 + 5.0 * seconds
    mutants = mutants_of(source)
    trials = {
        Trial(module, mutant.source, TABLE[module], copy=copy, limit=limit): mutant for mutant in mutants
    }
    began, hung, alive = clock(), 0, []
    for trial in run_all(list(trials), jobs=jobs, clock=clock):
        hung += trial.hung
        if trial.passed:
            alive.append(trials[trial])
    for log in copy.glob("trial-*.log"):
        log.unlink()
    killed = len(mutants) - len(alive)
    text = f"{module}: {len(mutants)} mutants, {killed} killed ({hung} of them hung), {len(alive)} survived"
    alive.sort(key=lambda mutant: mutant.line)
    return alive, f"{text}, {clock() - began:.0f} s"


def difference(module: str, source: str, mutant: Mutant) -> str:
    """What a mutant changes, as a reader of patches knows it."""
    lines = difflib.unified_diff(
        source.splitlines(),
        mutant.source.splitlines(),
        module,
        f"{module} in {mutant.where}",
        lineterm="",
        n=1,
    )
    return "\n".join(f"    {line}" for line in lines)


def judge(module: str, source: str, alive: list[Mutant], excuses: list[Excuse], *, verbose: bool) -> int:
    """Print what has to be looked at; answers how many mistakes that is."""
    excused, unexcused, unneeded = match(module, alive, excuses)
    for mutant, excuse in excused if verbose else ():
        say(f"  excused: {excuse.why}\n{difference(module, source, mutant)}")
    for mutant in unexcused:
        say(
            f"  SURVIVED, line {mutant.line}:\n{difference(module, source, mutant)}\n{as_toml(module, mutant)}"
        )
    known = {mutant.key for mutant in mutants_of(source)}
    for excuse in unneeded:
        why = "a test notices it" if excuse.key in known else "there is no such mutant any more"
        say(f"  NOT NEEDED, {why}: the excuse for {excuse.key}")
    return len(unexcused) + len(unneeded)


def main() -> int:
    """0 when every mutant is dead or excused."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("modules", nargs="*", help="below src/mabeam; all of the table unless given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="show those that are excused as well")
    options = parser.parse_args()
    modules = options.modules or list(TABLE)
    excuses = load()
    mistakes = sum(excuse.module not in TABLE for excuse in excuses)
    total = survived = 0
    warm_up()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = Path(directory)
        copy_checkout(copy)
        for module in modules:
            source = (copy / "src" / "mabeam" / module).read_text(encoding="utf-8")
            alive, line = survivors_of(module, source, copy, options.jobs)
            say(line)
            mistakes += judge(module, source, alive, excuses, verbose=options.verbose)
            total, survived = total + len(mutants_of(source)), survived + len(alive)
    say(
        f"{total} mutants in {len(modules)} modules: {total - survived} killed, {survived} survived, {mistakes} to look at"
    )
    if mistakes:
        say(
            f"Write a test that fails, or an excuse into {FILE.relative_to(ROOT)} (see docs/how-to/prove.md)."
        )
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
