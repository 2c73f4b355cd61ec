"""Keys by which users find something: of a registry, of partitions."""

from __future__ import annotations

from mabeam.errors import UsageError

__all__ = ("check_hashable",)


def check_hashable(what: str, key: object) -> None:
    """Refuse a key that nothing can be found by.

    Args:
        what: what it is a key of.
        key: what came.

    Raises:
        UsageError: it is not hashable.
    """
    try:
        hash(key)
    except TypeError as error:
        msg = f"a key of {what} must be hashable, got {key!r}: {error}. A tuple is, a list is not."
        raise UsageError(msg) from None
