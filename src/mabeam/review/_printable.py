"""Names of files as text that cannot corrupt a report."""

from __future__ import annotations

import re

__all__ = ("code_span", "printable")


def printable(text: str) -> str:
    r"""Write what cannot be printed as an escape.

    Control characters (line feeds among them), lone surrogates from undecodable names, and the marks that turn the
    direction of text become ``\x1b``, ``\udc80``, ``\u202e``. Nothing else changes.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def code_span(text: str) -> str:
    """Write ``text`` as inline code of Markdown, whatever backticks are in it."""
    text = printable(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{text}{pad}{fence}"
