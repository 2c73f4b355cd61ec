"""The pytest plugin, run on suites of its own: which tests it takes, and what makes them fail."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MARKED = """
import asyncio
import gc
import logging
import threading
import pytest
from hypothesis import given, strategies
from mabeam.kernel import Runtime, current_process, receive, self_pid, spawn, spawn_link
from mabeam.telemetry import emit
from mabeam.testing import Probe, VirtualLoop, wait_until_idle

async def never():
    await receive()

@pytest.fixture
def spawner(runtime):
    assert runtime.processes() == ()
    return spawn

@pytest.mark.simulate(seeds=3)
async def test_passes_marked_simulate_alone(virtual_loop):
    assert virtual_loop.time() >= 0

@pytest.mark.mabeam
async def test_passes_in_virtual_time(virtual_loop, runtime, spawner, tmp_path):
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop() is virtual_loop
    assert virtual_loop.time() == 3600
    assert current_process() is runtime.root
    pid = spawner(never)
    assert runtime.processes() == (pid,)

@pytest.mark.mabeam
@pytest.mark.parametrize("number", [1, 2])
async def test_passes_with_parameters(number, spawner):
    await asyncio.sleep(number)
    assert asyncio.get_running_loop().time() == number

class TestMethods:
    @pytest.mark.mabeam
    async def test_passes_as_method(self, virtual_loop):
        await asyncio.sleep(1)

@pytest.mark.mabeam
async def test_skips():
    pytest.skip("inside")

@pytest.mark.mabeam
@given(seconds=strategies.integers(min_value=0, max_value=10_000))
async def test_passes_each_example_on_a_new_loop(seconds):
    assert asyncio.get_running_loop().time() == 0
    await asyncio.sleep(seconds)
    assert asyncio.get_running_loop().time() == seconds

@pytest.mark.real_time
async def test_passes_in_real_time(runtime):
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)
    assert await asyncio.to_thread(int) == 0

@pytest.mark.real_time(loop="uvloop")
async def test_passes_on_uvloop(runtime):
    assert type(asyncio.get_running_loop()).__module__ == "uvloop"
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()

@pytest.mark.mabeam
def test_passes_though_not_async(virtual_loop):
    assert virtual_loop.run_until_complete(asyncio.sleep(60, "slept")) == "slept"
    assert virtual_loop.time() == 60

@pytest.mark.real_time
async def test_passes_when_transports_are_still_closing():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.close()
    server.close()

@pytest.mark.mabeam
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_passes_when_the_warning_is_expected():
    never()

@pytest.mark.mabeam
async def test_fails_by_assertion():
    await asyncio.sleep(1)
    assert 1 == 2

@pytest.mark.mabeam
async def test_fails_by_deadlock():
    await asyncio.Event().wait()

async def ticks_for_ever():
    async def tick():
        while True:
            await asyncio.sleep(1)
    spawn(tick)
    await receive()

@pytest.mark.mabeam(max_steps=2_000)
async def test_fails_by_going_on():
    await ticks_for_ever()

@pytest.mark.simulate(seeds=3, max_steps=3_000)
async def test_fails_by_going_on_under_seeds():
    if type(asyncio.get_running_loop()) is VirtualLoop:
        return
    await ticks_for_ever()

@pytest.mark.mabeam(max_steps=20)
async def test_fails_by_going_on_for_a_while():
    for _ in range(30):
        await asyncio.sleep(1)

@pytest.mark.mabeam(max_steps=200)
async def test_passes_with_enough_steps():
    for _ in range(30):
        await asyncio.sleep(1)

@pytest.mark.mabeam(max_steps=0)
async def test_errors_for_no_steps():
    pass

@pytest.mark.mabeam(steps=3)
async def test_errors_for_unknown_option():
    pass

@pytest.mark.mabeam
async def test_fails_by_task_left_behind():
    test_fails_by_task_left_behind.task = asyncio.get_running_loop().create_task(asyncio.sleep(9), name="forgotten")

@pytest.mark.mabeam
async def test_fails_by_thread_left_behind():
    release = threading.Event()
    threading.Thread(target=release.wait, args=(60,), name="forgotten thread", daemon=True).start()

@pytest.mark.mabeam
def test_fails_by_socket_left_behind():
    import socket
    test_fails_by_socket_left_behind.pair = socket.socketpair()

@pytest.mark.mabeam
async def test_fails_by_unread_exception():
    async def fail():
        raise ValueError("nobody read this")
    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(1)
    cycle = [task]
    cycle.append(cycle)

@pytest.mark.mabeam
async def test_fails_by_error_in_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(1)

@pytest.mark.mabeam
async def test_fails_by_unknown_event():
    emit("no.such_event", {}, {})

@pytest.mark.mabeam
async def test_fails_by_coroutine_never_awaited():
    never()

