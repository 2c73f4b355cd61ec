"""What a review finds: findings, and files that could not be reviewed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ("ErrorKind", "FileError", "Finding", "Severity")


class Severity(StrEnum):
    """How much a finding matters; ordered by ``rank``, the gravest first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"

    @property
    def rank(self) -> int:
        """0 for critical, 1 for major, 2 for minor."""
        return _RANKS[self]

    def is_at_least(self, other: Severity) -> bool:
        """Whether this severity is as grave as ``other``, or graver."""
        return self.rank <= other.rank


# Not the order of the members' text: as strings, "critical" < "major" < "minor" holds by accident only.
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw at one place.

    Attributes:
        file: the file as it is shown to the user, with ``/`` between its parts.
        line: first line of the flaw, from 1.
        column: first character of the flaw in that line, from 1.
        code: the rule that found it.
        severity: how much it matters here; a rule may grade its cases.
        title: the rule's name for this kind of flaw.
        observation: what the code does, with its own names.
        impact: what can come of it.
        recommendation: what to write instead.
    """

    file: str
    line: int
    column: int
    code: str
    severity: Severity
    title: str
    observation: str
    impact: str
    recommendation: str

    @property
    def sort_key(self) -> tuple[str, int, int, str, str]:
        """By place, then by code: the order of every report."""
        return (self.file, self.line, self.column, self.code, self.observation)


class ErrorKind(StrEnum):
    """Why a file was not reviewed."""

    UNREADABLE = "unreadable"
    UNPARSABLE = "unparsable"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class FileError:
    """A file, or a directory, that could not be reviewed.

    Attributes:
        file: the path as it is shown to the user, with ``/`` between its parts.
        kind: unreadable, unparsable, or given up after it crashed its reviewer too often.
        message: one sentence for the user, without a path of this machine in it.
    """

    file: str
    kind: ErrorKind
    message: str

    @property
    def sort_key(self) -> tuple[str, str, str]:
        """By file, then by kind: the order of every report."""
        return (self.file, self.kind.value, self.message)
