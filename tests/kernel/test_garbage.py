"""The garbage collector under the hand of ``mabeam.run``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from mabeam.kernel import _garbage
from mabeam.kernel._garbage import GarbageKeeper
from mabeam.telemetry import Bus
from tests.otp._servers import pause


class Collector:
    """Stands for the module ``gc``, and writes down what it is told."""

    def __init__(self) -> None:
        self.threshold: tuple[int, ...] = (700, 10, 10)
        self.walks = 0
        self.frozen = 0
        self.told: list[str] = []
        self.seconds = 0.0
        self.objects = [1]

    def get_threshold(self) -> tuple[int, ...]:
        return self.threshold

    def set_threshold(self, *threshold: int) -> None:
        self.threshold = threshold

    def get_freeze_count(self) -> int:
        return self.frozen

    def get_count(self) -> tuple[int, int, int]:
        return 0, 0, self.walks

    def collect(self) -> None:
        self.told.append("collect")
        self.walks = 0

    def freeze(self) -> None:
        self.told.append("freeze")
        self.frozen = self.objects.pop(0) if len(self.objects) > 1 else self.objects[0]

    def unfreeze(self) -> None:
        self.told.append("unfreeze")
        self.frozen = 0


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    collector = Collector()
    monkeypatch.setattr(_garbage, "gc", collector)
    monkeypatch.setattr(_garbage, "_collector", _garbage._Collector())
    return collector


class Program:
    """What a keeper looks at: how many processes live and have been started, and whether anything is to be done."""

    def __init__(self) -> None:
        self.id = "r1"
        self.loop = asyncio.get_running_loop()
        self.table: set[int] = set()
        self.started_count = 0
        self.scheduler = SimpleNamespace(is_idle=True)
        self.bus = Bus()

    def starts(self, count: int) -> None:
        self.table |= set(range(self.started_count, self.started_count + count))
        self.started_count += count

    def ends(self, count: int) -> None:
        for _ in range(count):
            self.table.pop()


def keeps(program: Any) -> GarbageKeeper:
    return GarbageKeeper(program)


async def test_the_collector_is_as_it_was_afterwards(collector: Collector) -> None:
    keeper = keeps(Program())
    assert collector.threshold == (5_000, 40, 1_000_000)
    keeper.close()
    assert collector.threshold == (700, 10, 10)
    assert collector.told == []


async def test_of_two_programs_the_last_leaves_it_as_the_first_has_found_it(collector: Collector) -> None:
    """Side by side in two threads, whichever of them ends first."""
    first, second = Program(), Program()
    for order in ((0, 1), (1, 0)):
        keepers = [keeps(first), keeps(second)]
        keepers[order[0]].close()
        assert collector.threshold == (5_000, 40, 1_000_000)
        keepers[order[1]].close()
        assert collector.threshold == (700, 10, 10)


async def test_what_one_of_two_programs_has_frozen_is_given_back_with_the_last(collector: Collector) -> None:
    """To Python it is one heap: what the other still has frozen would come back with it."""
    program = Program()
    keeper = keeps(program)
    program.starts(10_000)
    await pause(1.0)
    assert collector.told == ["freeze"]
    other = keeps(Program())
    keeper.close()
    assert collector.told == ["freeze"]
    other.close()
    assert collector.told == ["freeze", "unfreeze"]


async def test_an_idle_program_is_walked_through_when_that_is_worth_while(collector: Collector) -> None:
    keeper = keeps(Program())
    collector.walks = 9
    await pause(5.0)
    assert collector.told == []
    collector.walks = 10
    await pause(5.0)
    assert collector.told == ["collect"]
    assert keeper.collections == 1
    keeper.close()


async def test_a_program_that_is_never_idle_is_walked_through_as_well(collector: Collector) -> None:
    """It is waited for ten looks, or until there is very much."""
    program = Program()
    keeper = keeps(program)
    program.scheduler.is_idle = False
    collector.walks = 10
    await pause(10.5)
    assert collector.told == []
    await pause(1.0)
    assert collector.told == ["collect"]
    collector.walks = 50
    await pause(1.0)
    assert collector.told == ["collect", "collect"]
    keeper.close()


async def test_a_bulk_start_is_frozen_until_half_of_it_has_ended(collector: Collector) -> None:
    program = Program()
    keeper = keeps(program)
    program.starts(30_000)
    await pause(1.5)
    assert collector.told == ["freeze"]
    program.ends(14_999)
    await pause(2.0)
    assert collector.told == ["freeze"]
    program.ends(1)
    program.scheduler.is_idle = False
    await pause(5.0)
    assert collector.told == ["freeze"]  # it will have the time
    program.scheduler.is_idle = True
    await pause(1.0)
    assert collector.told == ["freeze", "unfreeze"]
    keeper.close()
    assert collector.told == ["freeze", "unfreeze"]


async def test_processes_that_come_and_go_are_no_bulk_start(collector: Collector) -> None:
    """What they leave behind would be frozen with them."""
    program = Program()
    keeper = keeps(program)
    for _ in range(10):
        program.starts(20_000)
        program.ends(20_000)
        await pause(1.0)
    assert collector.told == []
    keeper.close()


async def test_what_is_frozen_is_given_back_at_the_end(collector: Collector) -> None:
    program = Program()
    keeper = keeps(program)
    program.starts(10_000)
    await pause(1.5)
    keeper.close()
    assert collector.told == ["freeze", "unfreeze"]


async def test_what_a_program_has_frozen_itself_stays_frozen(collector: Collector) -> None:
    program, collector.frozen = Program(), 1
    keeper = keeps(program)
    program.starts(10_000)
    await pause(1.5)
    program.ends(10_000)
    await pause(5.0)
    keeper.close()
    assert collector.told == ["freeze"]


async def test_what_a_long_walk_has_looked_at_is_frozen(collector: Collector) -> None:
    program = Program()
    keeper = keeps(program)
    now = iter([0.0, 0.06])
    keeper._stopwatch = lambda: next(now)
    collector.walks = 10
    heard: list[object] = []
    with program.bus.attach(lambda event, *_: heard.append(event), events=["gc.collected"]):
        await pause(1.5)
    assert collector.told == ["collect", "freeze"]
    assert keeper.longest == pytest.approx(0.06)
    assert len(heard) == 1
    keeper.close()


async def test_what_is_frozen_is_given_back_when_it_has_doubled(collector: Collector) -> None:
    """Cycles among it are not found: a large heap that is replaced, with no process that ends, would grow without end."""
    program = Program()
    keeper = keeps(program)
    clock = [0.0]

    def later() -> float:
        clock[0] += 0.06
        return clock[0]

    keeper._stopwatch = later
    collector.objects = [100, 199, 200, 150, 299, 300]
    walk = ["collect", "freeze"]
    for told in (walk, walk, [*walk, "unfreeze"], walk, walk, [*walk, "unfreeze"]):
        collector.told.clear()
        collector.walks = 10
        await pause(3.0)
        assert collector.told == told
    keeper.close()


PROGRAM = """
import gc, mabeam
from mabeam.kernel import _garbage

_garbage._PERIOD = 0.01

async def main():
    inside = gc.get_threshold()
    pids = [mabeam.spawn(mabeam.receive) for _ in range(10_001)]
    while not gc.get_freeze_count():
        await mabeam.in_thread(int)
    for pid in pids:
        mabeam.kill(pid)
    while gc.get_freeze_count():
        await mabeam.in_thread(int)
    return inside

before = gc.get_threshold()
print(before, mabeam.run(main), gc.get_threshold(), gc.get_freeze_count())
"""


@pytest.mark.real_time
def test_it_is_python_s_own_collector() -> None:
    """In a real program: thresholds, freezing after a bulk start, giving back after the end of it."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.split("(")[2].startswith("5000, 40, 1000000)"), answer.stdout
    first, last = answer.stdout.split(")")[0] + ")", "(" + answer.stdout.split("(")[3].rsplit(" ", 1)[0]
    assert first == last
    assert answer.stdout.strip().endswith(" 0")
