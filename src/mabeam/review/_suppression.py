"""Comments that silence a finding: ``# mabeam: ignore[MB101] the reason why``."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass

__all__ = ("Suppression", "find_suppressions")

_COMMENT = re.compile(r"#\s*mabeam:\s*ignore\b\s*(?:\[(?P<codes>[^\]]*)\])?(?P<rest>.*)")
# Another comment may follow on the line; it is not the reason. "see #12" is one: no blank after its sign.
_NEXT_COMMENT = re.compile(r"(?:^|\s)#(?:\s|$)|(?:^|\s)#\s*(?:noqa|type:|pragma|pyright:|fmt:)")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One such comment.

    Attributes:
        line: the line it is on, from 1; this is the line it silences.
        column: where the comment starts, from 1.
        codes: the codes in its brackets, as written; empty when there are none.
        reason: the text behind the brackets; empty when there is none.
    """

    line: int
    column: int
    codes: tuple[str, ...]
    reason: str


def find_suppressions(text: str) -> tuple[Suppression, ...]:
    r"""Find the suppression comments of a module.

    Only real comments count: the same words in a string are text. Tokenizing is slow, so a module that does not
    hold the words at all is not tokenized.

    Args:
        text: the module, with ``\n`` at the end of its lines.
    """
    if not _COMMENT.search(text):
        return ()
    found: list[Suppression] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and (match := _COMMENT.search(token.string)):
                line, column = token.start
                codes = tuple(code for code in re.split(r"[\s,]+", match["codes"] or "") if code)
                found.append(Suppression(line, column + match.start() + 1, codes, _reason(match["rest"])))
    except (tokenize.TokenError, SyntaxError):
        # The tokenizer is stricter than the parser in a few places. What it saw until then holds.
        pass
    return tuple(found)


def _reason(rest: str) -> str:
    if following := _NEXT_COMMENT.search(rest):
        rest = rest[: following.start()]
    return rest.strip().lstrip("-:\N{EM DASH}\N{EN DASH}").strip()
