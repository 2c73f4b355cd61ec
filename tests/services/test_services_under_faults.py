"""Crashes, kills and delays at any time: what the services promise holds when the dust has settled."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import CircuitOpen, Pid, ProcessDied, RejectedError, TaskSupervisor
from mabeam.services._circuit_breakers import _Tasks
from mabeam.services._health_runner import HealthRunner
from mabeam.testing import Faults, wait_until_idle
from tests.services._scenes import (
    advance,
    answer,
    beside,
    circuits,
    health,
    kill_and_wait,
    pid_of,
    process_of,
)

pytestmark = pytest.mark.mabeam


async def fine() -> None:
    """A check."""


RUNNER = Faults(kill=0.1, crash=0.1, delay=0.1, late=0.1, max_delay=2.0, only=[HealthRunner, fine])
TASKS = Faults(kill=0.2, crash=0.2, delay=0.2, max_delay=2.0, only=[_Tasks, answer])


@pytest.mark.simulate(seeds=100, faults=RUNNER, max_faults=3)
async def test_whatever_happens_to_the_runner_every_check_is_run_again() -> None:
    h = await health()
    says: list[bool] = [True]
    running = 0

    async def base() -> bool:
        nonlocal running
        running += 1
        assert running == 1
        try:
            return says[0]
        finally:
            running -= 1

    h.add("top", fine, interval=3.0, depends_on=("middle",))
    h.add("middle", fine, interval=3.0, depends_on=("base",))
    h.add("base", base, interval=3.0)
    await advance(20.0)
    for check in h.list():
        age = h.report(check).age
        assert age is not None
        assert age < 15.0
    assert h.statistics().checks == 3
    says[0] = False
    await advance(20.0)
    assert [h.report(check).status for check in h.list()] == ["unhealthy"] * 3
    says[0] = True
    await advance(20.0)
    assert h.report_all().status == "healthy"


@pytest.mark.simulate(seeds=100, faults=TASKS, max_faults=3)
async def test_whatever_happens_to_tasks_callers_have_an_answer_and_nothing_is_left() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}})
    outcome: list[Any] = []
    for each in range(6):
        beside(lambda value=each: c.options(supervised=True).call("a", answer, value), outcome)  # type: ignore[misc]  # bound now
    await advance(20.0)
    assert len(outcome) == 6
    assert all(isinstance(each, int | ProcessDied | RejectedError) for each in outcome)
    assert not [
        each for each in outcome if isinstance(each, CircuitOpen)
    ]  # none of that is the service's fault
    assert c.status("a").state == "closed"
    assert c.statistics().tasks == 0


async def test_callers_and_service_that_die_together_leave_nothing() -> None:
    c = await circuits(circuits={"a": {}})
    outcome: list[Any] = []

    async def hang() -> None:
        from asyncio import get_running_loop

        await get_running_loop().create_future()

    callers: list[Pid] = [
        beside(lambda: c.options(supervised=True).call("a", hang), outcome) for _ in range(20)
    ]
    await wait_until_idle()
    pool = process_of(pid_of("circuits")).body.circuits.pool
    for each in callers[:10]:
        await kill_and_wait(each)
    await kill_and_wait("circuits")
    await advance(2.0)
    assert not pool.is_alive
    assert len(outcome) == 10
    assert all(isinstance(each, ProcessDied) for each in outcome)
    assert c.statistics().tasks == 0
    assert issubclass(_Tasks, TaskSupervisor)
