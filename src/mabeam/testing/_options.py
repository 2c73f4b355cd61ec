"""What the options of a simulation may be: the same for ``simulate``, ``replay`` and the markers of the pytest plugin.

Each check returns what is wrong, in words, so that all of it is told at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from mabeam.errors import UsageError
from mabeam.kernel import is_seconds
from mabeam.testing._faults import Faults

__all__ = (
    "refuse",
    "wrong_count",
    "wrong_faults",
    "wrong_flag",
    "wrong_limits",
    "wrong_seed",
    "wrong_seeds",
)


def refuse(how: str, *problems: str) -> None:
    """Refuse to go on, if there are problems.

    Raises:
        UsageError: there are; all of them.
    """
    if problems:
        raise UsageError(f"{how}: {'; '.join(problems)}", problems=problems)


def wrong_seeds(seeds: object) -> list[str]:
    """Which seeds, or how many."""
    if _is_integer(seeds) and seeds >= 1:
        return []
    if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes):
        return []
    return [f"seeds expects how many seeds, at least 1, or which, such as [17], got {seeds!r}"]


def wrong_seed(seed: object) -> list[str]:
    """One of those."""
    return [] if _is_integer(seed) else [f"seeds expects integers, got {seed!r} among them"]


def wrong_faults(faults: object, max_faults: object) -> list[str]:
    """Which faults, and how many."""
    problems = []
    if faults is not None and not isinstance(faults, Faults):
        hint = f": Faults(crash={faults})" if isinstance(faults, int | float) else ""
        problems.append(f"faults expects a Faults, or None for none, got {faults!r}{hint}")
    return [*problems, *wrong_count("max_faults", max_faults, "faults", 0)]


def wrong_limits(
    max_steps: object, max_virtual_seconds: object, check_mutation: object, tolerate: object
) -> list[str]:
    """How far one run may go, and what is looked at."""
    problems = wrong_count("max_steps", max_steps, "steps", 1)
    if not is_seconds(max_virtual_seconds):
        problems.append(f"max_virtual_seconds expects seconds, got {max_virtual_seconds!r}")
    problems += wrong_flag("check_mutation", check_mutation)
    if not isinstance(tolerate, tuple) or not all(
        isinstance(each, type) and issubclass(each, BaseException) for each in tolerate
    ):
        problems.append(
            f"tolerate expects a tuple of exception classes, such as (ProcessDied,), got {tolerate!r}"
        )
    return problems


def wrong_count(name: str, value: object, of_what: str, least: int) -> list[str]:
    """A number of something."""
    if _is_integer(value) and value >= least:
        return []
    return [f"{name} expects a number of {of_what} >= {least}, got {value!r}"]


def wrong_flag(name: str, value: object) -> list[str]:
    """Yes or no."""
    return [] if isinstance(value, bool) else [f"{name} expects True or False, got {value!r}"]


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
