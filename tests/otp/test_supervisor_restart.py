"""Who is restarted, when, in which order, how often, and what happens when that is too much."""

from __future__ import annotations

import pytest

from mabeam import (
    ExitReason,
    GenServer,
    Restart,
    Strategy,
    Supervisor,
    kill,
    ref,
    whereis,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Shutdown
from mabeam.testing import Probe, wait_until_idle
from tests.otp._children import FAILURES, LOG, Child, child, end, tree
from tests.otp._servers import clock, pause, pid_of


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()
    FAILURES.clear()


REASONS: list[ExitReason] = [
    Normal(),
    Shutdown(),
    Shutdown("detail"),
    Killed(),
    Exited("x"),
    Crashed(ValueError("x")),
]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_child_is_restarted_as_its_restart_type_says(restart: Restart, reason: ExitReason) -> None:
    """Always; after an abnormal end; never."""
    top = await tree(child("a", restart))
    before = whereis("a")
    await end("a", reason)
    abnormal = not isinstance(reason, Normal | Shutdown)
    restarted = restart == "permanent" or (restart == "transient" and abnormal)
    assert (whereis("a") not in (None, before)) == restarted
    infos = await top.call(Supervisor.which_children)
    states = [info.state for info in infos]
    assert states == ([] if restart == "temporary" else ["running"] if restarted else ["stopped"])


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        ("one_for_one", ["-b", "+b"]),
        ("rest_for_one", ["-b", "-d", "-c", "+b", "+c", "+d"]),
        ("one_for_all", ["-b", "-d", "-c", "-a", "+a", "+b", "+c", "+d"]),
    ],
)
async def test_the_strategy_says_who_is_restarted_with_it(strategy: Strategy, log: list[str]) -> None:
    """Stopped last to first, started first to last."""
    await tree(*map(child, "abcd"), strategy=strategy)
    await end("b")
    assert log == LOG


async def test_temporary_siblings_are_stopped_with_the_others_and_not_started_again() -> None:
    """Nor is one that has ended for good before."""
    top = await tree(child("a"), child("t", "temporary"), child("n", "transient"), strategy="one_for_all")
    await end("n", Normal())
    LOG.clear()
    await end("a")
    assert LOG == ["-a", "-t", "+a", "+n"]
    assert [info.id for info in await top.call(Supervisor.which_children)] == ["a", "n"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
async def test_more_restarts_than_allowed_end_the_supervisor_with_shutdown(
    max_restarts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All its children are stopped first, and it says so in the log."""
    probe = Probe.start()
    top = await tree(child("a"), child("b"), max_restarts=max_restarts, max_seconds=5.0)
    probe.watch(top)
    for _ in range(max_restarts):
        await end("a")
        assert pid_of(top).is_alive
    LOG.clear()
    await end("a")
    assert (await probe.next()).reason == Shutdown()
    assert LOG == ["-a", "-b"]
    assert "gives up" in caplog.text


async def test_restarts_longer_ago_than_the_window_do_not_count() -> None:
    """It slides."""
    top = await tree(child("a"), max_restarts=1, max_seconds=5.0)
    for _ in range(10):
        await end("a")
        await clock().advance(5.1)
    assert pid_of(top).is_alive
    await end("a")
    await end("a")
    assert not pid_of(top).is_alive


async def test_a_transient_supervisor_that_gave_up_is_not_restarted_and_a_permanent_one_is() -> None:
    """Giving up is a Shutdown(), which is no abnormal end."""
    inner = Supervisor.child_spec([child("a")], strategy="one_for_one", max_restarts=0)
    for restart in ("transient", "permanent"):
        top = await tree(inner.named("inner").options(restart=restart))
        await end("a")
        assert (whereis("inner") is not None) == (restart == "permanent")
        await top.stop()


async def test_a_failed_restart_is_tried_again_and_counts_each_time() -> None:
    """By a message to itself, so that the supervisor answers in between."""
    top = await tree(child("a"), child("b"), max_restarts=5)
    FAILURES["a"] = 3
    ref("a", Child).cast(Child.end, Exited("x"))
    await wait_until_idle()
    assert LOG == ["-a", "!a", "!a", "!a", "+a"]
    assert pid_of(top).is_alive
    FAILURES["a"] = 100
    await end("a")
    assert LOG[5:] == ["-a", "!a", "-b"]
    assert not pid_of(top).is_alive


async def test_a_supervisor_answers_between_attempts() -> None:
    """A child whose restarts go on failing does not make it deaf."""

    class Slow(GenServer):
        async def init(self) -> None:
            if FAILURES.get("slow", 0) > 0:
                FAILURES["slow"] -= 1
                await pause(1.0)
                raise ValueError

    top = await tree(Slow.child_spec().named("slow"), max_restarts=1000)
    FAILURES["slow"] = 10
    kill("slow")
    await clock().advance(0.5)
    for second in range(1, 5):
        (info,) = await top.call(Supervisor.which_children)
        assert (info.state, clock().time()) == ("restarting", second)
        await clock().advance(0.5)
    await clock().advance(10)
    (info,) = await top.call(Supervisor.which_children)
    assert info.state == "running"


async def test_a_group_that_fails_half_way_is_restarted_as_a_group_again() -> None:
    """Those that are up are stopped first."""
    await tree(*map(child, "abc"), strategy="one_for_all", max_restarts=5)
    FAILURES["b"] = 1
    await end("a")
    assert LOG == ["-a", "-c", "-b", "+a", "!b", "-a", "+a", "+b", "+c"]
