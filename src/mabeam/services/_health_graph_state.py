"""Which check depends on which. Pure; every walk is a loop, so that a long chain is no deep recursion."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Dependencies",)


@final
class Dependencies:
    """A directed graph without cycles. Ids may be depended on that nobody has added: they stand for nothing yet."""

    __slots__ = ("_dependents", "_of")

    def __init__(self) -> None:
        """Nothing depends on anything."""
        self._of: dict[str, tuple[str, ...]] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def cycle(self, check: str, depends_on: Iterable[str]) -> tuple[str, ...] | None:
        """The cycle that these dependencies would close, from the check back to itself; ``None`` when there is none."""
        came_from: dict[str, str] = {}
        to_visit = []
        for each in depends_on:
            if each == check:
                return (check, check)
            came_from[each] = check
            to_visit.append(each)
        while to_visit:
            here = to_visit.pop()
            for each in self._of.get(here, ()):
                if each == check:
                    path = [check, here]
                    while path[-1] != check:
                        path.append(came_from[path[-1]])
                    return tuple(reversed(path))
                if each not in came_from:
                    came_from[each] = here
                    to_visit.append(each)
        return None

    def put(self, check: str, depends_on: tuple[str, ...]) -> None:
        """Let a check depend on these, and on nothing else; they close no cycle."""
        self.remove(check)
        self._of[check] = depends_on
        for each in depends_on:
            self._dependents.setdefault(each, {})[check] = None

    def remove(self, check: str) -> None:
        """Let a check depend on nothing; what depends on it goes on doing so."""
        for each in self._of.pop(check, ()):
            dependents = self._dependents[each]
            del dependents[check]
            if not dependents:
                del self._dependents[each]

    def dependents(self, check: str) -> list[str]:
        """All that depend on a check, directly or through others; each once, the nearest first."""
        found: dict[str, None] = {}
        to_visit = [check]
        for here in to_visit:
            for each in self._dependents.get(here, ()):
                if each not in found:
                    found[each] = None
                    to_visit.append(each)
        return list(found)

    def in_order(self, checks: Iterable[str]) -> list[str]:
        """These checks and all that they depend on, each after its dependencies."""
        ordered: dict[str, None] = {}
        for check in checks:
            path = [(check, iter(self._of.get(check, ())))]
            while path:
                here, rest = path[-1]
                for each in rest:
                    if each not in ordered:
                        path.append((each, iter(self._of.get(each, ()))))
                        break
                else:
                    ordered[here] = None
                    path.pop()
        return list(ordered)
