"""The command line."""

from mabeam.cli._entry import main

__all__ = ("main",)
