"""Ends that are no kill: stages, graces, and what happens to code that does not let itself be ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mabeam.errors import StartFailed
from mabeam.kernel import (
    Crashed,
    Down,
    Exited,
    Killed,
    Normal,
    Runtime,
    Shutdown,
    kill,
    receive,
    send,
    send_exit,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unlink,
)
from mabeam.otp import GenServer, Supervisor, handle_call, handle_cast
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import never, reason_of, swallow_for_ever, trap_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mabeam.kernel import ExitReason


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_cancelled_code_has_a_second_of_grace(runtime: Runtime) -> None:
    """Then it is left behind, with the reason that was decided on."""
    pid, ref = spawn_monitor(swallow_for_ever)
    await wait_until_idle()
    send_exit(pid, Exited("end"))
    assert await receive() == Down(ref, pid, Exited("end"))
    assert _now() == 1.0
    assert runtime.statistics().frozen == 1


async def test_code_that_uses_its_grace_ends_by_itself(runtime: Runtime) -> None:
    """It may wait, and nothing is frozen."""

    async def careful() -> None:
        try:
            await never()
        finally:
            with pytest.raises(TimeoutError):
                await receive(timeout=0.9)

    pid, ref = spawn_monitor(careful)
    await wait_until_idle()
    send_exit(pid, Exited("end"))
    assert await receive() == Down(ref, pid, Exited("end"))
    assert _now() == 0.9
    assert runtime.statistics().frozen == 0


class Uncancellable(asyncio.Future[None]):
    """As some library might have one."""

    raises = True

    def cancel(self, msg: object = None) -> bool:
        if self.raises:
            raise LookupError("not to be cancelled")
        return super().cancel(msg)


@pytest.mark.parametrize("how", ["signal", "kill"])
async def test_who_waits_for_what_cannot_be_cancelled_ends_all_the_same(
    how: str, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """And so does whoever is linked to it; what was raised is reported."""
    awaited = Uncancellable()
    before = len(runtime.processes())

    async def body() -> None:
        await awaited

    async def linked() -> None:
        spawn_link(body)
        await never()

    pid, ref = spawn_monitor(linked)
    await wait_until_idle()
    if how == "kill":
        kill(pid)
    else:
        send_exit(pid, Exited("end"))
    assert await receive() == Down(ref, pid, Killed() if how == "kill" else Exited("end"))
    with pytest.raises(TimeoutError):
        await receive(timeout=1.0)  # the grace of the other
    assert len(runtime.processes()) == before
    assert "not to be cancelled" in caplog.text
    awaited.raises = False
    awaited.cancel()


async def test_what_clean_up_raises_does_not_change_the_reason() -> None:
    """The end was decided before."""

    async def body() -> None:
        try:
            await never()
        finally:
            raise ValueError("in finally")

    pid, ref = spawn_monitor(body)
    await wait_until_idle()
    send_exit(pid, Exited("end"))
    assert await receive() == Down(ref, pid, Exited("end"))


def _stop_with_runtime(shape: str) -> tuple[ExitReason | None, float, int]:
    pids = []

    async def main() -> tuple[float, int]:
        async with Runtime() as runtime:
            pids.append(spawn(swallow_for_ever if shape == "swallows" else trap_and_wait))
            await wait_until_idle()
        return asyncio.get_running_loop().time(), runtime.statistics().frozen

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        time, frozen = runner.run(main())
    return reason_of(pids[0]), time, frozen


@pytest.mark.parametrize("shape", ["swallows", "traps"])
def test_when_the_shutdown_time_runs_out_the_reason_is_killed(shape: str) -> None:
    """5 s for a worker, whether it swallows its cancellation or traps exits; ``Killed`` is OTP's reason then."""
    reason, time, frozen = _stop_with_runtime(shape)
    assert reason == Killed()
    assert time == 5.0
    assert frozen == (1 if shape == "swallows" else 0)


@pytest.mark.parametrize("shutdown", [0.5, 3.0])
async def test_the_grace_is_what_is_left_of_the_shutdown_time(shutdown: float) -> None:
    """A handler that swallows two cancellations cannot hold up the stop of its supervisor."""

    class Stubborn(GenServer):
        @handle_cast
        async def hang(self) -> None:
            await swallow_for_ever()

    supervisor = await Supervisor.start_link(
        [Stubborn.child_spec().named("stubborn").options(shutdown=shutdown)], strategy="one_for_one"
    )
    probe = Probe.start()
    ref = probe.watch("stubborn")
    from mabeam.otp import ref as handle

    handle("stubborn", Stubborn).cast(Stubborn.hang)
    await wait_until_idle()
    await supervisor.stop()
    down = await probe.next()
    assert (down.ref, down.reason) == (ref, Killed())
    assert _now() == shutdown


