"""What a review is asked for, what it hands out, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mabeam.review._listing import ListedFile
    from mabeam.review._report import Report

__all__ = ("CRASHES_PER_FILE", "CRASHES_TO_GIVE_UP", "InjectedCrash", "Order", "Outcome", "Work")

CRASHES_TO_GIVE_UP = 3
"""Crashes, those by chaos left out, after which a file is given up."""
CRASHES_PER_FILE = CRASHES_TO_GIVE_UP + 1
"""Restarts that the budget allows for each file: the crashes until it is given up, and one by chaos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to review, and how.

    Attributes:
        paths: files and directories.
        codes: the rules to apply.
        workers: how many reviewers, at most.
        chaos: chance that a file's reviewer is crashed at the file's first attempt, 0 to 1.
    """

    paths: Sequence[str]
    codes: frozenset[str]
    workers: int
    chaos: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """One file for one reviewer.

    Attributes:
        file: the file.
        attempt: counts from 1.
        crash: chaos has drawn this file: its reviewer is to crash.
    """

    file: ListedFile
    attempt: int
    crash: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        report: the findings.
        injected: crashes that chaos caused.
        crashes: crashes that it did not cause.
    """

    report: Report
    injected: int
    crashes: int


class InjectedCrash(Exception):
    """A reviewer was crashed on purpose."""
