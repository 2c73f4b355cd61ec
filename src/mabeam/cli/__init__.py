"""The command line."""

from mabeam.cli._main import main

__all__ = ("main",)
