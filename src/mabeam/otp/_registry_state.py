"""What a registry knows: who is registered under which key, with which value.

Pure: a holder is anything hashable, and nothing here knows what a process is. A table is the hot part of every lookup by
name, so it changes in place. Order is that of registration everywhere, and no step looks at more entries than it returns
or removes; the one exception is said where it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar, final

__all__ = ("Entry", "Table")

H = TypeVar("H", bound=Hashable)


@final
class Entry(Generic[H]):
    """One registration. Compared by identity: a holder may have several that look alike.

    Attributes:
        key: what it is found under.
        holder: who is registered.
        value: what the holder has to say besides.
    """

    __slots__ = ("holder", "key", "value")

    def __init__(self, key: Any, holder: H, value: Any) -> None:
        """Not in any table yet."""
        self.key = key
        self.holder = holder
        self.value = value

    def __repr__(self) -> str:
        """Show all of it."""
        return f"<entry {self.key!r}: {self.holder!r}, {self.value!r}>"


# Nearly every key and nearly every holder has one entry, and a dict of one is four times the size of the entry itself.
_Bag: TypeAlias = Entry[H] | dict[Entry[H], None]
_Index: TypeAlias = dict[Any, _Bag[H]]


@final
class Table(Generic[H]):
    """Entries by key and by holder.

    Attributes:
        unique: a key has at most one entry.
    """

    __slots__ = ("_by_holder", "_by_key", "_count", "unique")

    def __init__(self, *, unique: bool) -> None:
        """No entries yet."""
        self.unique = unique
        self._by_key: _Index[H] = {}
        self._by_holder: _Index[H] = {}
        self._count = 0

    def add(self, key: Hashable, holder: H, value: Any) -> Entry[H] | None:
        """Add an entry, unless keys are unique and this one is taken.

        Returns:
            The entry that is in the way, the holder's own one perhaps; ``None`` when the new one was added.
        """
        if self.unique:
            taken = self.under(key)
            if taken:
                return taken[0]
        entry = Entry(key, holder, value)
        _put(self._by_key, key, entry)
        _put(self._by_holder, holder, entry)
        self._count += 1
        return None

    def remove(self, entry: Entry[H]) -> bool:
        """Remove an entry; false when it is not there (any more)."""
        if not _drop(self._by_key, entry.key, entry):
            return False
        _drop(self._by_holder, entry.holder, entry)
        self._count -= 1
        return True

    def remove_holder(self, holder: H) -> tuple[Entry[H], ...]:
        """Remove all entries of a holder and return them."""
        gone = self.of(holder)
        self._by_holder.pop(holder, None)
        for entry in gone:
            _drop(self._by_key, entry.key, entry)
        self._count -= len(gone)
        return gone

    def clear(self) -> tuple[Entry[H], ...]:
        """Remove everything and return it."""
        gone = tuple(self)
        self._by_key.clear()
        self._by_holder.clear()
        self._count = 0
        return gone

    def under(self, key: Hashable) -> tuple[Entry[H], ...]:
        """The entries of a key."""
        return _all(self._by_key.get(key))

    def of(self, holder: H) -> tuple[Entry[H], ...]:
        """The entries of a holder."""
        return _all(self._by_holder.get(holder))

    def both(self, key: Hashable, holder: H) -> tuple[Entry[H], ...]:
        """The entries that a holder has under a key. With duplicate keys, looks at all entries of the holder."""
        if self.unique:
            return tuple(entry for entry in self.under(key) if entry.holder == holder)
        return tuple(entry for entry in self.of(holder) if entry.key == key)

    def has_holder(self, holder: H) -> bool:
        """Whether the holder has an entry."""
        return holder in self._by_holder

    def __contains__(self, entry: object) -> bool:
        """Whether this very entry is there."""
        return isinstance(entry, Entry) and entry in self.under(entry.key)

    def __iter__(self) -> Iterator[Entry[H]]:
        """All entries: keys in the order in which they were first taken, those of one key in the order of registration."""
        for bag in self._by_key.values():
            yield from _all(bag)

    def __len__(self) -> int:
        """How many entries there are."""
        return self._count

    @property
    def keys(self) -> int:
        """How many keys have an entry."""
        return len(self._by_key)

    @property
    def holders(self) -> int:
        """How many holders have an entry."""
        return len(self._by_holder)


def _all(bag: _Bag[H] | None) -> tuple[Entry[H], ...]:
    if bag is None:
        return ()
    return (bag,) if isinstance(bag, Entry) else tuple(bag)


def _put(index: _Index[H], at: object, entry: Entry[H]) -> None:
    bag = index.setdefault(at, entry)
    if isinstance(bag, dict):
        bag[entry] = None
    elif bag is not entry:
        index[at] = {bag: None, entry: None}


def _drop(index: _Index[H], at: object, entry: Entry[H]) -> bool:
    bag = index.get(at)
    if bag is entry:
        del index[at]
        return True
    if not isinstance(bag, dict) or entry not in bag:
        return False
    del bag[entry]
    if not bag:
        del index[at]
    return True
