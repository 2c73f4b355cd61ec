"""Lifespan: what is entered and left in one task."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from mabeam import (
    ExitReason,
    GenServer,
    Pid,
    ProcessDied,
    Ref,
    Runtime,
    StartFailed,
    Stop,
    Supervisor,
    UsageError,
    handle_call,
    info,
    self_pid,
    stop_self,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Shutdown, kill, send_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pid_of, process_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LOG: list[Any] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Held(GenServer):
    """Notes the tasks it runs in."""

    async def lifespan(self) -> AsyncGenerator[None]:
        task = asyncio.current_task()
        LOG.append("enter")
        yield
        LOG.append("leave" if asyncio.current_task() is task else "another task")

    def init(self) -> None:
        LOG.append("init")

    @handle_call
    def act(self, what: str) -> str:
        if what == "raise":
            raise ValueError("x")
        if what == "Stop":
            raise Stop(Shutdown("x"))
        stop_self(Shutdown("x"))
        return "bye"

    def terminate(self, reason: ExitReason) -> None:
        LOG.append(("terminate", reason))


async def test_it_is_entered_before_init_and_left_after_terminate_in_one_task() -> None:
    """__init__, lifespan, init; terminate, lifespan."""
    server = await Held.child_spec().start()
    await server.stop()
    assert ["enter", "init", ("terminate", Normal()), "leave"] == LOG


async def test_it_is_called_by_its_name_wherever_activities_are_shown() -> None:
    server = await Held.start_link()
    (activity,) = info(server).activities
    assert (activity.kind, activity.name) == ("lifespan", "Held.lifespan")


@pytest.mark.parametrize("how", ["raise", "Stop", "stop_self", "exit", "stop"])
async def test_the_clean_up_runs_at_every_end_but_kill(how: str) -> None:
    """Also at one that terminate does not see."""
    probe = Probe.start()
    server = await Held.child_spec().start()
    probe.watch(server)
    if how == "exit":
        send_exit(server, Exited("x"))
    elif how == "stop":
        await server.stop(Shutdown("x"))
    else:
        try:
            await server.call(Held.act, how)
        except ProcessDied:
            pass
    reason = (await probe.next()).reason
    assert reason in (Shutdown("x"), Exited("x"), Crashed(ValueError("x")))
    assert LOG[-1] == "leave"
    assert len(LOG) == (3 if how == "exit" else 4)


async def test_the_clean_up_does_not_run_after_a_kill(runtime: Runtime) -> None:
    """Nothing is thrown into it either."""
    server = await Held.child_spec().start()
    kill(server)
    await wait_until_idle()
    assert LOG == ["enter", "init"]
    assert (runtime.processes(), runtime.statistics().frozen) == ((), 0)


async def test_it_may_wait_and_the_start_waits_with_it() -> None:
    """Messages that come meanwhile are taken afterwards."""
    gate = asyncio.Event()

    class Waiting(Held):
        async def lifespan(self) -> AsyncGenerator[None]:
            await gate.wait()
            yield

    starting = await begun(Waiting.child_spec().start())
    assert not starting.done()
    gate.set()
    server = await starting
    assert await server.call(Held.act, "stop_self") == "bye"


class WithTasks(GenServer):
    """Holds an anyio task group with a background task."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.gate = asyncio.Event()

    async def lifespan(self) -> AsyncGenerator[None]:
        try:
            with anyio.CancelScope() as self.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self.work)
                    yield
                    LOG.append("leaving")
                    group.cancel_scope.cancel()
        finally:
            LOG.append("left")

    async def work(self) -> None:
        try:
            await self.gate.wait()
            if self.how == "fail":
                raise LookupError("background")
            LOG.append("worked")
        finally:
            LOG.append("work over")

    @handle_call
    async def wait_a_little(self) -> str:
        with anyio.move_on_after(1.0):
            await for_ever()
        return "waited"

    @handle_call
    def cancel_scope(self) -> None:
        self.scope.cancel()

    def terminate(self, reason: ExitReason) -> None:
        LOG.append(reason)


async def test_task_groups_and_cancel_scopes_work_inside() -> None:
    """Their background tasks run while the server serves, and end with it."""
    server = await WithTasks.child_spec("work").start()
    assert await server.call(WithTasks.wait_a_little) == "waited"
    state_of(server).gate.set()
    await wait_until_idle()
    assert LOG == ["worked", "work over"]
    await server.stop()
    assert LOG[2:] == [Normal(), "leaving", "left"]


