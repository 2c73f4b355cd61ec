"""L2 and the rest of what can be seen in the files themselves."""

import ast
import re
from pathlib import Path

from tests.meta import _project

#: This file has to name what no other file may.
HERE = Path(__file__).resolve()

MACHINE_PATHS = ("/root/", "/home/", "/work/", "/Users/", "/tmp/bash_jobs", "/opt/pypi")
REGISTRIES = ("pypi.org", "pythonhosted", "index-url", "find-links", "artifactory", "nexus/repository")

HARD_LIMIT = 800
SOFT_LIMIT = 500


def _python_files() -> list[tuple[str, str]]:
    return [(_project.shown(path), text) for path, text in _project.text_files() if path.suffix == ".py"]


def test_no_file_is_over_800_lines() -> None:
    """Split by concept: state, effect, options."""
    long = [
        f"{name}: {text.count(chr(10))} lines"
        for name, text in _python_files()
        if text.count("\n") > HARD_LIMIT
    ]
    assert not long, f"files over {HARD_LIMIT} lines; split them by concept: {long}"


def test_a_source_file_over_500_lines_says_why() -> None:
    """Its module docstring has a sentence that begins with "Long because"."""
    silent = [
        f"{name}: {text.count(chr(10))} lines"
        for name, text in _python_files()
        if name.startswith("src/")
        and text.count("\n") > SOFT_LIMIT
        and "Long because" not in (ast.get_docstring(ast.parse(text)) or "")
    ]
    assert not silent, (
        f"files over {SOFT_LIMIT} lines whose module docstring has no sentence 'Long because …'; "
        f"split them by concept, or say why not: {silent}"
    )


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{_project.shown(path)}:{number}: {line.strip()[:100]}"
        for path, text in _project.text_files()
        if path != HERE
        for number, line in enumerate(text.splitlines(), start=1)
        if any(word in line for word in (*MACHINE_PATHS, *REGISTRIES))
    ]
    assert not found, "paths of one machine, or addresses of a registry:\n" + "\n".join(found)


def test_every_todo_has_a_url() -> None:
    marks = re.compile(r"#\s*(TODO|FIXME)\b(?!.*https?://)")
    found = [
        f"{name}:{number}"
        for name, text in _python_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if marks.search(line)
    ]
    assert not found, f"what is left to do belongs into an issue whose URL is in the comment: {found}"


def test_every_silenced_rule_says_which_and_why() -> None:
    """``# noqa: CODE - reason`` and ``# type: ignore[code]  # reason``."""
    code = r"[A-Z]+[0-9]+"
    bare = re.compile(rf"# (noqa(?!: {code}(, ?{code})*\s+\S)|type: ignore(?!\[[a-z, -]+\]\s+# \S))")
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in _python_files()
        if name.startswith("src/")
        for number, line in enumerate(text.splitlines(), start=1)
        if bare.search(line)
    ]
    assert not found, "silenced checks without code or reason:\n" + "\n".join(found)


def test_only_private_or_public_names_are_used_for_files() -> None:
    """A package is a facade: next to __init__.py stand private files and packages, and a few modules known by name."""
    public_files = {"errors.py", "__main__.py", "pytest_plugin.py"}
    found = [
        _project.shown(module.path)
        for module in _project.modules()
        if not module.path.name.startswith("_") and module.path.name not in public_files
    ]
    assert not found, f"work is done in _private.py files behind the facade: {found}"