@pytest.mark.mabeam
async def test_fails_by_link():
    async def crash():
        raise ValueError("linked")
    spawn_link(crash)
    await asyncio.sleep(1)

@pytest.mark.real_time
async def test_errors_for_want_of_virtual_time(virtual_loop):
    pass

@pytest.mark.real_time(loop="other")
async def test_errors_for_unknown_loop():
    pass

@pytest.mark.real_time("uvloop")
async def test_errors_for_loop_without_its_name():
    pass

@pytest.mark.real_time(lop="uvloop")
async def test_errors_for_misspelt_loop():
    pass

async def test_unmarked_is_left_alone():
    pass

def test_passes_unmarked_and_leaks():
    import socket
    test_passes_unmarked_and_leaks.pair = socket.socketpair()
"""

CASES = """
import asyncio
import unittest
import pytest

class TestCase(unittest.IsolatedAsyncioTestCase):
    async def test_passes_unmarked(self):
        await asyncio.sleep(0.001)

    @pytest.mark.mabeam
    async def test_errors_marked_mabeam(self):
        raise AssertionError

    @pytest.mark.real_time
    def test_errors_marked_real_time(self):
        raise AssertionError

    @pytest.mark.simulate(seeds=3)
    async def test_errors_marked_simulate(self):
        raise AssertionError

    @pytest.mark.simulate(False, reason="it has a loop of its own")
    async def test_passes_marked_not_to_be_simulated(self):
        await asyncio.sleep(0.001)

    @pytest.mark.simulate(seeds=3)
    def test_passes_though_not_async(self):
        pass
"""

AUTO = """
import asyncio
import socket
import pytest

async def test_passes_unmarked(virtual_loop):
    await asyncio.sleep(100)
    assert virtual_loop.time() == 100

def test_passes_synchronous_and_is_left_alone():
    test_passes_synchronous_and_is_left_alone.pair = socket.socketpair()

@pytest.mark.real_time
async def test_passes_in_real_time():
    assert asyncio.get_running_loop().time() > 0
"""


ANOTHER_PLUGIN = """
import asyncio
import pytest

class Item(pytest.Function):
    def setup(self):
        self.fixturenames.append("loop_of_its_own")
        super().setup()

    def runtest(self):
        asyncio.run(self.obj())

@pytest.fixture
def loop_of_its_own():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()

@pytest.hookimpl(specname="pytest_pycollect_makeitem", hookwrapper=True)
def pytest_pycollect_makeitem(collector, name, obj):
    made = yield
    if (items := made.get_result()) and asyncio.iscoroutinefunction(obj):
        made.force_result([Item.from_parent(item.parent, name=item.name, callobj=item.obj) for item in items])
"""

BESIDE_OTHERS = """
import asyncio
import pytest
from mabeam import self_pid
from mabeam.errors import UsageError

@pytest.mark.simulate(seeds=20)
async def test_fails_under_seeds():
    order = []
    async def wake(number):
        await asyncio.sleep(0.1)
        order.append(number)
    await asyncio.gather(wake(1), wake(2))
    assert order == [1, 2]

@pytest.mark.mabeam
async def test_passes_in_a_runtime():
    self_pid()

async def test_passes_unmarked():
    await asyncio.sleep(0)
    with pytest.raises(UsageError):
        self_pid()
