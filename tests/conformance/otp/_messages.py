"""What scripted processes send each other."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Info",)


@dataclass(frozen=True, slots=True)
class Info:
    """A message that a script sends."""

    value: object
