"""The same seed is the same run: here, again, and in another OS process with other hashes."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mabeam import GenServer, TaskSupervisor, handle_call, receive, self_pid, send, spawn
from mabeam.testing import Faults, SimulationFailed, replay, simulate
from mabeam.testing._deciders import Recorded
from mabeam.testing._one_run import Limits, run_once
from mabeam.testing._schedule import Schedule
from tests.conformance.otp.normalize import load_jsonl
from tests.conformance.otp.run import _run as run_in_loop
from tests.testing import _programs

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "conformance" / "otp" / "scenarios" / "hand.jsonl"
PROGRAMS = ("deposits", "cast_then_call", "survivor", "drawing", "threads", "tasks")
FAULTS = Faults(crash=0.05, kill=0.05, delay=0.1, late=0.1)


def digests() -> list[str]:
    """A word for each program and for a part of the recorded scenarios; what another OS process prints."""
    found = [
        simulate(getattr(_programs, name), seeds=range(20), faults=FAULTS, tolerate=(Exception,)).digest
        for name in PROGRAMS
    ]
    for scenario in load_jsonl(SCENARIOS)[::6]:
        program = functools.partial(run_in_loop, scenario)
        found.append(simulate(program, seeds=range(2), check_mutation=False).digest)
    return found


@functools.cache
def _printed_with_hash_seed(seed: int) -> list[str]:
    command = [
        sys.executable,
        "-c",
        "from tests.testing.test_simulation_determinism import digests; print(*digests())",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_seed_is_the_same_run_in_every_os_process() -> None:
    """Bit for bit, whatever strings and addresses hash to: programs of users, and the recorded scenarios of OTP."""
    one, other = _printed_with_hash_seed(1), _printed_with_hash_seed(2)
    assert len(one) == len(PROGRAMS) + 31
    assert one == other


@pytest.mark.filterwarnings("ignore:simulate. faults asks for:UserWarning")  # some have nobody to be hit
def test_every_seed_is_the_same_run_again() -> None:
    """In one OS process, where objects are at other addresses each time."""
    for name in PROGRAMS:
        program = getattr(_programs, name)
        first, second = (
            simulate(program, seeds=range(20), faults=FAULTS, tolerate=(Exception,)) for _ in range(2)
        )
        assert first == second


def test_different_seeds_are_different_runs() -> None:
    """Also one by one."""
    one = {simulate(_programs.deposits, seeds=[seed]).digest for seed in range(20)}
    assert len(one) > 10


def test_tasks_in_sets_have_their_places() -> None:
    """A task group cancels its tasks in the order of a set; so does anyio, and asyncio.wait returns sets."""
    orders: list[tuple[str, ...]] = []

    async def program() -> None:
        log: list[str] = []

        async def wait(word: str) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                log.append(word)

        async def fail() -> None:
            raise LookupError

        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for word in "abcdefghij":
                    group.create_task(wait(word))
                group.create_task(fail())
        keep = [object() for _ in range(len(orders) * 7)]  # other addresses in each run
        orders.append(tuple(log))
        del keep

    simulate(program, seeds=[1] * 20)
    assert len(set(orders)) == 1


def test_tasks_of_a_supervisor_in_sets_have_their_places() -> None:
    orders: list[tuple[int, ...]] = []

    async def program() -> None:
        keep = [object() for _ in range(len(orders) * 7)]  # other addresses in each run
        pool = await TaskSupervisor.start_link()
        tasks = {await TaskSupervisor.start_task(pool, self_pid): number for number in range(10)}
        orders.append(tuple(tasks[task] for task in set(tasks)))
        for task in tasks:
            await task
        del keep

    simulate(program, seeds=[1] * 20)
    assert len(set(orders)) == 1


def test_the_order_of_tasks_in_a_set_is_chosen() -> None:
    """Outside of simulations it is any; what takes one for granted is found, and needs nothing else."""
    orders: list[list[int]] = []

    async def job(number: int) -> int:
        return number

    async def program() -> None:
        done, _ = await asyncio.wait([asyncio.ensure_future(job(number)) for number in range(4)])
        orders.append([task.result() for task in done])
        assert orders[-1] == orders[0]

    limits = Limits(max_steps=1000, max_virtual_seconds=60.0, check_mutation=False, tolerate=())
    assert run_once(program, Recorded(Schedule()), limits).error is None
    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=range(50))
    failed = caught.value
    assert failed.choices == ("task_order: sets have tasks the other way round (1 of 2)",)
    assert failed.is_deterministic
    with pytest.raises(SimulationFailed) as again:
        replay(program, failed.token)
    assert again.value.trace == failed.trace


def test_without_tasks_there_is_no_order_of_tasks_to_choose() -> None:
    """A program in which nothing is free is one run."""

    async def program() -> None:
        send(self_pid(), 1)
        assert await receive() == 1

    assert simulate(program, seeds=5).choices == 0


def test_a_program_that_depends_on_more_than_its_seed_is_told_so() -> None:
    """It is not shrunk: what is left would mean nothing."""
    runs: list[int] = []

    async def program() -> None:
        runs.append(1)
        for word in ("left", "right")[: 1 + len(runs) % 2]:
            spawn(send, self_pid(), word)
        assert await receive() == "never"

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=[1])
    failed = caught.value
    assert not failed.is_deterministic
    assert "They differ at event" in str(failed)
    assert "first:" in str(failed)


def test_the_shared_generator_is_seeded_and_given_back() -> None:
    """What the program draws follows from the seed; what others draw is not touched."""
    import random

    drawn: list[float] = []

    async def program() -> None:
        drawn.append(random.random())  # noqa: TID251  (what a program of a user does)

    before = random.getstate()
    simulate(program, seeds=3)
    simulate(program, seeds=3)
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3
    assert random.getstate() == before


def test_what_a_failing_program_has_drawn_is_part_of_its_schedule() -> None:
    """A token leads to the same draws."""
    import random

    async def program() -> None:
        assert random.randrange(10) != 7  # noqa: TID251  (as above)

    with pytest.raises(SimulationFailed) as caught:
        simulate(program)
    with pytest.raises(SimulationFailed):
        replay(program, caught.value.token)
    assert f"draws   what random.seed({caught.value.seed}) gives" in str(caught.value)


def test_a_trace_holds_everything_and_nothing_that_differs() -> None:
    """Choices, messages, starts, ends, timers, faults, threads; no addresses."""

    async def program() -> None:
        await _programs.survivor()
        await _programs.threads()
        await receive(timeout=1.0)

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, faults=FAULTS, max_faults=3)
    with pytest.raises(SimulationFailed) as again:
        replay(program, caught.value.token)
    trace = again.value.trace
    assert trace == caught.value.trace
    kinds = {line.split()[1] for line in trace}
    assert {"choose", "send", "take", "call", "start", "exit", "timer"} <= kinds
    text = "\n".join(trace)
    assert " at 0x" not in text
    assert "Account 'ann' <3>" in text


class Handed(GenServer):
    @handle_call
    def ping(self) -> None: ...


async def hand_off_now_and_then() -> None:
    server = await Handed.start_link()
    for _ in range(5):
        await server.call(Handed.ping)
    raise ValueError


def test_a_run_is_the_same_for_whoever_is_handling_an_exception() -> None:
    """The usual place to replay is the ``except`` block that has caught the failure."""
    found: list[SimulationFailed] = []
    for _ in range(2):
        try:
            raise found[-1] if found else AssertionError
        except (AssertionError, SimulationFailed):
            handled = sys.exception()
            with pytest.raises(SimulationFailed) as failed:
                simulate(hand_off_now_and_then, seeds=[3])
            found.append(failed.value)
            if sys.exception() is not handled:
                pytest.fail("the exception that was being handled is gone")
    with pytest.raises(SimulationFailed) as outside:
        simulate(hand_off_now_and_then, seeds=[3])
    assert [each.trace for each in found] == [outside.value.trace] * 2
    assert any("at once" in line for line in outside.value.trace)