"""


def _outcomes(directory: Path, source: str, mode: str) -> tuple[dict[str, str], str]:
    (directory / "test_suite.py").write_text(source)
    (directory / "pytest.ini").write_text(f"[pytest]\nmabeam_mode = {mode}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-vv",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "test_suite.py",
    ]
    output = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout
    lines = re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED) (?:\[1\] )?test_suite\.py(?:::|:)(\S+)", output, re.MULTILINE
    )
    return {name: outcome for outcome, name in lines}, output


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """Outcomes and output of a suite in which tests ask for the plugin by a marker."""
    return _outcomes(tmp_path_factory.mktemp("marked"), MARKED, "marked")


@pytest.fixture
def section(marked: tuple[dict[str, str], str]) -> Callable[[str], str]:
    """Cut out what pytest said about one failing test."""

    def cut(name: str) -> str:
        _, _, after = marked[1].partition(f" {name} _")
        return after.partition("\n____")[0]

    return cut


def test_each_test_has_the_outcome_that_its_name_says(marked: tuple[dict[str, str], str]) -> None:
    """Those that pass, those that fail, and those that could not be set up."""
    outcomes, output = marked
    expected = {"passes": "PASSED", "fails": "FAILED", "errors": "ERROR"}
    wrong = {
        name: outcome
        for name, outcome in outcomes.items()
        for word, right in expected.items()
        if f"test_{word}_" in name and outcome != right
    }
    assert not wrong, output
    assert sum("test_passes_" in name for name in outcomes) == 13, output
    assert sum("test_fails_" in name for name in outcomes) == 13, output
    assert sum("test_errors_" in name for name in outcomes) == 6, output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_fails_by_assertion", "assert 1 == 2"),
        ("test_fails_by_deadlock", "DeadlockError: the program can never go on"),
        ("test_fails_by_going_on", "EndlessError: the program did not end: it was stopped after 2,000 steps"),
        ("test_fails_by_going_on_under_seeds", "it was stopped after 3,000 steps"),
        ("test_fails_by_going_on_for_a_while", "If it just needs more, raise max_steps"),
        ("test_errors_for_no_steps", "mabeam: max_steps expects a number of steps >= 1, got 0"),
        ("test_errors_for_unknown_option", "mabeam expects max_steps= or nothing"),
        ("test_fails_by_task_left_behind", "task 'forgotten' waits for"),
        ("test_fails_by_thread_left_behind", "thread 'forgotten thread'"),
        ("test_fails_by_socket_left_behind", "socket with file descriptor"),
        ("test_fails_by_unread_exception", "nobody read this"),
        ("test_fails_by_error_in_callback", "ZeroDivisionError"),
        ("test_fails_by_unknown_event", "'no.such_event' is not in the catalogue"),
        ("test_fails_by_coroutine_never_awaited", "coroutine 'never' was never awaited"),
        ("test_fails_by_link", "ProcessDied"),
        ("test_errors_for_want_of_virtual_time", "a test marked real_time has no virtual_loop"),
        ("test_errors_for_unknown_loop", "or nothing; got () {'loop': 'other'}"),
        ("test_errors_for_loop_without_its_name", "real_time expects loop='asyncio' or loop='uvloop'"),
        ("test_errors_for_misspelt_loop", "real_time expects loop='asyncio' or loop='uvloop'"),
    ],
)
def test_a_failing_test_says_why(section: Callable[[str], str], name: str, reason: str) -> None:
    """In its own section of the report, not in that of some later test."""
    assert reason in section(name)


def test_tests_that_did_not_ask_are_left_to_others(marked: tuple[dict[str, str], str]) -> None:
    """Without another plugin pytest itself refuses an async test."""
    outcomes, output = marked
    assert outcomes["test_unmarked_is_left_alone"] == "FAILED"
    assert "async def functions are not natively supported" in output


def test_skipping_works_inside_an_async_test(marked: tuple[dict[str, str], str]) -> None:
    """As in any other."""
    assert re.search(r"test_skips SKIPPED \(inside\)", marked[1]), marked[1]


def test_in_auto_mode_every_async_test_is_run(tmp_path: Path) -> None:
    """And no other."""
    outcomes, output = _outcomes(tmp_path, AUTO, "auto")
    assert set(outcomes.values()) == {"PASSED"}, output
    assert len(outcomes) == 3


def test_a_plugin_with_items_of_its_own_leaves_what_is_ours_to_us(tmp_path: Path) -> None:
    """One such is pytest-asyncio. Its runs would be green, without a seed."""
    (tmp_path / "conftest.py").write_text(ANOTHER_PLUGIN)
    _expect_ours_and_theirs(*_outcomes(tmp_path, BESIDE_OTHERS, "marked"))


def test_where_anyio_runs_every_async_test_it_leaves_what_is_ours_to_us(tmp_path: Path) -> None:
    """It asks to be first, too."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
    )
    source = f"import pytest\npytestmark = pytest.mark.anyio\n{BESIDE_OTHERS}"
    _expect_ours_and_theirs(*_outcomes(tmp_path, source, "marked"))


def _expect_ours_and_theirs(outcomes: dict[str, str], output: str) -> None:
    assert outcomes == {
        "test_fails_under_seeds": "FAILED",
        "test_passes_in_a_runtime": "PASSED",
        "test_passes_unmarked": "PASSED",
    }, output
    assert "assert [2, 1] == [1, 2]" in output


@pytest.mark.parametrize("mode", ["marked", "auto"])
def test_methods_of_a_testcase_that_ask_for_the_plugin_are_refused(tmp_path: Path, mode: str) -> None:
    """Such a class makes its own loop, so they would be green without having been simulated."""
    outcomes, output = _outcomes(tmp_path, CASES, mode)
    assert len(outcomes) == 6, output
    assert all(
        outcome == ("ERROR" if "test_errors_" in name else "PASSED") for name, outcome in outcomes.items()
    ), output
    assert "Write a plain class" in output


def test_the_tests_shown_in_the_how_to_pass(tmp_path: Path) -> None:
    """The documentation tests define them; here they run."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "test-with-virtual-time.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    source = "\n".join(block for block in blocks if "@pytest.mark.mabeam" in block)
    outcomes, output = _outcomes(tmp_path, source, "marked")
    assert list(outcomes.values()) == ["PASSED", "PASSED", "PASSED"], output


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    """With the modes that there are."""
    _, output = _outcomes(tmp_path, AUTO, "always")
    assert "passed" not in output
