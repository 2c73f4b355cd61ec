"""The entry point. It loads next to nothing, so that a signal finds somebody in charge before the rest is there."""

from __future__ import annotations

from mabeam.cli._early_signals import end_at_once_on_signals

__all__ = ("main",)


def main() -> None:
    """Run the command line."""
    end_at_once_on_signals()
    from mabeam.cli._main import run  # noqa: PLC0415 - takes tenths of a second, in which people press Ctrl-C

    run()
