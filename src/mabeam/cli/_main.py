"""The ``mabeam`` command and its subcommands."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from mabeam.cli._output import open_standard_streams
from mabeam.cli._review import review_command

__all__ = ("run",)

app = typer.Typer(
    name="mabeam",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("review")(review_command)


def _show_version(asked: bool) -> None:  # noqa: FBT001  (the framework calls it)
    if asked:
        typer.echo(f"mabeam {installed_version('mabeam')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """mabeam: OTP supervision on asyncio, and tools built on it."""


def run() -> None:
    """Run the command that was asked for."""
    open_standard_streams()
    app()
