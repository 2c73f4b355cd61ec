"""Every module can be imported alone, and importing it loads what stands below it and nothing else."""

import json
import subprocess
import sys

import pytest

from tests.meta import _project

#: Imports each module in a fork of its own: a clean interpreter for each, without paying for starting each.
_EACH_ALONE = """
import importlib, os, sys
for name in ("rich", "typer", "pytest", "uvloop"):
    if name in sys.argv[1].split(","):
        sys.modules[name] = None
# What is not ours is loaded once, before the forks: it is most of the time, and it is not what is tested.
for name in ("asyncio", "ast", "concurrent.futures", "ctypes", "inspect", "json", "logging", "tempfile", "tokenize",
             "importlib.metadata", "hypothesis", "pytest", "rich.live", "rich.progress", "typer", "uvloop"):
    if sys.modules.get(name.partition(".")[0], name) is not None:
        importlib.import_module(name)
failed = []
for name in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, repr(error), sep=": ", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        failed.append(name)
sys.exit("not importable alone: " + ", ".join(failed) if failed else 0)
"""

_LOADED = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def _python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _names() -> list[str]:
    return [module.name for module in _project.modules() if module.path.name != "__main__.py"]


def _loaded_by(name: str) -> set[str]:
    done = _python(_LOADED, name)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.timeout(300)  # one OS process for each module
def test_every_module_is_importable_alone() -> None:
    done = _python(_EACH_ALONE, "", *_names())
    assert done.returncode == 0, done.stderr


def test_the_lower_half_and_testing_need_nothing_installed() -> None:
    """What a user of the kernel imports works without rich, typer and uvloop, and without pytest."""
    roots = tuple(f"mabeam.{name}" for name in (*_project.LOWER_HALF, "testing"))
    names = [name for name in _names() if name.startswith(roots) and not name.endswith("pytest_plugin")]
    done = _python(_EACH_ALONE, "rich,typer,pytest,uvloop", "mabeam", *names)
    assert done.returncode == 0, done.stderr


def test_importing_the_root_loads_nothing_else() -> None:
    """The names of the root package are lazy, so ``import mabeam`` costs next to nothing."""
    loaded = _loaded_by("mabeam")
    assert {name for name in loaded if name.startswith("mabeam")} == {"mabeam"}
    assert not loaded & {"asyncio", "logging", "rich", "typer", "uvloop", "dataclasses", "inspect"}


def _below() -> list[tuple[str, set[str]]]:
    """Each layer that exists, with all that it may load."""
    cases: list[tuple[str, set[str]]] = []
    below: set[str] = set()
    for layer in reversed(_project.layers()):
        existing = [
            name
            for name in layer
            if name in _project.packages() or (_project.PACKAGE / f"{name}.py").exists()
        ]
        cases += [(name, {*below, name}) for name in existing]
        below |= set(existing)
    return cases


@pytest.mark.parametrize(
    ("name", "allowed"), _below(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_importing_a_layer_loads_only_what_is_below(name: str, allowed: set[str]) -> None:
    loaded = {each.split(".")[1] for each in _loaded_by(f"mabeam.{name}") if each.startswith("mabeam.")}
    assert loaded <= allowed, f"importing mabeam.{name} loads {sorted(loaded - allowed)}"


@pytest.mark.parametrize("name", [name for name, _ in _below() if name in _project.LOWER_HALF])
def test_importing_the_lower_half_loads_no_third_party(name: str) -> None:
    declared = {"rich", "typer", "click", "uvloop", "httpx", "anyio", "pytest", "hypothesis", "pydantic"}
    assert not {each.split(".")[0] for each in _loaded_by(f"mabeam.{name}")} & declared
