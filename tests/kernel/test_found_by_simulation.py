"""What simulations have found, as small programs: each failed under some seeds once."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import (
    GenServer,
    Killed,
    ProcessDied,
    TaskSupervisor,
    handle_call,
    kill,
    receive,
    self_pid,
    send,
    spawn,
    spawn_monitor,
)
from mabeam.kernel import Down
from mabeam.testing import simulate
from tests.kernel._scenes import Turn

SEEDS = range(200)


class Assassin(GenServer):
    """Kills whom it is told to, and answers."""

    @handle_call
    def end(self, pid: Any) -> str:
        kill(pid)
        return "done"


def test_a_caller_that_its_callee_has_killed_does_not_get_the_answer() -> None:
    """The kill was sent before it; but the loop's turn could come in between, and the caller went on."""

    async def program() -> None:
        log: list[str] = []
        assassin = await Assassin.start_link()

        async def client() -> None:
            try:
                log.append(await assassin.call(Assassin.end, self_pid()))
            finally:
                log.append("cleaned up")

        pid, ref = spawn_monitor(client)
        assert await receive() == Down(ref, pid, Killed())
        assert log == ["cleaned up"]

    assert simulate(program, seeds=SEEDS).traces > 3


def test_a_process_that_is_killed_before_its_first_step_makes_none() -> None:
    """Its task was in the loop already when the kill came."""

    async def program() -> None:
        ran: list[str] = []

        async def victim() -> None:
            ran.append("victim")

        async def killer(pid: Any) -> None:
            alive = pid.is_alive and not ran
            kill(pid)
            kept = len(ran)
            send(parent, alive and kept == 0)
            await receive()

        parent = self_pid()
        pid, _ = spawn_monitor(victim)
        spawn(killer, pid)
        was_first = await receive(bool)
        reason = (await receive(Down)).reason
        assert not (was_first and ran), ran
        assert was_first == (reason == Killed()), (was_first, reason)

    assert simulate(program, seeds=SEEDS).traces > 3


def test_an_owner_that_is_killed_while_its_request_waits_leaves_no_task() -> None:
    """The supervisor of tasks took the request of a dead process, and started a task that nobody owned."""

    async def program() -> None:
        tasks = await TaskSupervisor.start_link()

        async def work() -> None:
            await receive()

        async def owner() -> None:
            await TaskSupervisor.start_task(tasks, work)
            await receive()

        for turns in range(6):
            pid, ref = spawn_monitor(owner)
            for _ in range(turns):
                await Turn()
            kill(pid)
            assert await receive() == Down(ref, pid, Killed())
            with pytest.raises(TimeoutError):
                await receive(timeout=1.0)
            assert (await tasks.call(TaskSupervisor.count_children)).specs == 0

    assert simulate(program, seeds=SEEDS).traces > 3


def test_a_killed_server_answers_nobody() -> None:
    """Whoever waited is told, in each order."""

    async def program() -> None:
        assassin = await Assassin.child_spec().start()
        try:
            answer = await assassin.call(Assassin.end, assassin)
        except ProcessDied as died:
            answer = repr(died.reason)
        assert answer == "Killed()"

    simulate(program, seeds=SEEDS)
