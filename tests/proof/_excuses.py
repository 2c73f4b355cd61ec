"""Why certain mutants may live: one sentence for each, in ``excuses.toml``.

An excuse is good for as long as the lines that it is about stay as they are and their mutant survives. One that is not
needed any more is an error, so that the file cannot grow old.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.proof._operators import Mutant

__all__ = ("FILE", "Excuse", "as_toml", "load", "match")

FILE: Final = Path(__file__).with_name("excuses.toml")


@dataclass(frozen=True, slots=True)
class Excuse:
    """One mutant that may live.

    Attributes:
        module: the file, below ``src/mabeam``.
        key: the function, the lines, and what stands there instead: as in ``Mutant``.
        why: the reason, in one sentence.
    """

    module: str
    key: tuple[str, str, str]
    why: str


def load(path: Path = FILE) -> list[Excuse]:
    """Every excuse there is.

    Raises:
        ValueError: one has no reason, or is there twice.
    """
    found: list[Excuse] = []
    for module, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for entry in entries:
            excuse = Excuse(module, (entry["where"], entry["before"], entry["after"]), entry["why"])
            if len(excuse.why.split()) < 3:
                raise ValueError(f"{path.name}: an excuse needs a reason that can be judged: {excuse}")
            if any((each.module, each.key) == (excuse.module, excuse.key) for each in found):
                raise ValueError(f"{path.name}: there twice: {excuse}")
            found.append(excuse)
    return found


def match(
    module: str, survivors: Iterable[Mutant], excuses: Iterable[Excuse]
) -> tuple[list[tuple[Mutant, Excuse]], list[Mutant], list[Excuse]]:
    """Compare the survivors of a module with its excuses.

    Returns:
        Those that are excused, those that are not, and the excuses that nobody needs.
    """
    left = {excuse.key: excuse for excuse in excuses if excuse.module == module}
    excused: list[tuple[Mutant, Excuse]] = []
    alive: list[Mutant] = []
    for mutant in survivors:
        excuse = left.pop(mutant.key, None)
        if excuse is None:
            alive.append(mutant)
        else:
            excused.append((mutant, excuse))
    return excused, alive, list(left.values())


def as_toml(module: str, mutant: Mutant) -> str:
    """The beginning of an excuse for a mutant, to be pasted and given its reason."""
    lines = [f"[[{_quoted(module)}]]"]
    lines += [
        f"{name} = {_quoted(text)}"
        for name, text in zip(("where", "before", "after"), mutant.key, strict=True)
    ]
    return "\n".join([*lines, 'why = ""'])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f"'{text}'" if "'" not in text else f'"{escaped}"'
