"""O3: every block of Python in README and docs runs, and does what the text says it does."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import _blocks
from tests.meta import _project

PYTHON = [
    path
    for path in _blocks.pages()
    if any(block.language == "python" for block in _blocks.blocks(path.read_text(encoding="utf-8")))
]
SHELLS = {"console", "bash", "sh", "shell"}
COMMAND = re.compile(r"^(?:\$ )?(mabeam .*)$", flags=re.MULTILINE)


def _commands() -> list[tuple[Path, int, str]]:
    return [
        (path, block.line, match[1])
        for path in _blocks.pages()
        for block in _blocks.blocks(path.read_text(encoding="utf-8"))
        if block.language in SHELLS and not block.reason_not_to_run
        for match in COMMAND.finditer(block.code)
    ]


def _failed(path: Path, line: int, what: str) -> None:
    pytest.fail(f"{_project.shown(path)}:{line}: {what}", pytrace=False)


def _must_raise(script: _blocks.Script, path: Path, block: _blocks.Block, expected: str) -> None:
    try:
        script.run(block.code, line=block.line)
    except BaseException as error:
        if expected not in {each.__name__ for each in type(error).__mro__}:
            raise
    else:
        _failed(path, block.line, f"expected {expected}, and nothing was raised")


@pytest.mark.parametrize("path", PYTHON, ids=_project.shown)
def test_blocks_of_python_run(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    script = _blocks.Script(path, monkeypatch)
    printed = ""
    try:
        for block in _blocks.blocks(path.read_text(encoding="utf-8")):
            if block.language == "text" and block.note == "output":
                if block.code != printed:
                    _failed(
                        path, block.line, f"the block before prints:\n{printed}\nthe page says:\n{block.code}"
                    )
            elif block.language != "python" or block.reason_not_to_run:
                continue
            elif block.expected_error:
                _must_raise(script, path, block, block.expected_error)
            else:
                printed = script.run(block.code, line=block.line)
    finally:
        script.close()


@pytest.mark.parametrize(
    ("path", "line", "command"), [pytest.param(*each, id=f"{each[0].name}-{each[2]}") for each in _commands()]
)
def test_commands_in_pages_run(path: Path, line: int, command: str, tmp_path: Path) -> None:
    """Run in a folder that holds a copy of this project's src, and nothing else."""
    shutil.copytree(_project.SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    words = shlex.split(command)
    done = subprocess.run(
        [str(Path(sys.executable).parent / words[0]), *words[1:]],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    # 1 says that something was found, which is not the page's fault; 2 that the command is wrong.
    if done.returncode not in {0, 1} or "Traceback" in done.stderr:
        _failed(path, line, f"{command!r} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


@pytest.mark.parametrize("path", _blocks.pages(), ids=_project.shown)
def test_every_block_names_its_language(path: Path) -> None:
    bare = [block.line for block in _blocks.blocks(path.read_text(encoding="utf-8")) if not block.language]
    assert not bare, f"{_project.shown(path)}: blocks without a language (use text) at lines {bare}"
