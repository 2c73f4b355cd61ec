"""What the tests of `mabeam review` work on."""

from pathlib import Path

import pytest

from tests.cli._run import DROPPED, GOOD


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a good file, one with a major finding, and one that is no Python; the current one."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("good", GOOD), ("bad", DROPPED), ("broken", "def f(:\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(text)
    (tmp_path / "empty").mkdir()
    return tmp_path
