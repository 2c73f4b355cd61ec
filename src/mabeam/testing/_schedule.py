"""What made one simulated run different from the ordinary one: the choices and the faults. A value that can be written down.

Pure: values and what they read as.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, final, get_args

from mabeam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Fault", "FaultKind", "Schedule")

FaultKind: TypeAlias = Literal["crash", "kill", "delay", "late", "point"]

_PREFIX: Final = "mabeam1:"
_ORDINALS: Final = {1: "1st", 2: "2nd", 3: "3rd"}


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what happens, where, and which time the program comes there.

    Attributes:
        kind: ``crash``, ``kill``, ``delay``, ``late`` or ``point``, as in ``Faults``.
        site: the place in words: who takes which message, which timer, which fault point.
        occurrence: the how many-th time, from 1.
        seconds: how long a delay is; 0 for the others.
    """

    kind: FaultKind
    site: str
    occurrence: int
    seconds: float = 0.0

    def __str__(self) -> str:
        """In a line, as it stands in reports."""
        times = _ORDINALS.get(self.occurrence, f"{self.occurrence}th")
        how = f" by {self.seconds:g} s" if self.kind in {"delay", "late"} else ""
        return f"{self.kind}{how}: {self.site} ({times} time)"


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that is needed to run a program in the same way again.

    Attributes:
        choices: the choices that were not the ordinary one (0): their number in the order of choosing, and what was chosen.
        faults: the faults that were injected, in the order of time.
        draws: what the program's draws from ``random`` follow from.
    """

    choices: tuple[tuple[int, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    draws: int = 0

    @classmethod
    def of(cls, choices: Iterable[tuple[int, int]], faults: Iterable[Fault], draws: int) -> Self:
        """Make one from choices in any order."""
        return cls(tuple(sorted(choices)), tuple(faults), draws)

    def token(self) -> str:
        """Write it as one word, to be pasted into a test.

        Guarantees:
            ``Schedule.from_token`` makes an equal one of it, in every version of mabeam in which the word begins alike.
        """
        faults = [[fault.kind, fault.site, fault.occurrence, fault.seconds] for fault in self.faults]
        text = json.dumps([self.choices, faults, self.draws], separators=(",", ":"))
        packed = zlib.compress(text.encode(), level=9)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def from_token(cls, token: str) -> Self:
        """Read what :meth:`token` has written.

        Raises:
            UsageError: it was not written by that, or is not complete.
        """
        if not isinstance(token, str) or not token.startswith(_PREFIX):
            msg = f"replay expects the word that a failed simulation shows, it begins with {_PREFIX!r}; got {token!r}"
            raise UsageError(msg)
        packed = token.removeprefix(_PREFIX)
        try:
            text = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
            choices, faults, draws = json.loads(text)
            return cls(
                tuple((int(number), int(value)) for number, value in choices),
                tuple(
                    Fault(_kind(kind), str(site), int(number), float(seconds))
                    for kind, site, number, seconds in faults
                ),
                int(draws),
            )
        except (ValueError, TypeError, zlib.error, binascii.Error) as error:
            msg = f"the word for replay is damaged, perhaps it was not copied as a whole: {token!r} ({error})"
            raise UsageError(msg) from error


def _kind(word: object) -> FaultKind:
    if word not in get_args(FaultKind):
        msg = f"{word!r} is no kind of fault"
        raise ValueError(msg)
    return word  # type: ignore[return-value]  # one of the words, as was just seen
