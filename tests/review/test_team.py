"""The team: no file is lost, whatever crashes, and the report does not show it."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mabeam.errors import MabeamError, ProcessDied, StartFailed
from mabeam.kernel import Down, Runtime, find, is_abnormal, kill, receive, spawn, spawn_monitor, whereis
from mabeam.review import (
    ErrorKind,
    Order,
    Outcome,
    _books,
    _team,
    analyse_file,
    list_files,
    render,
    review,
    select_codes,
)
from mabeam.testing import VirtualLoop

DROPPED = "import asyncio\nasync def f():\n    asyncio.create_task(f())\n"
GOOD = "import asyncio\nasync def f():\n    await asyncio.sleep(1)\n"
ENDS = "ends without an answer"

Analyse = Callable[..., Any]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 40 files, some in folders below, every third with a finding; the current one."""
    for number in range(40):
        folder = tmp_path / f"package{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"m{number:02}.py").write_text(DROPPED if number % 3 == 0 else GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def order(*paths: str, workers: int = 4, chaos: float = 0.0) -> Order:
    """What the tests ask for: all rules."""
    return Order(paths=paths or (".",), codes=select_codes(), workers=workers, chaos=chaos)


def text(outcome: Outcome) -> bytes:
    """The report as it is printed."""
    return render(outcome.report, "json").encode()


def crash_on(
    monkeypatch: pytest.MonkeyPatch, name: str, *, times: int | None = None, error: Exception
) -> None:
    """Let the analysis of files whose path ends in ``name`` raise, the first so many times, or always."""
    analyse: Analyse = analyse_file
    left = {"times": times}
    lock = threading.Lock()

    def crashing(path: str, **options: Any) -> Any:
        with lock:
            if path.endswith(name) and left["times"] != 0:
                if left["times"] is not None:
                    left["times"] -= 1
                raise error
        return analyse(path, **options)

    monkeypatch.setattr(_team, "analyse_file", crashing)


class Heard:
    """The events of a review."""

    def __init__(self, runtime: Runtime) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []
        runtime.bus.attach(
            lambda event, _numbers, data: self.events.append((event, data)), events=["review.*"]
        )

    def files(self, event: str) -> list[str]:
        """The files of all events of that name."""
        return [str(data["file"]) for name, data in self.events if name == event]


@pytest.mark.parametrize("chaos", [0.2, 1.0])
@pytest.mark.parametrize("workers", [1, 4])
async def test_chaos_loses_no_file_and_does_not_show_in_the_report(
    tree: Path, chaos: float, workers: int
) -> None:
    calm = await review(order())
    wild = await review(order(chaos=chaos, workers=workers))
    assert calm.report.files == wild.report.files == 40
    assert len(calm.report.findings) == 14
    assert text(calm) == text(wild)
    assert calm.injected == calm.crashes == wild.crashes == 0
    assert wild.injected == 40 if chaos == 1.0 else 0 < wild.injected < 40


async def test_chaos_draws_once_for_each_file_at_its_first_attempt(tree: Path, runtime: Runtime) -> None:
    heard = Heard(runtime)
    await review(order(chaos=1.0))
    injected = heard.files("review.crash_injected")
    assert len(injected) == len(set(injected)) == 40
    attempts = heard.files("review.file_started")
    assert all(attempts.count(file) == 2 for file in injected)
    done = heard.files("review.file_done")
    assert sorted(done) == sorted(set(injected))


async def test_chaos_draws_the_same_files_in_every_run(tree: Path, runtime: Runtime) -> None:
    runs = []
    for workers in (1, 7):
        heard = Heard(runtime)
        await review(order(chaos=0.2, workers=workers))
        runs.append(sorted(heard.files("review.crash_injected")))
    assert runs[0] == runs[1] != []


