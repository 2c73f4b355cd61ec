"""The only road to chance: whoever draws is given a generator.

A part that makes random choices takes a :data:`Random` as an argument. Programs pass :func:`system_random`, tests and
simulations :func:`seeded_random`, and nothing draws from the interpreter's shared generator.
"""

from __future__ import annotations

import random  # noqa: TID251  (this file is what the ban points to)
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Random", "seeded_random", "shared_random_seeded", "system_random")

Random = random.Random
"""The type of a generator, for annotations."""


def system_random() -> Random:
    """Make a generator that nobody can predict or repeat.

    Guarantees:
        Seeded from the operating system, and shared with nobody.

    Returns:
        A new generator.
    """
    return random.Random()  # noqa: S311  (jitter and sampling, no secrets)


def seeded_random(seed: int | str) -> Random:
    """Make a generator whose draws can be repeated.

    Guarantees:
        Equal seeds give equal draws, in every interpreter and on every platform.

    Args:
        seed: what the draws follow from.

    Returns:
        A new generator.

    Example:
        >>> seeded_random(7).random() == seeded_random(7).random()
        True
    """
    return random.Random(seed)  # noqa: S311  (repeatable is the point)


@contextmanager
def shared_random_seeded(seed: int | str) -> Iterator[None]:
    """Make the draws from the interpreter's shared generator repeatable while the block runs.

    Nothing of ours draws from it; programs of users do (``random.choice``), and a simulation must replay them.

    Args:
        seed: what the draws follow from.

    Yields:
        Nothing. Afterwards the generator goes on where it was before the block.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
