"""Which code is the program's own, and which is that of libraries: mabeam, the standard library, what is installed."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Final

__all__ = ("is_of_library",)

_PATHS: Final = ("stdlib", "platstdlib", "purelib", "platlib")
_FOLDERS: Final = (
    str(Path(__file__).parents[1]) + "/",
    *sorted({str(Path(path)) + "/" for name, path in sysconfig.get_paths().items() if name in _PATHS}),
    "<frozen ",
)


def is_of_library(file: str) -> bool:
    """Whether the code in a file is not the program's own."""
    return file.startswith(_FOLDERS)
