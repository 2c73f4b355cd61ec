"""The ``mabeam`` command and its subcommands."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from mabeam.cli._review import review_command

__all__ = ("main",)

app = typer.Typer(name="mabeam", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
app.command("review")(review_command)


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """mabeam: OTP supervision on asyncio, and tools built on it."""
    if version:
        typer.echo(f"mabeam {installed_version('mabeam')}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
