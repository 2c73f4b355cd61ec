"""The books that the team keeps: what has come of each file so far, and who crashed over it. Values only, no processes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from mabeam.kernel import Crashed
from mabeam.review._finding import ErrorKind, FileError
from mabeam.review._order import CRASHES_TO_GIVE_UP, InjectedCrash
from mabeam.review._report import make_report

if TYPE_CHECKING:
    from mabeam.kernel import ExitReason
    from mabeam.review._finding import Finding
    from mabeam.review._listing import ListedFile, Listing
    from mabeam.review._report import Report

__all__ = ("Crashes", "Results", "in_words")


class Results:
    """Findings and errors, and which files they are of; each file counts once, however often it is handed in."""

    def __init__(self) -> None:
        """With nothing known, not even how many files there are."""
        self._findings: list[Finding] = []
        self._errors: list[FileError] = []
        self._done: set[ListedFile] = set()
        self._expected: int | None = None

    def expect(self, listing: Listing) -> None:
        """Learn how many files there are, and what could not even be listed."""
        self._expected = len(listing.files)
        self._errors.extend(listing.errors)
        gone = "no such file or directory"
        self._errors.extend(FileError(path, ErrorKind.UNREADABLE, gone) for path in listing.missing)

    def add(self, file: ListedFile, result: tuple[Finding, ...] | FileError) -> bool:
        """Take the result for a file; answer whether it is news."""
        if file in self._done:
            return False
        self._done.add(file)
        if isinstance(result, FileError):
            self._errors.append(result)
        else:
            self._findings.extend(result)
        return True

    def give_up(self, file: ListedFile, reason: str) -> bool:
        """Take note that there will be no result for a file; answer whether it is news."""
        text = f"given up: its review crashed {CRASHES_TO_GIVE_UP} times, the last time with {reason}"
        return self.add(file, FileError(file.shown_as, ErrorKind.GIVEN_UP, text))

    def report(self) -> Report | None:
        """Make the report, once every file is accounted for."""
        if self._expected is None or len(self._done) < self._expected:
            return None
        return make_report(self._findings, self._errors, files=self._expected)


class Crashes:
    """How often reviewers crashed, on purpose and otherwise.

    Attributes:
        injected: crashes that chaos caused.
    """

    def __init__(self) -> None:
        """With none so far."""
        self.injected = 0
        self._others: Counter[ListedFile] = Counter()

    @property
    def others(self) -> int:
        """Crashes that chaos did not cause."""
        return self._others.total()

    def count(self, file: ListedFile, reason: ExitReason) -> bool:
        """Count one; answer whether the file may be tried again."""
        if isinstance(reason, Crashed) and isinstance(reason.exception, InjectedCrash):
            self.injected += 1
        else:
            self._others[file] += 1
        return self._others[file] < CRASHES_TO_GIVE_UP


def in_words(reason: ExitReason) -> str:
    """Say why a reviewer died, the same in every run: on one line, and without the addresses of objects."""
    if not isinstance(reason, Crashed):
        return repr(reason)
    text = f"{type(reason.exception).__name__}: {reason.exception}".rstrip(": ")
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(text.split()))[:200]
