"""The watchdog's thread gets its looks at a busy loop from the loop, which waits for it."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mabeam import Runtime
from mabeam.kernel import Turn, _lending
from mabeam.kernel._lending import Lending
from mabeam.kernel._scheduler import Scheduler

PAUSE = 3_600.0
"""Seconds: nobody waits for that."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(_lending, "_PATIENCE", 60.0)  # nothing here depends on how quick the machine is
    return SimpleNamespace(now=1_000.0)


@pytest.fixture
def scheduler(clock: SimpleNamespace) -> Scheduler:
    """One whose loop is never asked for anything."""
    return Scheduler(cast("Any", None), lambda: clock.now, None)


def turn(scheduler: Scheduler, times: int) -> None:
    for _ in range(times):
        scheduler._turned()


def test_the_thread_has_looked_before_the_loop_goes_on(clock: SimpleNamespace, scheduler: Scheduler) -> None:
    seen: list[str] = []
    lending = Lending(scheduler, PAUSE)

    def look() -> None:
        while lending.sleep():
            seen.append("looked")

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(1, 4):
        clock.now += 0.81 * PAUSE
        turn(scheduler, 16)
        assert seen == ["looked"] * number
    lending.stop()
    thread.join()
    assert seen == ["looked"] * 3


def test_nobody_is_woken_before_the_look_is_due(clock: SimpleNamespace, scheduler: Scheduler) -> None:
    lending = Lending(scheduler, PAUSE)
    clock.now += 0.79 * PAUSE
    turn(scheduler, 1_000)
    assert not lending._wake.is_set()


def test_the_time_is_looked_at_after_some_turns_only(
    clock: SimpleNamespace, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    lending = Lending(scheduler, PAUSE)
    monkeypatch.setattr(_lending, "_PATIENCE", 0.0)
    clock.now += PAUSE
    turn(scheduler, 15)
    assert not lending._wake.is_set()
    turn(scheduler, 1)
    assert lending._wake.is_set()


def test_a_thread_that_does_not_come_holds_the_loop_up_once_in_a_pause(
    clock: SimpleNamespace, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    lending = Lending(scheduler, PAUSE)
    monkeypatch.setattr(lending._has_looked, "wait", waits.append)
    clock.now += PAUSE
    turn(scheduler, 1_000)
    assert waits == [60.0]
    clock.now += PAUSE
    turn(scheduler, 1_000)
    assert waits == [60.0, 60.0]


def test_stopping_wakes_the_thread_and_takes_the_turns_back(
    clock: SimpleNamespace, scheduler: Scheduler
) -> None:
    lending = Lending(scheduler, PAUSE)
    lending.stop()
    assert lending.sleep() is False
    clock.now += PAUSE
    turn(scheduler, 1_000)
    assert not lending._wake.is_set()


def test_the_thread_wakes_by_itself_when_the_loop_does_not_turn(scheduler: Scheduler) -> None:
    assert Lending(scheduler, 0.001).sleep() is True


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_is_never_idle_lends_the_lock_to_its_watchdog(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_loop = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    lent: list[bool] = []

    class Counted(Lending):
        def _lend_if_due(self) -> None:
            before = self._looked_at
            super()._lend_if_due()
            if self._looked_at != before:
                lent.append(True)

    monkeypatch.setattr("mabeam.kernel._watchdog.Lending", Counted)

    async def main() -> None:
        async with Runtime() as runtime:
            while len(lent) < 3:
                runtime.kernel.scheduler._end_row()  # as after each row of calls
                await Turn()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
