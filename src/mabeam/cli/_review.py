"""``mabeam review PATH``: its options, its exit codes, and where its report goes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mabeam.cli._review_view import Crashes, PlainView, TeamView, View, last_line
from mabeam.errors import MabeamError, UsageError
from mabeam.kernel import Runtime, spawn_link
from mabeam.review import Order, Outcome, ReportFormat, Severity, known_codes, render, review, select_codes
from mabeam.telemetry import Bus

__all__ = ("review_command",)

EXIT_CLEAN, EXIT_FOUND, EXIT_USAGE = 0, 1, 2


class FailOn(StrEnum):
    """From which severity on findings make the exit code 1."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    NEVER = "never"


def review_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and directories to review.")],
    *,
    output_format: Annotated[
        ReportFormat, typer.Option("--format", help="How the report is written.")
    ] = ReportFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option(help="Write the report to this file instead of standard output.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Reviewers at work at once.")] = max(
        2, os.cpu_count() or 1
    ),
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
    try:
        codes = select_codes(select or (), ignore or ())
    except UsageError as error:
        _refuse(str(error))
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        _refuse(f"no such file or directory: {', '.join(missing)}")
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        _refuse(f"cannot write the report to {output}: it is a directory, or its directory does not exist")
    if not codes:
        _refuse(f"--select and --ignore leave no rule; known: {', '.join(known_codes())}")
    order = Order(paths=paths, codes=codes, workers=workers, chaos=chaos)
    outcome = _run(order, verbose=verbose)
    _write(render(outcome.report, output_format), output)
    typer.echo(last_line(outcome), err=True)
    raise typer.Exit(_exit_code(outcome, fail_on))


def _run(order: Order, *, verbose: bool) -> Outcome:
    """Run the team, and show it at work on standard error."""
    bus = Bus()
    crashes = Crashes(verbose=verbose)
    logging.getLogger("mabeam").addFilter(crashes)
    view: View = PlainView(order)
    if sys.stderr.isatty():
        view = TeamView(order)
    bus.attach(view.handle)

    async def main() -> Outcome:
        screen = spawn_link(view.show)
        outcome = await review(order)
        await view.end(screen)
        return outcome

    try:
        return Runtime(bus=bus, max_threads=order.workers + 2).run(main)
    except MabeamError as error:
        typer.echo(f"mabeam review failed; this is a fault of mabeam, please report it: {error}", err=True)
        raise typer.Exit(EXIT_FOUND) from None
    except KeyboardInterrupt:
        typer.echo("mabeam review: interrupted, there is no report", err=True)
        raise typer.Exit(130) from None
    finally:
        logging.getLogger("mabeam").removeFilter(crashes)


def _write(text: str, output: Path | None) -> None:
    """Write the report; a file is replaced in one step, so that nobody ever sees half of one."""
    data = text.encode("utf-8")
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            file.write(data)
        Path(file.name).replace(output)
    except OSError as error:
        _refuse(f"cannot write the report to {output}: {error.strerror or error}")


def _exit_code(outcome: Outcome, fail_on: FailOn) -> int:
    if fail_on is FailOn.NEVER:
        return EXIT_CLEAN
    worst = outcome.report.worst()
    found = worst is not None and worst.is_at_least(Severity(fail_on.value))
    return EXIT_FOUND if found or outcome.report.errors else EXIT_CLEAN


def _refuse(problem: str) -> NoReturn:
    typer.echo(f"mabeam review: {problem}", err=True)
    raise typer.Exit(EXIT_USAGE)
