"""Which files a review takes."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from mabeam.review import ErrorKind, list_files

if TYPE_CHECKING:
    from pathlib import Path


def shown(*paths: Path | str) -> list[str]:
    """List paths, and return how the files are called."""
    return [file.shown_as for file in list_files(paths).files]


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with everything that is left out, as the current directory."""
    for name in (
        "src/b.py", "src/a.py", "src/a.pyi", "src/a.txt", "src/sub/c.py", "script", ".hidden/x.py", "src/.dot.py",
        "src/__pycache__/x.py", "env/pyvenv.cfg", "env/lib/x.py", "src/site-packages/x.py", "src/node_modules/x.py",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_files_are_listed_in_order() -> None:
    """Sorted by name; caches, environments, installed packages and hidden directories are left out."""
    assert shown("src") == ["src/.dot.py", "src/a.py", "src/b.py", "src/sub/c.py"]


def test_the_current_directory_adds_no_dot() -> None:
    """Names are as short as they can be."""
    assert shown(".") == shown("src") == shown("./src/") == shown("src/sub/..")


def test_an_absolute_path_stays_absolute(tree: Path) -> None:
    """Names are as they were given."""
    assert shown(tree / "src" / "sub") == [f"{tree}/src/sub/c.py"]


def test_a_file_that_is_named_is_always_taken() -> None:
    """Whatever it is called and wherever it is."""
    assert shown("script", "src/__pycache__/x.py") == ["script", "src/__pycache__/x.py"]


def test_a_directory_that_is_named_is_never_left_out() -> None:
    """A path given by hand is meant."""
    assert shown("env", ".hidden", "src/site-packages") == [
        ".hidden/x.py",
        "env/lib/x.py",
        "src/site-packages/x.py",
    ]


def test_a_file_is_listed_once_whatever_leads_to_it(tree: Path) -> None:
    """Paths may overlap, and links may point at what is listed already."""
    (tree / "src/link.py").symlink_to("a.py")
    assert shown("src", "src/sub", "./src/sub/c.py") == [
        "src/.dot.py",
        "src/a.py",
        "src/b.py",
        "src/sub/c.py",
    ]


def test_a_loop_of_links_ends(tree: Path) -> None:
    """Directories behind links are not entered; a link to itself is a file that cannot be read."""
    (tree / "src/sub/up").symlink_to("..")
    (tree / "src/there.py").symlink_to("back.py")
    (tree / "src/back.py").symlink_to("there.py")
    assert shown("src/sub") == ["src/sub/c.py"]
    assert {"src/there.py", "src/back.py"} < set(shown("src"))


def test_a_link_that_is_named_is_followed(tree: Path) -> None:
    """It is a path like any other."""
    (tree / "other").symlink_to("src/sub")
    assert shown("other") == ["other/c.py"]


def test_missing_paths_are_named_as_given() -> None:
    """Whoever asked decides what to do about them."""
    listing = list_files(["nowhere", "src/sub", "a\0b", "script/x.py"])
    assert listing.missing == ("nowhere", "a\0b", "script/x.py")
    assert [file.shown_as for file in listing.files] == ["src/sub/c.py"]


def test_what_has_the_name_of_a_file_is_listed_whatever_it_is(tree: Path) -> None:
    """Whether it can be read is found out when it is read; only directories are something else, and links to them."""
    os.mkfifo(tree / "src/sub/pipe.py")
    (tree / "src/sub/gone.py").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as unix:
        os.chdir(tree / "src/sub")  # the name of a socket must be short
        unix.bind("socket.py")
        os.chdir(tree)
    (tree / "src/sub/dir.py").mkdir()
    (tree / "src/sub/link.py").symlink_to("dir.py")
    assert shown("src/sub") == [f"src/sub/{name}.py" for name in ("c", "gone", "pipe", "socket")]


def test_each_link_to_nowhere_is_one(tree: Path) -> None:
    """They are not one file because they lead to the same nowhere."""
    for name in ("a", "b"):
        (tree / "src/sub" / f"{name}.py").symlink_to("nowhere")
    assert shown("src/sub") == ["src/sub/a.py", "src/sub/b.py", "src/sub/c.py"]


def test_the_locks_of_editors_are_left_out(tree: Path) -> None:
    """They are links to nowhere by design."""
    (tree / "src/sub/.#c.py").symlink_to("somebody@somewhere.1234")
    assert shown("src/sub") == ["src/sub/c.py"]


def test_the_way_below_the_path_is_known() -> None:
    """What lies above the path says nothing about the file."""
    below = {file.shown_as: file.below for file in list_files(["src", "script"]).files}
    assert below["src/sub/c.py"] == "sub/c.py"
    assert below["script"] == ""


def test_an_unreadable_directory_is_an_error_and_the_rest_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost without a word."""
    real = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_files(["src"])
    assert [(error.file, error.kind, error.message) for error in listing.errors] == [
        ("src/sub", ErrorKind.UNREADABLE, "permission denied")
    ]
    assert [file.shown_as for file in listing.files] == ["src/.dot.py", "src/a.py", "src/b.py"]
