"""Spawning: what runs, when, with what end, and what its parent hears of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import (
    Crashed,
    Down,
    Exited,
    ExitSignal,
    Killed,
    Normal,
    Stop,
    kill,
    link,
    receive,
    self_pid,
    send,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
)
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import process_of, reason_of, wait_for_ever

if TYPE_CHECKING:
    from mabeam.kernel import ExitReason, Pid, Runtime


async def test_a_spawned_function_runs_with_its_arguments_after_its_spawner_waits() -> None:
    """Never before, async or not."""
    seen: list[object] = []

    def plain(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))

    async def asynchronous(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))

    spawn(plain, 1, key="one")
    spawn(asynchronous, 2, key="two")
    assert seen == []
    await wait_until_idle()
    assert seen == [((1,), {"key": "one"}), ((2,), {"key": "two"})]


async def test_what_is_not_a_plain_function_can_be_spawned_too() -> None:
    """A partial, a callable object, a method, a lambda that returns a coroutine."""
    seen: list[str] = []

    class Caller:
        async def __call__(self) -> None:
            seen.append("object")

        async def method(self) -> None:
            seen.append("method")

    async def tell(word: str) -> None:
        seen.append(word)

    for function in (Caller(), Caller().method, partial(tell, "partial"), lambda: tell("lambda")):
        spawn(function)
    await wait_until_idle()
    assert seen == ["object", "method", "partial", "lambda"]


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, Normal()),
        (ValueError("no"), Crashed(ValueError("no"))),
        (Stop(Exited("enough")), Exited("enough")),
        (Stop(Normal()), Normal()),
        (asyncio.CancelledError(), Crashed(asyncio.CancelledError())),
        (GeneratorExit(), Crashed(GeneratorExit())),
        (StopIteration(), Crashed(RuntimeError("coroutine raised StopIteration"))),
    ],
    ids=repr,
)
async def test_the_end_of_the_function_is_the_end_of_the_process(
    outcome: BaseException | None, reason: ExitReason, *, is_async: bool
) -> None:
    """Returning is ``Normal``, ``Stop`` carries its reason, and whatever else is raised is a crash."""

    def plain() -> None:
        if outcome is not None:
            raise outcome

    async def asynchronous() -> None:
        plain()

    if isinstance(outcome, StopIteration) and not is_async:
        reason = Crashed(StopIteration())
    pid, ref = spawn_monitor(asynchronous if is_async else plain)
    assert await receive() == Down(ref, pid, reason)
    assert not pid.is_alive


async def test_a_result_is_dropped() -> None:
    """A process tells others by messages only."""
    pid, ref = spawn_monitor(lambda: 42)
    assert await receive() == Down(ref, pid, Normal())


async def test_a_spawned_process_ends_alone() -> None:
    """Its parent is not told and not ended, and the other way round."""

    async def parent() -> None:
        send(probe.pid, spawn(wait_for_ever))
        raise ValueError("parent")

    probe = Probe.start()
    crashing = spawn(parent)
    child = await probe.next()
    await wait_until_idle()
    assert reason_of(crashing) == Crashed(ValueError("parent"))
    assert child.is_alive


async def test_a_linked_child_that_crashes_at_its_first_step_takes_its_parent_along() -> None:
    """The link is there from the first moment."""

    def crash() -> None:
        raise ValueError("child")

    async def parent() -> None:
        spawn_link(crash)
        await receive()

    pid, ref = spawn_monitor(parent)
    assert await receive() == Down(ref, pid, Crashed(ValueError("child")))


async def test_a_linked_child_ends_with_its_parent() -> None:
    """Abnormally; a normal end leaves it alone."""
    probe = Probe.start()

    async def parent(end: BaseException | None) -> None:
        send(probe.pid, spawn_link(wait_for_ever))
        if end is not None:
            raise end

    spawn(parent, None)
    spawn(parent, Stop(Exited("gone")))
    survivor, victim = await probe.next(), await probe.next()
    await wait_until_idle()
    assert survivor.is_alive
    assert reason_of(victim) == Exited("gone")


async def test_a_linked_child_can_be_unborn_when_its_parent_ends() -> None:
    """It is ended before its first step, and its function never runs."""
    ran: list[bool] = []
    children: list[Pid] = []

    def parent() -> None:
        children.append(spawn_link(lambda: ran.append(True)))
        raise ValueError("early")

    spawn(parent)
    await wait_until_idle()
    assert ran == []
    assert reason_of(children[0]) == Crashed(ValueError("early"))


async def test_a_linked_child_that_is_killed_before_its_first_step_takes_its_parent_along() -> None:
    """Nobody waits for the start of a spawned process, so the link tells of it."""

    async def parent() -> None:
        kill(spawn_link(wait_for_ever))
        await receive()

    pid, ref = spawn_monitor(parent)
    assert await receive() == Down(ref, pid, Killed())


async def test_a_monitored_child_is_watched_from_the_first_moment() -> None:
    """However fast it ends."""
    pid, ref = spawn_monitor(lambda: None)
    other, other_ref = spawn_monitor(wait_for_ever)
    assert await receive() == Down(ref, pid, Normal())
    assert process_of(other).watchers == {other_ref: None}


async def test_children_know_who_they_are() -> None:
    """``self_pid`` is that of the process that runs the code, in tasks of it too."""
    probe = Probe.start()

    async def child() -> None:
        async def in_a_task() -> None:
            send(probe.pid, self_pid())

        send(probe.pid, self_pid())
        await asyncio.create_task(in_a_task())

    pid = spawn(child)
    assert [await probe.next(), await probe.next()] == [pid, pid]


@pytest.mark.parametrize("start", [spawn, spawn_link, spawn_monitor], ids=lambda start: start.__name__)
async def test_a_coroutine_cannot_be_spawned(start: object, runtime: Runtime) -> None:
    """The error shows the right form, nothing starts, and the coroutine is closed."""
    assert callable(start)
    before = runtime.processes()
    with pytest.raises(UsageError, match=r"right:  spawn\(.*wait_for_ever, \.\.\.\)"):
        start(wait_for_ever())
    with pytest.raises(UsageError, match="got 42"):
        start(42)
    assert runtime.processes() == before


def test_nothing_can_be_spawned_outside_of_a_runtime() -> None:
    """And the error says where it can."""
    with pytest.raises(UsageError, match="async with Runtime"):
        spawn(wait_for_ever)


async def test_arguments_that_do_not_fit_are_a_crash_of_the_process() -> None:
    """They are given in the new process, as in OTP."""

    def takes_none() -> None:
        raise AssertionError

    pid, _ = spawn_monitor(takes_none, 1)  # type: ignore[call-arg]
    down = await receive()
    assert down.pid == pid
    assert isinstance(down.reason, Crashed)
    assert isinstance(down.reason.exception, TypeError)


async def test_a_child_inherits_no_flag_of_its_parent() -> None:
    """Trapping is each process's own."""
    probe = Probe.start()

    async def parent() -> None:
        trap_exit()
        send(probe.pid, spawn_link(wait_for_ever))
        await receive()
        link(probe.pid)
        send(probe.pid, await receive())

    pid = spawn(parent)
    child = await probe.next()
    assert process_of(pid).trap_exit
    assert not process_of(child).trap_exit
    send(pid, "go on")
    send(pid, "the end")
    assert await probe.next() == "the end"
    assert await probe.next() == ExitSignal(pid, Normal())
