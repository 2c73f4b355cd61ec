"""What the meta tests look at: the checkout, its files, its modules, and its settings."""

import ast
import functools
import importlib
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "mabeam"

#: The packages that use the standard library only (DESIGN, layers).
LOWER_HALF = ("errors", "_base", "telemetry", "kernel", "resilience", "otp")

#: The files that exist for tasks, time, chance, threads, OS processes and sockets.
FILES_WITH_BANNED_CALLS = (
    "src/mabeam/_base/_clock.py",
    "src/mabeam/_base/_outside.py",
    "src/mabeam/_base/_random.py",
    "src/mabeam/_base/_streams.py",
    "src/mabeam/_base/_threads.py",
    "src/mabeam/_base/_unowned.py",
    "src/mabeam/kernel/_activation.py",
    "src/mabeam/kernel/_owned_tasks.py",
    "src/mabeam/kernel/_run.py",
    "src/mabeam/resilience/_hedge.py",
    "src/mabeam/testing/_ordered_tasks.py",
    "src/mabeam/testing/_session.py",
    "src/mabeam/testing/_simulated_loop.py",
    "src/mabeam/testing/_virtual_loop.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module of the package, as a file and as a name."""

    name: str
    path: Path

    @property
    def is_facade(self) -> bool:
        """Is this the ``__init__`` of a package right below the root?"""
        return self.path.name == "__init__.py" and self.path.parent.parent == PACKAGE

    @property
    def is_public(self) -> bool:
        """May a user import this module by its name?"""
        return not any(part.startswith("_") for part in self.name.split("."))

    def tree(self) -> ast.Module:
        """The module, parsed."""
        return ast.parse(self.path.read_text(encoding="utf-8"), filename=str(self.path))

    def load(self) -> ModuleType:
        """The module, imported."""
        return importlib.import_module(self.name)


def modules() -> list[Module]:
    """Every module of the package, sorted by name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found.append(Module(name=".".join(parts), path=path))
    return found


def packages() -> list[str]:
    """The names of the packages right below the root, ``_base`` included."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@functools.cache
def settings() -> dict[str, Any]:
    """``pyproject.toml``, parsed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contracts() -> list[dict[str, Any]]:
    """The contracts of import-linter."""
    found: list[dict[str, Any]] = settings()["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """The layers from the top down; each is a list of siblings."""
    (contract,) = (each for each in contracts() if each["type"] == "layers")
    return [[name.strip(" ()") for name in layer.split("|")] for layer in contract["layers"]]


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """The files of the project: what git tracks, and what it would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = {ROOT / name.decode() for name in listing.stdout.split(b"\0") if name}
    return tuple(sorted(path for path in paths if path.is_file()))


def text_files() -> Iterator[tuple[Path, str]]:
    """The project's files that are text, with their text."""
    for path in tracked_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def shown(path: Path) -> str:
    """A path as a reader of the project writes it."""
    return path.relative_to(ROOT).as_posix()
