"""Branches that never run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mabeam.review._module import Module

__all__ = ("is_dead",)


def is_dead(node: ast.AST, module: Module) -> bool:
    """Whether the code around never runs: ``if False``, or the other side of ``if True``."""
    below = node
    for above in module.ancestors(node):
        if isinstance(above, ast.If) and isinstance(above.test, ast.Constant):
            runs = above.body if above.test.value else above.orelse
            if below is not above.test and below not in runs:
                return True
        below = above
    return False
