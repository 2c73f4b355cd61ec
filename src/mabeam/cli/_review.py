"""``mabeam review PATH``: its options and its exit codes."""

from __future__ import annotations

import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mabeam.cli._output import check_writable, say, write_report
from mabeam.cli._review_view import Crashes, PlainView, TeamView, View, last_line
from mabeam.cli._signals import ending_on_signals
from mabeam.errors import MabeamError, UsageError
from mabeam.kernel import Runtime, spawn_link
from mabeam.review import Order, Outcome, ReportFormat, Severity, known_codes, render, review, select_codes
from mabeam.telemetry import Bus

__all__ = ("review_command",)

EXIT_CLEAN, EXIT_FOUND, EXIT_USAGE = 0, 1, 2

MAX_WORKERS = 256
# Reviewers share one interpreter: more of them than this only wait for each other.
WORKERS = max(2, min(os.cpu_count() or 1, 16))
# A function that hangs cannot be interrupted and keeps its thread: the others must not run out of them.
SPARE_THREADS = 128


class FailOn(StrEnum):
    """From which severity on findings make the exit code 1."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    NEVER = "never"


def review_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files and directories to review.")],
    *,
    output_format: Annotated[
        ReportFormat, typer.Option("--format", help="How the report is written.")
    ] = ReportFormat.TEXT,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the report to this file; `-` is standard output."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, max=MAX_WORKERS, help="Reviewers at work at once.", show_default=str(WORKERS)),
    ] = WORKERS,
    select: Annotated[
        list[str] | None, typer.Option(help="Apply these rules only: codes or their beginnings, with commas.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Leave these rules out: codes or their beginnings.")
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with 1 if there is a finding this severe, or a file not reviewed.")
    ] = FailOn.MINOR,
    chaos: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Chance that a file's reviewer is crashed at its first attempt."),
    ] = 0.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of every crash.")] = False,
) -> None:
    """Review asyncio code for what goes wrong in production: dropped tasks, blocked loops, swallowed cancellations.

    A supervised team of reviewers does it; one that crashes is restarted and no file is lost. Exit code 0: nothing at or
    above --fail-on. 1: findings, or files that could not be reviewed. 2: wrong usage.
    """
    output = None if output == Path("-") else output
    with ending_on_signals("there is no report"):
        order = Order(paths=paths, codes=_codes(select, ignore), workers=workers, chaos=chaos)
        _check_paths(paths)
        if output is not None and (problem := check_writable(output)):
            _refuse(f"cannot write the report to {output}: {problem}")
        outcome = _run(order, verbose=verbose)
        try:
            write_report(render(outcome.report, output_format).encode("utf-8"), output)
        except OSError as error:
            _refuse(f"cannot write the report to {output or 'standard output'}: {error.strerror or error}")
    say(last_line(outcome))
    raise typer.Exit(_exit_code(outcome, fail_on))


def _codes(select: list[str] | None, ignore: list[str] | None) -> frozenset[str]:
    try:
        codes = select_codes(select or (), ignore or ())
    except UsageError as error:
        _refuse(str(error))
    if not codes:
        _refuse(f"--select and --ignore leave no rule; known: {', '.join(known_codes())}")
    return codes


def _check_paths(paths: list[str]) -> None:
    missing = []
    for path in paths:
        try:
            os.stat(path)  # noqa: PTH116 - as it was written: a Path drops what makes `a.py/` wrong, and takes "" for "."
        except (FileNotFoundError, NotADirectoryError):
            missing.append(path or "''")
        except OSError:
            pass  # it is there and cannot be looked at: that belongs into the report
    if missing:
        _refuse(f"no such file or directory: {', '.join(missing)}")


def _run(order: Order, *, verbose: bool) -> Outcome:
    """Run the team, and show it at work on standard error."""
    bus = Bus()
    crashes = Crashes(verbose=verbose)
    view: View = TeamView(order) if _is_live() else PlainView(order)
    bus.attach(view.handle)

    async def main() -> Outcome:
        screen = spawn_link(view.show)
        outcome = await review(order)
        await view.end(screen)
        return outcome

    logging.getLogger("mabeam").addFilter(crashes)
    try:
        return Runtime(bus=bus, max_threads=order.workers + SPARE_THREADS).run(main)
    except MabeamError as error:
        say(
            f"mabeam review failed and there is no report. This is a fault of mabeam, please report it: {error}"
        )
        raise typer.Exit(EXIT_FOUND) from None
    finally:
        logging.getLogger("mabeam").removeFilter(crashes)


def _is_live() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def _exit_code(outcome: Outcome, fail_on: FailOn) -> int:
    if fail_on is FailOn.NEVER:
        return EXIT_CLEAN
    worst = outcome.report.worst()
    found = worst is not None and worst.is_at_least(Severity(fail_on.value))
    return EXIT_FOUND if found or outcome.report.errors else EXIT_CLEAN


def _refuse(problem: str) -> NoReturn:
    say(f"mabeam review: {problem}")
    raise typer.Exit(EXIT_USAGE)