async def test_a_background_task_that_is_still_at_work_is_cancelled_by_the_clean_up() -> None:
    """The group is left in the task that entered it."""
    server = await WithTasks.child_spec("work").start()
    await wait_until_idle()
    await server.stop()
    assert [Normal(), "leaving", "work over", "left"] == LOG


async def test_a_background_task_that_fails_crashes_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """With what the group makes of it; terminate runs with that reason, and one report is logged."""
    probe = Probe.start()
    server = await WithTasks.child_spec("fail").start()
    probe.watch(server)
    state_of(server).gate.set()
    reason = (await probe.next()).reason
    assert isinstance(reason, Crashed)
    assert isinstance(reason.exception, BaseExceptionGroup)
    assert isinstance(reason.exception.exceptions[0], LookupError)
    assert ["work over", "left", reason] == LOG
    assert len([record for record in caplog.records if record.name == "mabeam"]) == 1


async def test_a_lifespan_that_ends_by_itself_crashes_the_server() -> None:
    """What it held is gone: a scope that was cancelled from a handler, say."""
    probe = Probe.start()
    server = await WithTasks.child_spec("work").start()
    probe.watch(server)
    await server.call(WithTasks.cancel_scope)
    reason = (await probe.next()).reason
    assert isinstance(reason, Crashed)
    assert isinstance(reason.exception, UsageError)
    assert "lifespan" in str(reason.exception)


class Misbehaving(GenServer):
    """Has a lifespan as told."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def lifespan(self) -> AsyncGenerator[None]:
        if self.how == "never":
            return
        if self.how == "raise first":
            raise LookupError("start-up")
        if self.how == "Stop first":
            raise Stop(Shutdown("start-up"))
        if self.how == "hang first":
            await for_ever()
        try:
            yield
        finally:
            LOG.append("clean-up")
        if self.how == "twice":
            yield
        if self.how == "raise":
            raise LookupError("clean-up")
        if self.how == "Stop":
            raise Stop(Shutdown("clean-up"))
        if self.how == "hang":
            await for_ever()
        if self.how == "swallow":
            while True:
                try:
                    await for_ever()
                except asyncio.CancelledError:
                    LOG.append("swallowed")

    def init(self) -> None:
        if self.how == "init":
            raise ValueError("init")

    def terminate(self, reason: ExitReason) -> None:
        LOG.append("terminate")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise first", Crashed(LookupError("start-up"))),
        ("Stop first", Shutdown("start-up")),
        ("never", None),
        ("init", Crashed(ValueError("init"))),
    ],
)
async def test_raising_in_start_up_is_a_failed_start(
    how: str, reason: ExitReason | None, runtime: Runtime
) -> None:
    """As is ending there, and raising in init, after which the clean-up runs."""
    with pytest.raises(StartFailed) as caught:
        await Misbehaving.child_spec(how).start_link()
    if reason is None:
        assert "without yield" in str(caught.value.__cause__)
    else:
        assert caught.value.reason == reason
    assert (["clean-up"] if how == "init" else []) == LOG
    assert runtime.processes() == ()


async def test_a_start_up_that_hangs_ends_with_its_starters_patience(runtime: Runtime) -> None:
    """Nothing is left behind."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await Misbehaving.child_spec("hang first").start_link()
    await wait_until_idle()
    assert runtime.processes() == ()


async def test_init_does_not_run_when_a_lifespan_has_swallowed_its_cancellation() -> None:
    """The start is over; what was entered is left all the same."""

    class Swallowing(Held):
        async def lifespan(self) -> AsyncGenerator[None]:
            with contextlib.suppress(asyncio.CancelledError):
                await for_ever()
            LOG.append("enter")
            yield
            LOG.append("leave")

    starting = await begun(Swallowing.child_spec().named("swallowing").start())
    send_exit("swallowing", Exited("not wanted"))
    with pytest.raises(StartFailed) as caught:
        await starting
    assert caught.value.reason == Exited("not wanted")
    assert LOG == ["enter", "leave"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [("raise", Crashed(LookupError("clean-up"))), ("Stop", Shutdown("clean-up")), ("twice", None)],
)
async def test_raising_in_the_clean_up_replaces_the_reason(how: str, reason: ExitReason | None) -> None:
    """As terminate does; a second yield is a mistake of that kind."""
    server = await Misbehaving.child_spec(how).start()
    with pytest.raises(ProcessDied) as caught:
        await server.stop()
    if reason is None:
        assert "yielded twice" in str(caught.value.__cause__)
    else:
        assert caught.value.reason == reason
    assert LOG == ["terminate", "clean-up"]


