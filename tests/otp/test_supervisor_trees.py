"""Waiting before restarts, ends that end the supervisor, and trees of supervisors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    AutoShutdown,
    Backoff,
    ExitReason,
    GenServer,
    Runtime,
    Supervisor,
    handle_call,
    kill,
    send,
    whereis,
)
from mabeam.kernel import Exited, Normal, Shutdown, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._children import FAILURES, LOG, child, end, tree
from tests.otp._servers import clock, for_ever, pid_of


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()
    FAILURES.clear()


async def test_without_backoff_a_restart_is_immediate() -> None:
    """As in OTP."""
    await tree(child("a"))
    await end("a")
    assert (LOG, clock().time()) == (["-a", "+a"], 0.0)


async def test_backoff_grows_while_restarts_follow_each_other_and_begins_anew_later() -> None:
    """The child counts as restarting meanwhile."""
    top = await tree(
        child("a"), max_restarts=100, max_seconds=5.0, backoff=Backoff(first=1.0, factor=2.0, limit=3.0)
    )
    waits = []
    for _ in range(4):
        await end("a")
        (info,) = await top.call(Supervisor.which_children)
        assert (info.state, info.pid, whereis("a")) == ("restarting", None, None)
        since = clock().time()
        while whereis("a") is None:
            await clock().advance(0.5)
        waits.append(clock().time() - since)
    assert waits == [1.0, 2.0, 3.0, 3.0]
    await clock().advance(100)
    await end("a")
    await clock().advance(1.0)
    assert whereis("a") is not None


async def test_a_backoff_ends_with_terminate_child_and_with_the_supervisor() -> None:
    """Nothing comes back afterwards."""
    top = await tree(child("a"), child("b"), backoff=Backoff(first=1.0))
    await end("a")
    await top.call(Supervisor.terminate_child, "a")
    await clock().advance(10)
    assert whereis("a") is None
    await end("b")
    await top.stop()
    await clock().advance(10)
    assert whereis("b") is None


async def test_an_old_backoff_does_not_hurry_a_later_one() -> None:
    """The timer of a wait that was ended means nothing to the next."""
    top = await tree(child("a"), max_restarts=100, backoff=Backoff(first=4.0, factor=1.0))
    await end("a")
    await clock().advance(3)
    await top.call(Supervisor.terminate_child, "a")
    await top.call(Supervisor.restart_child, "a")
    await end("a")
    await clock().advance(2)
    assert whereis("a") is None
    await clock().advance(2)
    assert whereis("a") is not None


# ------------------------------------------------------------------------------------------------- auto_shutdown


@pytest.mark.parametrize(
    ("auto_shutdown", "alive_after_one"),
    [("never", True), ("any_significant", False), ("all_significant", True)],
)
async def test_auto_shutdown_says_whether_ends_of_significant_children_end_the_supervisor(
    auto_shutdown: AutoShutdown, *, alive_after_one: bool
) -> None:
    """With Shutdown(), and only ends for good."""
    significant = auto_shutdown != "never"
    probe = Probe.start()
    top = await tree(
        child("a", "transient", significant=significant),
        child("b", "temporary", significant=significant),
        child("c"),
        auto_shutdown=auto_shutdown,
    )
    probe.watch(top)
    await end("a", Exited("abnormal"))
    await end("c", Normal())
    assert pid_of(top).is_alive
    await end("a", Normal())
    assert pid_of(top).is_alive == alive_after_one
    if alive_after_one:
        await end("b")
        assert pid_of(top).is_alive == (auto_shutdown == "never")
    if auto_shutdown != "never":
        assert (await probe.next()).reason == Shutdown()
        assert LOG[-1] == ("-c" if alive_after_one else "-b")


async def test_terminate_child_of_a_significant_child_ends_nothing() -> None:
    """It did not end by itself."""
    top = await tree(child("a", "transient", significant=True), auto_shutdown="any_significant")
    await top.call(Supervisor.terminate_child, "a")
    await wait_until_idle()
    assert pid_of(top).is_alive


# ------------------------------------------------------------------------------------------------- trees


async def test_a_killed_supervisor_takes_its_children_along(runtime: Runtime) -> None:
    """However deep; and its own supervisor starts the whole branch anew."""
    branch = Supervisor.child_spec(
        [child("a"), Supervisor.child_spec([child("b")], strategy="one_for_one").named("deep")],
        strategy="one_for_one",
    )
    await tree(branch.named("branch"), child("c"))
    before = {name: whereis(name) for name in ("branch", "deep", "a", "b", "c")}
    count = len(runtime.processes())
    kill("branch")
    await wait_until_idle()
    after = {name: whereis(name) for name in before}
    assert after["c"] == before["c"]
    assert all(after[name] not in (None, before[name]) for name in ("branch", "deep", "a", "b"))
    assert len(runtime.processes()) == count


async def test_a_supervisor_that_gives_up_passes_the_failure_upwards() -> None:
    """Until somebody can afford the restart."""
    inner = Supervisor.child_spec([child("a"), child("b")], strategy="one_for_one", max_restarts=0)
    top = await tree(inner.named("inner"), child("c"), strategy="one_for_all", max_restarts=1)
    await end("a")
    assert LOG == ["-a", "-b", "-c", "+a", "+b", "+c"]
    await end("b")
    assert not pid_of(top).is_alive
    assert LOG[6:] == ["-b", "-a", "-c"]


async def test_a_child_that_hangs_does_not_keep_a_killed_supervisor_alive(runtime: Runtime) -> None:
    """Linked children go with it, and take their grace by themselves."""

    class Hanging(GenServer):
        def init(self) -> None:
            trap_exit()

        async def terminate(self, reason: ExitReason) -> None:
            await for_ever()

    top = await Supervisor.child_spec([Hanging.child_spec().named("h")], strategy="one_for_one").start()
    kill(top)
    await wait_until_idle()
    assert not pid_of(top).is_alive
    (orphan,) = runtime.orphans()
    assert orphan == whereis("h")


class _WithCodeOfItsOwn(Supervisor):
    def handle_info(self, message: object, /) -> Any:
        return self.later() if message == "later" else super().handle_info(message)

    async def later(self) -> None:
        async with asyncio.timeout(60):
            LOG.append("later")

    @handle_call
    async def ask(self) -> str:
        async with asyncio.timeout(60):
            return "answer"


async def test_code_that_a_subclass_adds_runs_in_a_task() -> None:
    """That of a supervisor itself needs none, and is run without."""
    supervisor: Any = await _WithCodeOfItsOwn.start_link(
        [child("worker").named("worker")], strategy="one_for_one"
    )
    send(supervisor, "later")
    assert await supervisor.call(_WithCodeOfItsOwn.ask) == "answer"
    kill("worker")
    await wait_until_idle()
    assert whereis("worker") is not None
    assert "later" in LOG
