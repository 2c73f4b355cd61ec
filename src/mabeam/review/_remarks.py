"""What somebody has said about a place already: to another linter, or in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Remarks",)

# Comments for other linters, those of pylint with names instead of codes.
_OTHERS = re.compile(r"#[^\n]*?(?:noqa:|pylint:\s*disable=|ruff:\s*ignore\[)([^#\n\]]*)", re.IGNORECASE)
_NEXT_LINE = re.compile(r"#[^\n]*?pylint:\s*disable-next=([^#\n]*)")
# On a line of its own it holds for the rest of the block.
_BLOCK = re.compile(r"^\s*#[^\n]*?pylint:\s*disable=([^#\n]*)")
# Without a code it stands for all of them; behind `except:` there is only one that it can be meant for.
_BARE = re.compile(r"^\s*except\b[^#\n]*:\s*#\s*noqa\b(?!\s*:)", re.IGNORECASE)
# A comment in words, and not one for a tool.
_WORDS = re.compile(r"(?:^|\s)#+\s*(?!noqa|type:|pylint|pragma|mabeam|nosec|fmt:)[A-Za-z]", re.IGNORECASE)
_MARKS = re.compile(r"noqa|pylint|ruff:", re.IGNORECASE)
_CODES = re.compile(r"[A-Za-z][\w-]*")


class Remarks:
    """The comments of one module."""

    def __init__(self, text: str) -> None:
        """Take the text of the module."""
        self._lines = text.split("\n")
        self._any = _MARKS.search(text) is not None

    def settle(self, stretch: tuple[int, int] | None) -> bool:
        """Whether a comment in words is on one of these lines, from the first to the last."""
        first, last = stretch or (1, 0)
        return any(_WORDS.search(line) is not None for line in self._lines[first - 1 : last])

    def accept(self, known_as: tuple[str, ...], first: int, last: int, other: int | None) -> bool:
        """Whether a comment for another linter accepts this very flaw.

        Args:
            known_as: what the others call it; beginnings of codes are enough.
            first: the line of the flaw.
            last: the last line of its statement.
            other: a line where others look as well.
        """
        if not self._any or not known_as:
            return False
        if _BARE.search(self._at(first)) is not None:
            return True
        found = [
            _NEXT_LINE.search(self._at(first - 1)),
            *(_OTHERS.search(self._at(number)) for number in (first, last, other or 0)),
            *(_BLOCK.search(line) for line in self._above(first)),
        ]
        return any(
            code.startswith(known)
            for comment in found
            if comment is not None
            for code in _CODES.findall(comment[1])
            for known in known_as
        )

    def _at(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _above(self, number: int) -> Iterator[str]:
        """Give the lines before that are in the same block, or in one around it."""
        depth = _depth(self._at(number))
        for line in reversed(self._lines[: number - 1]):
            if line.strip() and _depth(line) <= depth:
                yield line
                if not line.lstrip().startswith("#"):
                    depth = _depth(line)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