async def test_an_end_goes_through_its_stages_in_order() -> None:
    """Handlers, ``terminate``, the clean-up of ``lifespan``, the tasks; each when the one before is over."""
    log: list[str] = []

    class Server(GenServer):
        async def lifespan(self) -> AsyncGenerator[None]:
            log.append("enter")
            yield
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await never()
            log.append("leave")

        @handle_call(concurrent=2)
        async def wait(self) -> None:
            try:
                await never()
            finally:
                log.append("handler cancelled")

        @handle_call
        def begin(self) -> None:
            async def task() -> None:
                try:
                    await never()
                finally:
                    log.append("task cancelled")

            self.task = asyncio.create_task(task())

        async def terminate(self, reason: ExitReason, /) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.0):
                    await never()
            log.append(f"terminate {reason}")

    server = await Server.start_link()
    await server.call(Server.begin)
    waiting = asyncio.create_task(server.call(Server.wait))
    await wait_until_idle()
    await server.stop(Shutdown("orderly"))
    assert log == [
        "enter",
        "handler cancelled",
        "terminate Shutdown(detail='orderly')",
        "leave",
        "task cancelled",
    ]
    assert _now() == 2.5
    with pytest.raises(Exception, match="orderly"):
        await waiting


async def test_a_signal_during_terminate_ends_it() -> None:
    """In OTP a process in its ``terminate`` is an ordinary one."""
    log: list[str] = []

    class Server(GenServer):
        async def terminate(self, reason: ExitReason, /) -> None:
            log.append("begun")
            await never()

    server = await Server.start_link()
    pid = server.address()
    assert not isinstance(pid, str)
    unlink(pid)
    probe = Probe.start()
    ref = probe.watch(pid)
    stopping = asyncio.create_task(server.stop())
    await wait_until_idle()
    assert log == ["begun"]
    send_exit(pid, Exited("enough"))
    assert await probe.next() == Down(ref, pid, Exited("enough"))  # type: ignore[arg-type]  # a Pid, see above
    with pytest.raises(Exception, match="enough"):
        await stopping


async def test_the_tasks_of_a_finished_process_are_cancelled_and_have_a_grace(runtime: Runtime) -> None:
    """Then it is dead, with the reason of its function."""
    log: list[str] = []

    async def left() -> None:
        try:
            await never()
        finally:
            log.append("cancelled")

    async def body() -> None:
        tasks.extend([asyncio.create_task(left()), asyncio.create_task(swallow_for_ever())])
        await asyncio.get_running_loop().create_task(_nothing())

    tasks: list[asyncio.Task[None]] = []
    pid, ref = spawn_monitor(body)
    assert await receive() == Down(ref, pid, Normal())
    assert _now() == 1.0
    assert log == ["cancelled"]
    assert runtime.statistics().frozen == 1
    await wait_until_idle()
    assert all(task.done() for task in tasks)


async def _nothing() -> None:
    return None


async def test_an_end_that_was_decided_takes_no_more_messages() -> None:
    """A cast becomes a dead letter, and a caller hears of the death when it is there."""

    class Server(GenServer):
        def init(self) -> None:
            self.seen: list[int] = []

        @handle_cast
        def note(self, number: int) -> None:
            self.seen.append(number)

        @handle_call
        async def hang(self) -> None:
            try:
                await never()
            finally:
                await never()

    server = await Server.start_link()
    pid = server.address()
    assert not isinstance(pid, str)
    unlink(pid)
    probe = Probe.start()
    probe.watch(pid)
    waiting = asyncio.create_task(server.call(Server.hang))
    await wait_until_idle()
    send_exit(pid, Exited("end"))
    server.cast(Server.note, 1)
    late = asyncio.create_task(server.call(Server.hang))
    await wait_until_idle()
    assert not late.done()
    assert (await probe.next()).reason == Exited("end")
    for call in (waiting, late):
        with pytest.raises(Exception, match="end"):
            await call


async def test_a_start_that_is_ended_leaves_nothing() -> None:
    """Killed in its ``init``, say: the starter is told why, and is not ended as well."""

    class Slow(GenServer):
        async def init(self) -> None:
            send(probe.pid, self)
            from mabeam.kernel import self_pid

            send(probe.pid, self_pid())
            await never()

    probe = Probe.start()
    starting = asyncio.create_task(Slow.start_link())
    await probe.next()
    kill(await probe.next())
    with pytest.raises(StartFailed) as caught:
        await starting
    assert caught.value.reason == Killed()


async def test_a_trapping_plain_process_ends_when_it_likes_within_its_time() -> None:
    """It gets ``Shutdown`` as a message, and its own reason counts."""
    log: list[object] = []

    async def body() -> None:
        trap_exit()
        log.append((await receive()).reason)
        with pytest.raises(TimeoutError):
            await receive(timeout=4)
        raise ValueError("own end")

    pids = []

    async with Runtime():
        pids.append(spawn(body))
        await wait_until_idle()
    assert log == [Shutdown()]
    assert reason_of(pids[0]) == Crashed(ValueError("own end"))
    assert _now() == 4.0