@pytest.mark.parametrize("how", ["hang", "swallow"])
async def test_a_clean_up_that_hangs_is_ended_by_the_supervisors_shutdown_time(how: str) -> None:
    """By a kill, which throws nothing into it."""
    probe = Probe.start()
    top = await Supervisor.start_link(
        [Misbehaving.child_spec(how).named("child").options(shutdown=2.0)], strategy="one_for_one"
    )
    probe.watch("child")
    await top.stop()
    assert (await probe.next()).reason == Killed()
    assert clock().time() == 2.0
    assert "swallowed" not in LOG


async def test_it_swallows_a_cancellation_and_yields_again_at_its_own_risk() -> None:
    """The server crashes all the same: what was held is in an unknown state."""

    class Stubborn(GenServer):
        async def lifespan(self) -> AsyncGenerator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self.fail)
                while True:
                    try:
                        yield
                    except asyncio.CancelledError:
                        LOG.append("swallowed")

        async def fail(self) -> None:
            raise LookupError

    probe = Probe.start()
    server = await Stubborn.child_spec().start()
    probe.watch(server)
    assert isinstance((await probe.next()).reason, Crashed)
    await wait_until_idle()
    assert not pid_of(server).is_alive


@pytest.mark.parametrize("kind", ["at once", "later"])
async def test_a_task_of_lifespan_that_calls_what_ends_its_process_is_answered(kind: str) -> None:
    """It is not cancelled before the clean-up is over, which waits for it: the call goes on as through the mailbox."""
    log: list[str] = []

    class Callee(GenServer):
        @handle_call
        def at_once(self, pid: Pid) -> str:
            send_exit(pid, Shutdown("evicted"))
            return "done"

        @handle_call
        async def later(self, pid: Pid) -> str:
            return self.at_once(pid)

    class Poller(GenServer):
        def __init__(self, callee: Ref[Callee]) -> None:
            self.callee = callee

        async def poll(self) -> None:
            log.append(
                await self.callee.call(Callee.later if kind == "later" else Callee.at_once, self_pid())
            )

        async def lifespan(self) -> AsyncGenerator[None, None]:
            task = asyncio.create_task(self.poll())
            yield
            await task
            log.append("clean-up")

    poller = await Poller.child_spec(await Callee.start_link()).start()
    process = process_of(poller)
    await wait_until_idle()
    assert process.reason == Shutdown("evicted")
    assert log == ["done", "clean-up"]


class Ending(GenServer):
    """Sends itself what ends it, while it starts."""

    def __init__(self, where: str, how: str) -> None:
        self.where = where
        self.how = how
        self.end_in("__init__")

    def end_in(self, place: str) -> None:
        if self.where == place and self.how == "kill":
            kill(self_pid())
        elif self.where == place:
            send_exit(self_pid(), Exited("enough"))

    def init(self) -> None:
        self.end_in("init")


class EndingHeld(Ending):
    async def lifespan(self) -> AsyncGenerator[None]:
        self.end_in("lifespan")
        yield


@pytest.mark.parametrize("how", ["signal", "kill"])
@pytest.mark.parametrize(
    ("server", "where"),
    [
        (Ending, "__init__"),
        (Ending, "init"),
        (EndingHeld, "__init__"),
        (EndingHeld, "lifespan"),
        (EndingHeld, "init"),
    ],
)
async def test_a_server_that_ends_itself_while_it_starts_has_failed_to(
    server: Any, where: str, how: str, runtime: Runtime
) -> None:
    """Whoever waits for the start hears of it."""
    before = len(runtime.processes())
    with pytest.raises(StartFailed) as caught:
        await server.child_spec(where, how).start()
    assert caught.value.reason == (Killed() if how == "kill" else Exited("enough"))
    await wait_until_idle()
    assert len(runtime.processes()) == before
