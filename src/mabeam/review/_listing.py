"""Which files a review looks at."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mabeam.review._finding import ErrorKind, FileError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("ListedFile", "Listing", "list_files")

# Directories that hold other people's code or none at all, besides the hidden ones.
_SKIPPED = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules", "__pypackages__"})
_ENVIRONMENT_MARK = "pyvenv.cfg"
# Emacs marks a file that is being edited by a link to nowhere of that name.
_LOCK = ".#"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file to review.

    Attributes:
        path: where it is, to open it.
        shown_as: how it is called in reports: the PATH as it was given, and what is below, with ``/`` between.
        below: what of that is below the PATH; empty for a file that was given itself.
    """

    path: str
    shown_as: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found below the paths of a review.

    Attributes:
        files: the files, sorted by ``shown_as``, each once.
        errors: directories that could not be read.
        missing: the paths, as given, that do not exist.
    """

    files: tuple[ListedFile, ...]
    errors: tuple[FileError, ...]
    missing: tuple[str, ...]


def list_files(paths: Iterable[str | os.PathLike[str]]) -> Listing:
    """List the Python files at and below ``paths``.

    A path that is a file is always taken, whatever its name. Below a directory everything named ``*.py`` is taken, links
    that lead nowhere, pipes and devices too: reading them fails, and the review says so. Hidden directories, ``__pycache__``,
    ``node_modules``, directories of installed packages and virtual environments (marked by ``pyvenv.cfg``) are left out
    unless a path names them. Links to directories are not followed below a path, so no loop of them can catch the listing.
    Stub files (``*.pyi``) hold no code and are left out, and so are the locks of editors (``.#name.py``).

    Args:
        paths: files and directories.

    Returns:
        The files, what could not be read, and the paths that do not exist.
    """
    files: dict[str, ListedFile] = {}
    errors: list[FileError] = []
    missing: list[str] = []
    for given in paths:
        path = os.fspath(given)
        shown = _shown(path)
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - strings throughout: a Path per file costs more than the listing
        except (FileNotFoundError, NotADirectoryError, ValueError):
            missing.append(path)
            continue
        except OSError as error:
            errors.append(_error(shown, error))
            continue
        if stat.S_ISDIR(mode):
            _list_directory(path, shown, files, errors)
        else:
            _add(files, ListedFile(path, shown))
    return Listing(
        files=tuple(sorted(files.values(), key=lambda file: file.shown_as)),
        errors=tuple(sorted(set(errors), key=lambda error: error.sort_key)),
        missing=tuple(missing),
    )


def _list_directory(top: str, top_shown: str, files: dict[str, ListedFile], errors: list[FileError]) -> None:
    waiting = [(top, "")]
    while waiting:
        directory, below = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            errors.append(_error(_join(top_shown, below), error))
            continue
        if directory != top and any(entry.name == _ENVIRONMENT_MARK for entry in children):
            continue
        for entry in children:
            inside = f"{below}/{entry.name}" if below else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        waiting.append((entry.path, inside))
                elif _is_wanted(entry):
                    _add(files, ListedFile(entry.path, _join(top_shown, inside), inside))
            except OSError as error:
                errors.append(_error(_join(top_shown, inside), error))


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    if not entry.name.endswith(".py") or entry.name.startswith(_LOCK):
        return False
    try:
        return not entry.is_dir()
    except OSError:
        return True  # a link that leads to itself: reading it will say so


def _join(shown: str, below: str) -> str:
    return below if shown == "." and below else f"{shown.rstrip('/')}/{below}" if below else shown


def _add(files: dict[str, ListedFile], file: ListedFile) -> None:
    """Take a file once, under the name that sorts first, however many paths and links lead to it."""
    # Links that lead nowhere are not one file, even if it is the same nowhere.
    key = os.path.realpath(file.path) if os.path.exists(file.path) else os.path.abspath(file.path)  # noqa: PTH110, PTH100 - as above
    known = files.get(key)
    if known is None or file.shown_as < known.shown_as:
        files[key] = file


def _shown(path: str) -> str:
    return os.path.normpath(path).replace(os.sep, "/")


def _error(shown: str, error: OSError) -> FileError:
    return FileError(shown, ErrorKind.UNREADABLE, (error.strerror or type(error).__name__).lower())
