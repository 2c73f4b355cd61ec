"""One mutant against its tests, in an interpreter of its own that is forked for it.

The mutated source is never written anywhere: a finder hands it to the import system in place of the file. Tests, and the
rest of the package, come from a copy of the checkout, so that a run takes an hour without caring who edits meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import multiprocessing
import os
import resource
import signal
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

__all__ = ("Trial", "run_all", "warm_up")

MEMORY: Final = 4 << 30
"""Bytes that one trial may have: a loop that a mutation made endless collects things as a rule."""
_OPTIONS: Final = (
    "-x",
    "-q",
    "--no-header",
    "--tb=short",
    "-pno:cacheprovider",
    "--hypothesis-profile=mutants",
    "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning",  # by warm_up, and that is its purpose
)
_FORK: Final = multiprocessing.get_context("fork")


class Trial:
    """One run of some tests, with one module replaced.

    Attributes:
        passed: the tests have passed: the mutant has survived.
        hung: it was ended because it took too long.
        seconds: how long it took.
    """

    def __init__(self, module: str, source: str, tests: Sequence[str], *, copy: Path, limit: float) -> None:
        """Not begun.

        Args:
            module: the file, below ``src/mabeam``.
            source: what is run in place of it.
            tests: test files, in the order in which they are run.
            copy: the root of the copy of the checkout.
            limit: seconds that it may take.
        """
        self.module = module
        self.source = source
        self.tests = tests
        self.copy = copy
        self.limit = limit
        self.passed = False
        self.hung = False
        self.seconds = 0.0
        self.process: Any = None

    def begin(self) -> None:
        """Fork."""
        self.process = _FORK.Process(target=self._run, daemon=False)
        self.process.start()

    def end(self, *, hung: bool, seconds: float) -> None:
        """Take the outcome, and whatever else it has started with it."""
        self.hung, self.seconds = hung, seconds
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.passed = not hung and self.process.exitcode == 0
        self.process.close()

    def _run(self) -> None:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(self.copy)
        sys.dont_write_bytecode = False  # the copy is ours, and the next trial need not compile it again
        sys.path[:] = [str(self.copy / "src"), str(self.copy), *sys.path]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]  # those of the checkout
        name = ".".join(("mabeam", *Path(self.module).with_suffix("").parts))
        path = self.copy / "src" / "mabeam" / self.module
        sys.meta_path.insert(0, _Finder(name, path, self.source))
        with (self.copy / f"trial-{os.getpid()}.log").open("w", encoding="utf-8") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        # Before pytest has put its own finder in front, which takes plugins with all that belongs to them.
        importlib.import_module(name)
        import pytest

        code = pytest.main([*_OPTIONS, *self.tests], plugins=[_ExamplesFirst()])
        os._exit(int(code))  # without waiting for threads that a mutation has made immortal


class _ExamplesFirst:
    """A plugin: tests that draw their examples take the longest, so they come when all others have passed."""

    @staticmethod
    def pytest_collection_modifyitems(items: list[Any]) -> None:
        from hypothesis import is_hypothesis_test

        items.sort(key=lambda item: is_hypothesis_test(getattr(item, "obj", None)))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module: the mutated one."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name = name
        self._path = path
        self._source = source

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        if name != self._name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        exec(compile(self._source, self._path, "exec"), module.__dict__)


def warm_up() -> None:
    """Import what all trials need before the first one is forked; nothing of the package itself."""
    for name in (
        "_pytest.assertion.rewrite",
        "anyio._backends._asyncio",
        "anyio.pytest_plugin",
        "asyncio",
        "ctypes",
        "hypothesis.stateful",
        "logging.handlers",
        "pytest",
        "pytest_timeout",
        "rich.live",
        "typer",
        "uvloop",
        "xdist.plugin",
    ):
        with contextlib.suppress(ImportError):
            __import__(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "mabeam"]
    if loaded:
        raise RuntimeError(f"{loaded} are loaded already, so no trial would load a mutated one")
    gc.freeze()  # pytest collects garbage five times at its end, and would look at all of this each time


def run_all(trials: Sequence[Trial], *, jobs: int, clock: Callable[[], float]) -> Iterator[Trial]:
    """Run trials, ``jobs`` at a time; each is given back when it is over."""
    waiting = list(reversed(trials))
    running: dict[Any, tuple[Trial, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            trial.begin()
            running[trial.process.sentinel] = (trial, clock())
        first = min(began + trial.limit for trial, began in running.values())
        done = set(wait(list(running), timeout=max(0.0, first - clock())))
        for sentinel, (trial, began) in list(running.items()):
            seconds = clock() - began
            if sentinel in done or seconds > trial.limit:
                del running[sentinel]
                trial.end(hung=sentinel not in done, seconds=seconds)
                yield trial
