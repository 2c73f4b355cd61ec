"""Libraries that need not be there."""

from __future__ import annotations

import importlib
from typing import Any

from mabeam.errors import UsageError

__all__ = ("need",)


def need(module: str, *, extra: str, by: str) -> Any:
    """Import a library that comes with an extra of mabeam.

    Args:
        module: what to import.
        extra: the extra that it comes with.
        by: what needs it, for the message.

    Returns:
        The module.

    Raises:
        UsageError: it is not installed; the message says how it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Something else that is missing, deeper inside, is the library's affair.
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise UsageError(
            f"{by} needs {module.partition('.')[0]}, which is not installed. It comes with an extra of mabeam:\n"
            f"    pip install 'mabeam[{extra}]'"
        ) from error
