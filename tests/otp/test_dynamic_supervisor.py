"""DynamicSupervisor: children that come and go, independent of each other."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import (
    Backoff,
    ChildCounts,
    ChildError,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    Ignore,
    Ref,
    RejectedError,
    Restart,
    Runtime,
    StartFailed,
    StartIgnored,
    Stop,
    UsageError,
    child_spec,
    handle_cast,
    kill,
    receive,
    ref,
    start_info,
    whereis,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Shutdown, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import clock, for_ever, pause, pid_of

FAILURES: list[BaseException] = []


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    FAILURES.clear()


class Child(GenServer):
    """Ends as told, and takes a while for it."""

    def __init__(self, number: int = 0, *, stopping: float = 0) -> None:
        trap_exit()
        start_info(number)
        self.stopping = stopping
        if FAILURES:
            raise FAILURES.pop()

    @handle_cast
    def end(self, reason: ExitReason) -> None:
        raise Stop(reason)

    async def terminate(self, reason: ExitReason) -> None:
        await pause(self.stopping)


async def dynamic(**options: Any) -> Ref[Any]:
    """One that is not linked to the test."""
    return await DynamicSupervisor.child_spec(**options).start()


async def add(top: Ref[Any], spec: Any = None) -> Ref[Any]:
    """Start a child."""
    started: Ref[Any] = await top.call(DynamicSupervisor.start_child, spec or Child.child_spec())
    return started


async def test_children_are_started_one_by_one_and_ids_need_not_differ() -> None:
    """Each comes with what it gave at its start."""
    top = await dynamic()
    children = [await add(top, Child.child_spec(number)) for number in range(3)]
    assert [child.start_info for child in children] == [0, 1, 2]
    infos = await top.call(DynamicSupervisor.which_children)
    assert [(info.id, info.pid, info.state) for info in infos] == [
        (None, child.pid, "running") for child in children
    ]
    assert await top.call(DynamicSupervisor.count_children) == ChildCounts(
        specs=3, active=3, supervisors=0, workers=3
    )


async def test_max_children_rejects_what_is_too_much() -> None:
    """Until one has gone; one that is being restarted has not."""
    top = await dynamic(max_children=2, backoff=Backoff(first=10.0))
    first = await add(top)
    second = await add(top)
    with pytest.raises(RejectedError, match="max_children"):
        await add(top)
    kill(first)
    await wait_until_idle()
    with pytest.raises(RejectedError):
        await add(top)
    await top.call(DynamicSupervisor.terminate_child, second)
    await add(top)
    none = await dynamic(max_children=0)
    with pytest.raises(RejectedError):
        await add(none)


async def test_a_stop_takes_as_long_as_the_slowest_child() -> None:
    """All are asked at once, and those too slow are killed at their own times."""
    probe = Probe.start()
    top = await dynamic()
    for stopping, shutdown in ((1.0, 5.0), (3.0, 5.0), (100.0, 4.0), (2.0, "brutal_kill")):
        child = await add(top, Child.child_spec(stopping=stopping).options(shutdown=shutdown))  # type: ignore[arg-type]
        probe.watch(child)
    await top.stop()
    assert clock().time() == 4.0
    assert [down.reason for down in probe.messages] == [Killed(), Shutdown(), Shutdown(), Killed()]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Exited("x"), Crashed(ValueError("x"))])
async def test_a_child_is_restarted_as_its_restart_type_says_else_forgotten(
    restart: Restart, reason: ExitReason
) -> None:
    """Alone."""
    top = await dynamic()
    other = await add(top)
    child = await add(top, Child.child_spec(5).options(restart=restart))
    child.cast(Child.end, reason)
    await wait_until_idle()
    restarted = restart == "permanent" or (
        restart == "transient" and not isinstance(reason, Normal | Shutdown)
    )
    infos = await top.call(DynamicSupervisor.which_children)
    assert len(infos) == 1 + restarted
    assert pid_of(other).is_alive
    assert child.pid not in [info.pid for info in infos]


async def test_too_many_restarts_of_whichever_children_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """With Shutdown(), and all children."""
    probe = Probe.start()
    top = await dynamic(max_restarts=2, max_seconds=5.0)
    probe.watch(top)
    children = [await add(top) for _ in range(4)]
    for child in children[:2]:
        kill(child)
        await wait_until_idle()
    assert pid_of(top).is_alive
    kill(children[2])
    assert (await probe.next()).reason == Shutdown()
    assert not pid_of(children[3]).is_alive
    assert "gives up" in caplog.text


async def test_a_failed_restart_is_tried_again() -> None:
    """The child counts as restarting in between, under its old pid."""
    top = await dynamic(backoff=Backoff(first=1.0), max_restarts=10)
    child = await add(top)
    FAILURES.extend([ValueError("1"), ValueError("2")])
    kill(child)
    await wait_until_idle()
    (info,) = await top.call(DynamicSupervisor.which_children)
    assert (info.state, info.pid) == ("restarting", None)
    await clock().advance(100)
    (info,) = await top.call(DynamicSupervisor.which_children)
    assert info.state == "running"
    assert FAILURES == []


async def test_a_child_that_ignores_its_restart_is_forgotten() -> None:
    """As one that ended for good."""
    top = await dynamic()
    child = await add(top)
    FAILURES.append(Ignore())
    kill(child)
    await wait_until_idle()
    assert await top.call(DynamicSupervisor.which_children) == []


@pytest.mark.parametrize("how", ["handle", "pid", "name"])
async def test_terminate_child_finds_it_by_handle_pid_or_name(how: str) -> None:
    """And forgets it."""
    top = await dynamic()
    child = await add(top, Child.child_spec().named("child"))
    target: Any = {"handle": child, "pid": child.pid, "name": "child"}[how]
    await top.call(DynamicSupervisor.terminate_child, target)
    assert not pid_of(child).is_alive
    assert await top.call(DynamicSupervisor.which_children) == []
    with pytest.raises(ChildError) as caught:
        await top.call(DynamicSupervisor.terminate_child, target)
    assert caught.value.code == "not_found"


async def test_terminate_child_of_a_stranger_is_refused() -> None:
    """Only children can be stopped this way."""
    top = await dynamic()
    stranger = await Child.child_spec().start()
    targets: list[Any] = [stranger, stranger.pid, "nobody", top]
    for target in targets:
        with pytest.raises(ChildError, match="not_found"):
            await top.call(DynamicSupervisor.terminate_child, target)
    assert pid_of(stranger).is_alive


async def test_terminate_child_ends_the_retries_of_one_that_is_being_restarted() -> None:
    """By its old handle."""
    top = await dynamic(backoff=Backoff(first=1.0))
    child = await add(top)
    kill(child)
    await wait_until_idle()
    await top.call(DynamicSupervisor.terminate_child, child)
    await clock().advance(10)
    assert await top.call(DynamicSupervisor.which_children) == []


async def test_a_start_that_fails_leaves_nothing() -> None:
    """Neither a failed one nor one that ignores is kept."""
    top = await dynamic()
    FAILURES.append(ValueError("no"))
    with pytest.raises(StartFailed) as caught:
        await add(top)
    assert caught.value.reason == Crashed(ValueError("no"))
    FAILURES.append(Ignore())
    with pytest.raises(StartIgnored):
        await add(top)
    mistakes: list[Any] = [Child, None, Child.child_spec().options(shutdown=-1)]
    for wrong in mistakes:
        with pytest.raises(UsageError):
            await top.call(DynamicSupervisor.start_child, wrong)
    assert await top.call(DynamicSupervisor.which_children) == []


async def test_wrong_options_are_listed_in_one_error_and_nothing_has_started(runtime: Runtime) -> None:
    """All of them."""
    with pytest.raises(UsageError) as caught:
        await DynamicSupervisor.start_link(
            max_children=-1, max_restarts=-1, max_seconds=-1, backoff=Backoff(limit=-1)
        )
    assert len(caught.value.problems) == 4
    assert runtime.processes() == ()


async def test_a_killed_dynamic_supervisor_takes_its_children_along(runtime: Runtime) -> None:
    """They hear it from their link."""
    top = await dynamic()
    for _ in range(10):
        await add(top)
    kill(top)
    await wait_until_idle()
    assert runtime.processes() == ()


async def test_a_thousand_children_come_and_go() -> None:
    """Stopped in one go."""
    top = await dynamic(max_children=1000)
    for number in range(1000):
        await add(top, Child.child_spec(number, stopping=number % 5))
    assert (await top.call(DynamicSupervisor.count_children)).active == 1000
    await top.stop()
    assert clock().time() == 4.0


async def test_its_own_name_and_those_of_its_children_are_free_after_it() -> None:
    """Another can be started in its place at once."""
    for _ in range(2):
        top = await DynamicSupervisor.child_spec().named("pool").start()
        await add(top, Child.child_spec().named("worker"))
        assert ref("pool", DynamicSupervisor).pid == top.pid
        await top.stop()
        assert (whereis("pool"), whereis("worker")) == (None, None)


async def test_a_child_that_hangs_in_its_start_holds_up_the_supervisor_only_until_it_ends() -> None:
    """Starts are serial, as in OTP."""

    class Hanging(GenServer):
        async def init(self) -> None:
            await for_ever()

    top = await dynamic()
    with pytest.raises(TimeoutError):
        await top.options(timeout=1.0).call(DynamicSupervisor.start_child, Hanging.child_spec().named("hang"))
    with pytest.raises(TimeoutError):
        await top.options(timeout=1.0).call(DynamicSupervisor.which_children)
    kill("hang")
    assert await top.call(DynamicSupervisor.which_children) == []


async def test_a_significant_child_is_refused() -> None:
    """It would mean nothing, as for a supervisor that never shuts down by itself."""
    supervisor = await DynamicSupervisor.start_link()
    with pytest.raises(
        UsageError, match="is significant, but a DynamicSupervisor does not end with its children"
    ):
        await supervisor.call(
            DynamicSupervisor.start_child, child_spec(receive).options(significant=True, restart="temporary")
        )