async def test_a_file_that_crashes_its_reviewer_three_times_is_given_up_and_reported(
    tree: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    heard = Heard(runtime)
    crash_on(monkeypatch, "m07.py", error=ValueError(f"no such node {object()!r}\nat all"))
    outcome = await review(order())
    (error,) = outcome.report.errors
    assert (error.file, error.kind) == ("package1/m07.py", ErrorKind.GIVEN_UP)
    assert error.message == (
        "given up: its review crashed 3 times, the last time with ValueError: no such node <object object> at all"
    )
    assert outcome.crashes == 3
    assert len(outcome.report.findings) == 14
    assert heard.files("review.file_started").count("package1/m07.py") == 3
    assert heard.files("review.file_given_up") == ["package1/m07.py"]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_file_that_crashes_less_often_is_reviewed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    calm = await review(order())
    crash_on(monkeypatch, "m00.py", times=times, error=RecursionError("too deep"))
    outcome = await review(order())
    assert outcome.crashes == times
    assert text(outcome) == text(calm)


async def test_crashes_by_chaos_do_not_count_towards_the_three(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is crashed by chaos once, and one crashes twice besides: four attempts, and it is reviewed."""
    calm = await review(order())
    seen: dict[str, int] = {}
    analyse: Analyse = analyse_file

    def crashing(path: str, **options: Any) -> Any:
        seen[path] = seen.get(path, 0) + 1
        if path.endswith("m00.py") and seen[path] in {2, 3}:
            raise KeyError(path)
        return analyse(path, **options)

    monkeypatch.setattr(_team, "analyse_file", crashing)
    outcome = await review(order(chaos=1.0))
    assert (outcome.injected, outcome.crashes) == (40, 2)
    assert text(outcome) == text(calm)


async def test_the_budget_allows_every_file_to_crash_as_often_as_it_may(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst run there can be: chaos crashes each file once, and each is given up after three crashes of its own."""
    seen: dict[str, int] = {}
    analyse: Analyse = analyse_file

    def crashing(path: str, **options: Any) -> Any:
        seen[path] = seen.get(path, 0) + 1
        if seen[path] > 1:
            raise ValueError
        return analyse(path, **options)

    monkeypatch.setattr(_team, "analyse_file", crashing)
    outcome = await review(order(chaos=1.0, workers=3))
    assert (outcome.injected, outcome.crashes) == (40, 120)
    assert [error.kind for error in outcome.report.errors] == [ErrorKind.GIVEN_UP] * 40


async def test_a_file_that_hangs_is_given_up_after_its_time(
    tree: Path, monkeypatch: pytest.MonkeyPatch, virtual_loop: VirtualLoop
) -> None:
    release = threading.Event()
    analyse: Analyse = analyse_file
    hanging = threading.Semaphore(0)

    def slow(path: str, **options: Any) -> Any:
        if path.endswith("m20.py"):
            hanging.release()
            release.wait()
        return analyse(path, **options)

    monkeypatch.setattr(_team, "analyse_file", slow)
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await review(order("package2/m20.py", workers=2)))

    spawn(run)
    for _ in range(3):
        await virtual_loop.run_in_executor(None, hanging.acquire)
        await virtual_loop.advance(_team.SECONDS_PER_FILE + 1)
    release.set()
    while not outcomes:
        await virtual_loop.advance(1)
        await virtual_loop.run_in_executor(None, int)
    (error,) = outcomes[0].report.errors
    assert (error.file, error.kind) == ("package2/m20.py", ErrorKind.GIVEN_UP)
    assert error.message.endswith("TimeoutError")


async def test_files_that_cannot_be_read_or_parsed_are_reported_and_stop_nothing(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "broken.py").write_text("def f(:\n")
    (tree / "latin.py").write_bytes(b"# coding: ascii\nx = '\xe9'\n")
    os.mkfifo(tree / "pipe.py")
    outcome = await review(order(".", "pipe.py"))
    assert [(error.file, error.kind) for error in outcome.report.errors] == [
        ("broken.py", ErrorKind.UNPARSABLE),
        ("latin.py", ErrorKind.UNPARSABLE),
        ("pipe.py", ErrorKind.UNREADABLE),
    ]
    assert (outcome.report.files, len(outcome.report.findings)) == (43, 14)
    assert outcome.crashes == 0


async def test_a_file_that_goes_away_after_it_was_listed_is_reported(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_files

    def list_and_remove(paths: Any) -> Any:
        found = listing(paths)
        (tree / "package1" / "m10.py").unlink()
        return found

    monkeypatch.setattr(_team, "list_files", list_and_remove)
    outcome = await review(order())
    assert [(error.file, error.kind) for error in outcome.report.errors] == [
        ("package1/m10.py", ErrorKind.UNREADABLE)
    ]


async def test_a_path_that_goes_away_before_it_is_listed_is_reported(tree: Path) -> None:
    outcome = await review(order("package1", "gone"))
    assert [(error.file, error.kind) for error in outcome.report.errors] == [("gone", ErrorKind.UNREADABLE)]


@pytest.mark.parametrize("workers", [1, 3, 200])
async def test_any_number_of_reviewers_gives_the_same_report(tree: Path, workers: int) -> None:
    assert text(await review(order(workers=workers))) == text(await review(order(workers=2)))


@pytest.mark.parametrize("chaos", [0.0, 1.0])
async def test_nothing_to_review_is_a_report(tree: Path, chaos: float) -> None:
    (tree / "empty").mkdir()
    outcome = await review(order("empty", chaos=chaos))
    assert (outcome.report.files, outcome.report.findings, outcome.report.errors) == (0, (), ())


@pytest.mark.parametrize("chaos", [0.0, 1.0])
async def test_one_file_is_reviewed(tree: Path, chaos: float) -> None:
    outcome = await review(order("package0/m00.py", chaos=chaos))
    assert [finding.code for finding in outcome.report.findings] == ["MB101"]


async def test_two_files_that_are_shown_alike_are_two_files(tree: Path) -> None:
    """``link/../a.py`` is not ``a.py``, though it is shown so."""
    (tree / "real" / "below").mkdir(parents=True)
    (tree / "link").symlink_to("real/below")
    (tree / "a.py").write_text(DROPPED)
    (tree / "real" / "a.py").write_text(DROPPED)
    outcome = await review(order("a.py", "link/../a.py"))
    assert (outcome.report.files, len(outcome.report.findings)) == (2, 2)


async def test_loops_of_links_end(tree: Path) -> None:
    (tree / "package0" / "loop").symlink_to(tree)
    (tree / "package0" / "self.py").symlink_to("self.py")
    outcome = await review(order())
    assert outcome.report.files == 41
    assert [(error.file, error.kind) for error in outcome.report.errors] == [
        ("package0/self.py", ErrorKind.UNREADABLE)
    ]


async def test_a_reviewer_that_is_killed_gives_its_file_back(
    tree: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    calm = await review(order())
    analyse: Analyse = analyse_file
    killed = threading.Event()

    def kill_reviewer() -> None:
        for pid in runtime.processes():
            process = find(runtime.kernel, pid)
            if process is not None and process.label == "Reviewer":
                kill(pid)
        killed.set()

    def killing(path: str, **options: Any) -> Any:
        if not killed.is_set():
            runtime.kernel.loop.call_soon_threadsafe(runtime.root.own_context().copy().run, kill_reviewer)
            killed.wait()
        return analyse(path, **options)

    monkeypatch.setattr(_team, "analyse_file", killing)
    outcome = await review(order(workers=1))
    assert outcome.crashes == 1
    assert text(outcome) == text(calm)


def _fail(*_args: object, **_options: object) -> Any:
    raise RuntimeError(ENDS)


@pytest.mark.parametrize(
    ("module", "broken"), [(_books, "make_report"), (_team, "list_files"), (_team, "in_words")]
)
def test_a_crash_of_the_books_ends_the_run_loudly(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: ModuleType,
    broken: str,
) -> None:
    """Collector, lister while it lists, lister while it works: no report, no waiting for ever, and a crash report."""
    monkeypatch.setattr(module, broken, _fail)
    with pytest.raises(MabeamError) as caught:
        Runtime().run(review, order(chaos=1.0))
    assert isinstance(caught.value, ProcessDied | StartFailed)
    assert ENDS in str(caught.value) or ENDS in caplog.text


async def test_a_review_leaves_the_runtime_to_others(tree: Path, runtime: Runtime) -> None:
    """It registers no names, so two reviews can run in one Runtime."""
    outcomes: list[Outcome] = []

    async def run(chaos: float) -> None:
        outcomes.append(await review(order(chaos=chaos)))

    for chaos in (0.0, 1.0):
        spawn_monitor(run, chaos)
    for _ in range(2):
        down = await receive(Down)
        assert not is_abnormal(down.reason)
    assert text(outcomes[0]) == text(outcomes[1])
    assert whereis("lister") is None
