"""The only road to chance: whoever draws is given a generator.

A part that makes random choices takes a :data:`Random` as an argument. Programs pass :func:`system_random`, tests
:func:`seeded_random`, and nothing draws from the interpreter's shared generator. A simulation decides what both the shared
generator and those of :func:`system_random` give.
"""

from __future__ import annotations

import random  # noqa: TID251  (this file is what the ban points to)
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Random", "all_random_seeded", "seeded_random", "system_random", "unique_id")

Random = random.Random
"""The type of a generator, for annotations."""


@final
class _SystemRandom(random.Random):
    """Looks in the moment of drawing who decides: a policy is mostly made with its module, long before a simulation."""

    seeded: ClassVar[Random | None] = None
    """What all of them draw from while :func:`all_random_seeded` is active."""

    def random(self) -> float:
        seeded = _SystemRandom.seeded
        return random.Random.random(self) if seeded is None else seeded.random()

    def getrandbits(self, k: int, /) -> int:
        seeded = _SystemRandom.seeded
        return random.Random.getrandbits(self, k) if seeded is None else seeded.getrandbits(k)


def system_random() -> Random:
    """Make a generator that nobody can predict or repeat, but a simulation.

    Guarantees:
        Seeded from the operating system, and shared with nobody. Within :func:`all_random_seeded` it draws what follows from
        that seed, also when it was made before.

    Returns:
        A new generator.
    """
    return _SystemRandom()


def unique_id() -> str:
    """Make a word of 8 hexadecimal digits that names one thing for ever.

    Guarantees:
        No seed decides it: a thing of one simulated run is never taken for its like in another run of the same seed.

    Returns:
        A new word.
    """
    return f"{random.SystemRandom().getrandbits(32):08x}"


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
def all_random_seeded(seed: int | str) -> Iterator[Callable[[], bool]]:
    """Make draws repeatable while the block runs: from the interpreter's shared generator, and from :func:`system_random`.

    Programs of users draw from the shared one (``random.choice``), parts of mabeam from theirs, and a simulation must replay
    both. They do not disturb each other: a program draws the same whether or not something of ours draws in between.

    Args:
        seed: what the draws follow from.

    Yields:
        What says whether anything has been drawn in the block. Afterwards all generators go on where they were before it.
    """
    shared, own = random.getstate(), _SystemRandom.seeded
    random.seed(seed)
    _SystemRandom.seeded = seeded = seeded_random(f"own {seed}")
    untouched = (random.getstate(), seeded.getstate())
    try:
        yield lambda: (random.getstate(), seeded.getstate()) != untouched
    finally:
        _SystemRandom.seeded = own
        random.setstate(shared)
