"""Options of tasks as values, and what becomes of each in a start."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    RejectedError,
    Supervisor,
    TaskSupervisor,
    UsageError,
    monitor,
    receive,
    resume,
    self_pid,
    suspend,
)
from mabeam.kernel import Down, current_process
from mabeam.otp._task_options import TaskOptions
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import process_of
from tests.otp._servers import for_ever

if TYPE_CHECKING:
    from mabeam import Pid, Ref, Runtime


def only_child(pool: Ref[TaskSupervisor]) -> Any:
    """The one task of a supervisor and its spec."""
    assert pool.pid is not None
    (child,) = process_of(pool.pid).body._children.items()
    return child


async def give(value: int, *, more: int = 0) -> int:
    return value + more


def test_options_are_a_value_with_the_defaults_that_are_documented() -> None:
    options: Any = TaskOptions()
    assert (options.restart, options.shutdown) == ("temporary", 5.0)
    for field in ("restart", "shutdown"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, field, None)
    with pytest.raises(TypeError, match="positional"):
        TaskOptions("permanent")  # type: ignore[call-arg]  # what is refused


def test_wrong_options_are_told_at_once_and_all_of_them() -> None:
    """In the words of a child's options, without the child that there is not."""
    with pytest.raises(UsageError) as caught:
        TaskSupervisor.options(restart="always", shutdown=-1)  # type: ignore[arg-type]  # what is refused
    assert len(caught.value.problems) == 2
    assert [problem.split()[0] for problem in caught.value.problems] == ["restart", "shutdown"]
    assert str(caught.value).startswith("TaskSupervisor.options: restart expects")
    assert "; shutdown expects" in str(caught.value)


async def test_each_option_is_one_of_the_child_that_is_started() -> None:
    pool = await TaskSupervisor.start_link()
    options = TaskSupervisor.options(restart="transient", shutdown="brutal_kill")
    pid = await options.start_child(pool, for_ever)
    process, spec = only_child(pool)
    assert (spec.restart, spec.shutdown, spec.id) == ("transient", "brutal_kill", "task")
    assert (process.pid, process.label) == (pid, "for_ever")


async def test_a_task_that_nobody_waits_for_has_no_owner_and_no_link_but_to_its_supervisor() -> None:
    """One that is waited for has both, or, without a link, an owner."""
    pool = await TaskSupervisor.start_link()
    alone = process_of(await TaskSupervisor.start_child(pool, for_ever))
    linked = await TaskOptions().start_task(pool, for_ever)
    unlinked = await TaskOptions().start_task_nolink(pool, for_ever)
    mine = [each.pid for each in current_process().links]
    assert (alone.body.owner, alone.pid in mine) == (None, False)
    for task, is_linked in ((linked, True), (unlinked, False)):
        pid: Pid | None = task.pid
        assert pid is not None
        assert (process_of(pid).body.owner, pid in mine) == (self_pid(), is_linked)
        await task.shutdown()


async def test_arguments_and_values_go_through() -> None:
    pool = await TaskSupervisor.start_link()
    assert await (await TaskOptions().start_task(pool, give, 1, more=2)) == 3
    assert await (await TaskOptions().start_task_nolink(pool, give, 1, more=3)) == 4
    pid = await TaskOptions().start_child(pool, give, 1, more=2)
    ref = monitor(pid)
    down = await receive(Down)
    assert down.ref is ref


@pytest.mark.parametrize("restart", ["transient", "permanent"])
@pytest.mark.parametrize("how", ["start_task", "start_task_nolink"])
async def test_a_task_with_a_value_is_not_restarted(restart: Any, how: str) -> None:
    """It gives it once; the message says what to use."""
    pool = await TaskSupervisor.start_link()
    start = getattr(TaskSupervisor.options(restart=restart), how)
    with pytest.raises(UsageError, match=rf"{how} gives a value once.*restart='{restart}'.*Use start_child"):
        await start(pool, give, 1)


@pytest.mark.parametrize("how", ["start_child", "start_task", "start_task_nolink"])
async def test_what_is_no_function_is_refused_by_the_name_of_the_call(how: str) -> None:
    pool = await TaskSupervisor.start_link()
    with pytest.raises(UsageError, match=rf"^{how} expects a function and its arguments"):
        await getattr(TaskOptions(), how)(pool, 7)


@pytest.mark.parametrize("how", ["start_child", "start_task", "start_task_nolink"])
async def test_arguments_that_do_not_fit_are_refused_before_anything_starts(how: str) -> None:
    """By the name of the call as well; they would crash the task."""
    pool = await TaskSupervisor.start_link()
    start = getattr(TaskOptions(), how)
    with pytest.raises(UsageError, match=rf"^{how} was given arguments that do not fit give: .*'value'"):
        await start(pool, give)
    with pytest.raises(UsageError, match=rf"^{how} was given arguments that do not fit give: .*'less'"):
        await start(pool, give, 1, less=2)


@pytest.mark.parametrize("how", ["start_task", "start_task_nolink"])
async def test_a_start_that_is_given_up_leaves_no_task(how: str) -> None:
    """The supervisor gets to it later, and finds nobody who wants it."""
    pool = await TaskSupervisor.start_link()
    await suspend(pool)
    ran: list[int] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await getattr(TaskOptions(), how)(pool, ran.append, 1)
    await resume(pool)
    await wait_until_idle()
    assert ran == []
    assert pool.pid is not None
    assert not process_of(pool.pid).body._children


def test_a_supervisor_of_tasks_of_its_own_takes_their_spec() -> None:
    """With these options, and for nobody who waits."""
    spec = TaskOptions(restart="transient", shutdown="brutal_kill").spec_of(give, (1,), {"more": 2})
    assert (spec.id, spec.restart, spec.shutdown) == ("task", "transient", "brutal_kill")
    body: Any = spec.body
    assert (body.function, body.args, body.kwargs, body.owner) == (give, (1,), {"more": 2}, None)


@pytest.mark.parametrize("how", ["start_task", "start_task_nolink"])
async def test_a_start_that_is_refused_leaves_nothing(how: str, runtime: Runtime) -> None:
    """No process, no monitor, no link."""
    pool = await TaskSupervisor.start_link(max_children=0)
    me = current_process()
    before = (runtime.processes(), tuple(me.links), tuple(me.monitors or ()))
    with pytest.raises(RejectedError):
        await getattr(TaskOptions(), how)(pool, give, 1)
    await wait_until_idle()
    assert (runtime.processes(), tuple(me.links), tuple(me.monitors or ())) == before


async def test_what_is_no_task_supervisor_starts_no_task() -> None:
    top = await Supervisor.start_link([], strategy="one_for_one")
    with pytest.raises(UsageError, match="TaskSupervisor"):
        await TaskOptions().start_child(top, give, 1)  # type: ignore[arg-type]  # what is refused
