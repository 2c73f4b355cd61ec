"""Which code is the program's own, and which is that of libraries: mabeam, the standard library, what is installed."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Final

__all__ = ("is_of_library", "is_of_mabeam")

_PATHS: Final = ("stdlib", "platstdlib", "purelib", "platlib")
_MABEAM: Final = str(Path(__file__).parents[1]) + "/"
_FOLDERS: Final = (
    _MABEAM,
    *sorted({str(Path(path)) + "/" for name, path in sysconfig.get_paths().items() if name in _PATHS}),
    "<frozen ",
)


def is_of_library(file: str) -> bool:
    """Whether the code in a file is not the program's own."""
    return file.startswith(_FOLDERS)


def is_of_mabeam(file: str) -> bool:
    """Whether the code in a file is mabeam's."""
    return file.startswith(_MABEAM)
