"""Finding the code in Markdown files and docstrings, and running it as a reader would.

In Markdown, an HTML comment right before a block says how it is treated::

    <!-- not run: reason -->      shown only (a bad example, a fragment)
    <!-- raises: UsageError -->   the block must raise this
    <!-- output -->               this ``text`` block is what the block before it printed
"""

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import linecache
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.meta import _project

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_NOTE = re.compile(r"^\s*<!--\s*(?P<note>.*?)\s*-->\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a Markdown text: its language, its code, the line of its first line, the note before it."""

    language: str
    code: str
    line: int
    note: str

    @property
    def reason_not_to_run(self) -> str | None:
        """The reason that stands in ``<!-- not run: reason -->``; without a reason the note is a mistake."""
        if not self.note.startswith("not run"):
            return None
        reason = self.note.removeprefix("not run").strip(" :")
        assert reason, f"line {self.line}: 'not run' needs a reason: <!-- not run: reason -->"
        return reason

    @property
    def expected_error(self) -> str | None:
        """The exception that the block is there to show."""
        return self.note.removeprefix("raises:").strip() if self.note.startswith("raises:") else None


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    note, fence, info, indent, start = "", "", "", 0, 0
    code: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _FENCE.match(line)
        if fence:
            if match and match["fence"].startswith(fence) and not match["info"].strip():
                language = info.split(maxsplit=1)[0].lower() if info.split() else ""
                yield Block(language=language, code="\n".join(code) + "\n", line=start, note=note)
                fence, note = "", ""
            else:
                code.append(line[min(indent, len(line) - len(line.lstrip())) :])
        elif match:
            fence, info, indent, start = match["fence"], match["info"], len(match["indent"]), number + 1
            code = []
        elif found := _NOTE.match(line):
            note = found["note"]
        elif line.strip():
            note = ""


def pages() -> list[Path]:
    """The Markdown files of the project."""
    return [path for path in _project.tracked_files() if path.suffix == ".md"]


class Script:
    """A module that grows block by block, as a reader's session or file does.

    Blocks run in order in one namespace. A block may use ``await`` at its top level: those share one event loop. A
    block without runs as a plain script and may call ``mabeam.run`` itself.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._module = ModuleType("__main__")
        # Dataclasses and type hints look their module up by name; examples say `if __name__ == "__main__":`.
        monkeypatch.setitem(sys.modules, "__main__", self._module)
        self._runner = asyncio.Runner()

    def know(self, names: Mapping[str, object]) -> None:
        """Make names known that the reader of a docstring sees around it."""
        vars(self._module).update({name: value for name, value in names.items() if not name.startswith("__")})

    def check(self, session: str, *, line: int) -> None:
        """Run an interactive session (``>>>``) and compare what it prints."""
        name = f"{self._path}:{line}"
        test = doctest.DocTestParser().get_doctest(session, vars(self._module), name, str(self._path), line)
        doctest.DebugRunner(verbose=False).run(test)

    def close(self) -> None:
        """End the loop of the blocks that awaited."""
        self._runner.close()

    def run(self, code: str, *, line: int) -> str:
        """Run one block and return what it printed. Line numbers in tracebacks are those of the file."""
        name = f"{self._path}:{line}"
        source = "\n" * (line - 1) + code
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        compiled = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if compiled.co_flags & inspect.CO_COROUTINE:
                self._runner.run(self._awaited(compiled))
            else:
                exec(compiled, vars(self._module))
        return printed.getvalue()

    async def _awaited(self, compiled: CodeType) -> None:
        await eval(compiled, vars(self._module))


_HEADING = re.compile(r"^Examples?:[ \t]*$", flags=re.MULTILINE)


def examples_of(docstring: str) -> Iterator[str]:
    """The code below each ``Example:`` of a docstring: fenced blocks if there are any, else all of the section."""
    for heading in _HEADING.finditer(docstring):
        section: list[str] = []
        for line in docstring[heading.end() :].split("\n")[1:]:
            if line.strip() and not line.startswith(" "):
                break
            section.append(line)
        text = textwrap.dedent("\n".join(section)).strip("\n")
        fenced = [
            block.code for block in blocks(text) if block.language == "python" and not block.reason_not_to_run
        ]
        if fenced:
            yield "\n".join(fenced)
        elif "```" not in text:
            yield text + "\n"
