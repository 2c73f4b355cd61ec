"""Which rules are asked for: ``--select`` and ``--ignore``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mabeam.errors import UsageError
from mabeam.review._rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("known_codes", "select_codes")


def known_codes() -> tuple[str, ...]:
    """Return the codes of all rules, in order."""
    return tuple(RULES)


def select_codes(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """Work out which rules to run.

    Args:
        select: codes or their beginnings, each maybe several with commas (``"MB101,MB00"``); nothing means all.
        ignore: the same; it is taken away from what was selected.

    Returns:
        The codes of the rules to run; it may be empty.

    Raises:
        UsageError: something is neither a code nor the beginning of one. All such words are named at once, with the
            codes that there are.
    """
    chosen, unknown = _expand(select)
    dropped, unknown_too = _expand(ignore)
    problems = [
        *(f"--select: {word!r} is no rule" for word in unknown),
        *(f"--ignore: {word!r} is no rule" for word in unknown_too),
    ]
    if problems:
        known = ", ".join(f"{rule.code} ({rule.title.lower()})" for rule in RULES.values())
        raise UsageError(
            f"Expected codes of rules, or how they begin, but {'; '.join(problems)}. The rules are: {known}.",
            problems=problems,
        )
    return (frozenset(chosen) if chosen else frozenset(RULES)) - frozenset(dropped)


def _expand(words: Iterable[str]) -> tuple[list[str], list[str]]:
    codes: list[str] = []
    unknown: list[str] = []
    for word in (part for text in words for part in re.split(r"[\s,]+", text) if part):
        matching = [code for code in RULES if code.startswith(word.upper())]
        codes.extend(matching)
        if not matching:
            unknown.append(word)
    return codes, unknown
