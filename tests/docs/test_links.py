"""Links inside the project lead somewhere, and every page can be reached. Fast: part of `make check`."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs import _blocks
from tests.meta import _project

_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<inline><[^>]*>|[^)\s]+)(?:\s+\"[^\"]*\")?\)")
_DEFINITION = re.compile(r"^\[[^\]]+\]:\s*(?P<target>\S+)", flags=re.MULTILINE)
_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:", flags=re.IGNORECASE)
_CODE = re.compile(r"(`+)(?:(?!\1).)+?\1", flags=re.DOTALL)


def _prose(text: str) -> str:
    """The text without its code, line for line."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        mark = re.match(r"^ *(`{3,}|~{3,})", line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
            lines.append("")
        elif mark:
            fence = mark[1]
            lines.append("")
        else:
            lines.append(line)
    return _CODE.sub(lambda match: "\n" * match[0].count("\n"), "\n".join(lines))


def _targets(path: Path) -> Iterator[tuple[int, str]]:
    prose = _prose(path.read_text(encoding="utf-8"))
    for pattern, group in ((_LINK, "inline"), (_DEFINITION, "target")):
        for match in pattern.finditer(prose):
            target = match[group].strip("<>")
            if not _OUTSIDE.match(target):
                yield prose.count("\n", 0, match.start()) + 1, unquote(target)


def _anchors(path: Path) -> set[str]:
    """The anchors of a page, as the usual Markdown viewers make them from headings."""
    found: dict[str, int] = {}
    anchors: set[str] = set()
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"^ *(`{3,}|~{3,})", line):
            fenced = not fenced
        anchors.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
        if fenced or not (heading := re.match(r"^#{1,6}\s+(.*?)\s*#*$", line)):
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


def _page(path: Path) -> Path:
    return path / "README.md" if path.is_dir() else path


@pytest.mark.parametrize("path", _blocks.pages(), ids=_project.shown)
def test_links_lead_somewhere(path: Path) -> None:
    broken: list[str] = []
    tracked = set(_project.tracked_files())
    folders = {parent for each in tracked for parent in each.parents}
    for line, target in _targets(path):
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if there not in tracked and there not in folders:
            broken.append(f"{_project.shown(path)}:{line}: {target}: no such file in the project")
        elif anchor and _page(there).suffix == ".md" and anchor not in _anchors(_page(there)):
            broken.append(f"{_project.shown(path)}:{line}: {target}: no such heading")
    assert not broken, "\n".join(broken)


def test_every_page_can_be_reached_from_the_readme() -> None:
    start = _project.ROOT / "README.md"
    reached, waiting = {start}, [start]
    while waiting:
        path = waiting.pop()
        for _, target in _targets(path):
            name = target.partition("#")[0]
            there = _page((path.parent / name).resolve()) if name else path
            if there.suffix == ".md" and there.is_file() and there not in reached:
                reached.add(there)
                waiting.append(there)
    lost = sorted(_project.shown(path) for path in set(_blocks.pages()) - reached)
    assert not lost, f"pages that no link leads to: {lost}"
